"""The owner's side of the guardian: start services that end with the owner, however the owner ends.

    with Guardian(folder) as guardian:
        guardian.start(Service("valkey", ("valkey-server", "…"), cwd=folder))

The guardian is a process of its own (`deployments.hosting.guardian_process`), tied to the owner by a pipe. After
`kill -9` of the owner every service and the folder are gone within 5 s.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deployments.hosting.guardian_process import GRACE_S, KILL_S
from deployments.hosting.shared_memory import remove_made_by
from storage.errors import LocalPlatformError

ANSWER_S = 15.0
"""How long the guardian may take to answer one request."""

CLOSE_S = GRACE_S + KILL_S + 6.0
"""How long closing may take: the guardian's own limits and the removal of the folder."""

PORT_ATTEMPTS = 5
_POLL_S = 0.05
_CREDENTIALS = re.compile(r"://[^/\s]*@")
_ADDRESS_IN_USE = re.compile(r"address (is )?already in use|errno 98|errno 48|could not bind", re.IGNORECASE)
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Service:
    """A program to run under the guardian.

    `env` is added to a small set of variables that every service gets (`PATH`, `HOME`, the locale, …): nothing else
    of the owner's environment reaches a service, since that may hold secrets. `user` is the (uid, gid) to run as;
    only root may set it. `stdin` is a file to read from; without one the standard input is empty.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    user: tuple[int, int] | None = None
    stdin: Path | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What the guardian knows of a service: `code` is None while it runs, negative for a signal."""

    pid: int
    code: int | None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.code is None


class Guardian:
    """Starts and ends services by the guardian process; a context manager, safe to use from several threads.

    `folder` is the runtime folder, made with mode 0700; it is removed at the end. Logs lie in `folder/logs`. The
    guardian itself makes it: an owner that is killed at any moment leaves no folder that nobody knows of.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._buffer = b""
        self._request = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()
        self._began = time.time()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            (sys.executable, "-m", "deployments.hosting.guardian_process", str(self.folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # until it has made its log
            start_new_session=True,  # Ctrl-C in a terminal reaches the owner, not the guardian
        )
        try:
            self._checked(self._read_answer(0))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _logs(self) -> Path:
        return self.folder / "logs"

    @property
    def pid(self) -> int:
        """The guardian's process id."""
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LocalPlatformError("the guardian does not run: it starts on entering its context")
        return self._process

    def log_path(self, name: str) -> Path:
        """Where the output of service `name` goes."""
        return self._logs / f"{name}.log"

    def start(self, service: Service) -> int:
        """Start one service and return its pid; a name may be used again once its process has ended.

        Raises LocalPlatformError when the program cannot be started.
        """
        base = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            answer = self._ask(
                op="start",
                name=service.name,
                argv=list(service.argv),
                env={**base, "PYTHONUNBUFFERED": "1", **service.env},
                cwd=str(service.cwd),
                log=str(self.log_path(service.name)),
                stop_signal=int(service.stop_signal),
                user=list(service.user) if service.user else None,
                stdin=str(service.stdin or os.devnull),
            )
        except LocalPlatformError as error:
            raise LocalPlatformError(f"{service.name} could not be started: {error}") from error
        self._groups.add(answer["pid"])
        return int(answer["pid"])

    def stop(self, name: str) -> ServiceState:
        """Send a service its stop signal, wait, kill its group when it does not end; return how it ended."""
        answer = self._ask(op="stop", name=name)
        return ServiceState(**answer["services"][name])

    def alive(self) -> dict[str, ServiceState]:
        """The state of every service that was started, by name."""
        answer = self._ask(op="state")
        return {name: ServiceState(**state) for name, state in answer["services"].items()}

    def remove_at_end(self, path: Path) -> None:
        """Have the guardian remove a file or folder after the services ended."""
        self._ask(op="remove_at_end", path=str(path))

    def check(self, name: str) -> None:
        """Raise LocalPlatformError with the last line of its log when service `name` has ended."""
        state = self.alive()[name]
        if not state.running:
            raise LocalPlatformError(f"{name} ended with code {state.code}: {last_line(self.log_path(name))}")

    def close(self) -> None:
        """End every service and the guardian, and remove the folder; harmless when called again.

        Who calls it while another thread does so waits until all is gone.
        """
        with self._closing:
            self._close()

    def _close(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            code = process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code != 0:
            # The guardian was killed: its direct children died with it, what they started may not have.
            self._kill_groups()

    def _kill_groups(self) -> None:
        for group in self._groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        remove_made_by(self._groups, self._began)

    def _ask(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            pipe = self._running.stdin
            self._request += 1
            line = json.dumps({"request": self._request, **request}).encode() + b"\n"
            try:
                os.write(pipe.fileno() if pipe else -1, line)
            except BrokenPipeError:
                raise self._gone() from None
            answer = self._read_answer(self._request)
        return self._checked(answer)

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" in answer:
            raise LocalPlatformError(str(answer["error"]))
        return answer

    def _read_answer(self, number: int) -> dict[str, Any]:
        """The answer to request `number`; those to earlier requests that came too late are passed over."""
        until = time.monotonic() + ANSWER_S
        while True:
            answer: dict[str, Any] = json.loads(self._read_line(until))
            if answer["request"] == number:
                return answer

    def _read_line(self, until: float) -> bytes:
        pipe = self._running.stdout
        descriptor = pipe.fileno() if pipe else -1
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                raise LocalPlatformError(f"the guardian did not answer within {ANSWER_S:.0f} s")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise self._gone()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _gone(self) -> LocalPlatformError:
        return LocalPlatformError(f"the guardian has ended: {last_line(self.log_path('guardian'))}")


def guardian_log(folder: Path) -> Path:
    """The log of the guardian of a runtime folder; the guardian holds a lock on it as long as it lives."""
    return folder / "logs" / "guardian.log"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago; whoever uses it must retry when it no longer is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_on_port(
    guardian: Guardian,
    service_at: Callable[[int], Service],
    ready: Callable[[int], bool],
    *,
    deadline: float,
) -> int:
    """Start a service on a free loopback port and wait until `ready(port)`; return the port.

    `service_at(port)` describes the service on that port. Where another program took the port in between, the next
    port is tried. `deadline` is on the clock of `time.monotonic`. Raises LocalPlatformError that names the service
    and shows the last line of its log.
    """
    for _ in range(PORT_ATTEMPTS):
        port = free_port()
        service = service_at(port)
        guardian.log_path(service.name).unlink(missing_ok=True)
        guardian.start(service)
        if _wait_ready(guardian, service.name, lambda port=port: ready(port), deadline):  # type: ignore[misc]
            return port
    raise LocalPlatformError(f"{service.name} found no free port in {PORT_ATTEMPTS} attempts")


def _wait_ready(guardian: Guardian, name: str, ready: Callable[[], bool], deadline: float) -> bool:
    """True once it is ready, False when its port was taken; raises when it ended or the time is over."""
    log = guardian.log_path(name)
    while time.monotonic() < deadline:
        state = guardian.alive()[name]
        if not state.running:
            if _ADDRESS_IN_USE.search(_tail(log)):
                return False
            raise LocalPlatformError(f"{name} ended with code {state.code}: {last_line(log)}")
        if ready():
            return True
        time.sleep(_POLL_S)
    raise LocalPlatformError(f"{name} was not ready in time; the last line of its log: {last_line(log)}")


def last_line(log: Path) -> str:
    """The last line of a log that says something, without the credentials of any address in it."""
    lines = [line.strip() for line in _tail(log).splitlines() if line.strip()]
    return _CREDENTIALS.sub("://***@", lines[-1])[:500] if lines else "it wrote nothing"


def _tail(log: Path, size: int = 8192) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def python_module(module: str, *arguments: str) -> tuple[str, ...]:
    """The argv that runs a module of this project by the interpreter that runs now."""
    return (sys.executable, "-m", module, *arguments)


__all__: Sequence[str] = (
    "Guardian",
    "Service",
    "ServiceState",
    "free_port",
    "guardian_log",
    "last_line",
    "python_module",
    "start_on_port",
)
