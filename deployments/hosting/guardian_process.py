"""The process that owns every service of an embedded platform; start it by `deployments.hosting.guardian.Guardian`.

It makes the runtime folder that its argument names, and its own log in there. It reads one JSON request a line from
its standard input, answers each by one JSON line with the same `request` number, and ends when the input ends or its
parent is gone, however the parent went. Then it signals every service, waits for a moment, kills what is left,
orphans included, removes the folders it was told to remove, and exits. It has one thread only: PR_SET_PDEATHSIG
follows the thread that forked, so a service that was started by a thread of a pool would die with that thread.

Requests: `{"op": "start", name, argv, env, cwd, stdin, log, stop_signal, user}` answers `{"pid": …}`;
`{"op": "stop", name}` and `{"op": "state"}` answer `{"services": {name: {"pid": …, "code": null | int}}}`;
`{"op": "remove_at_end", path}` answers `{}`. A request that fails answers `{"error": one line}`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.hosting.shared_memory import remove_made_by

GRACE_S = 2.0
"""How long a service may take to end by itself after its stop signal."""

KILL_S = 1.5
"""How long the guardian keeps killing orphans before it gives up and leaves."""

_POLL_S = 0.02
_WATCH_S = 0.2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass
class _Process:
    """One service: the leader of its own session and process group."""

    pid: int
    stop_signal: int
    popen: subprocess.Popen[bytes]
    code: int | None = None


def _prctl() -> Callable[[int, int], int] | None:
    """Linux's prctl(2), loaded before any fork; None where there is none."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return lambda option, value: int(libc.prctl(option, value, 0, 0, 0))


class GuardianProcess:
    """The services, the folders to remove, and the loop that serves the owner."""

    def __init__(self, folder: Path) -> None:
        self._owner = os.getppid()
        self._folder = folder
        self._processes: dict[str, _Process] = {}
        self._removals: list[Path] = [folder]
        self._operations: dict[str, Callable[..., dict[str, Any]]] = {
            "make": self._make,
            "start": self._start,
            "stop": self._stop,
            "state": self._state,
            "remove_at_end": self._remove_at_end,
        }
        self._ending = False
        self._began = time.time()
        self._prctl = _prctl()
        if self._prctl is not None:
            # Grandchildren whose parent died become ours, so that none can escape the end.
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._end_by_signal)

    def serve(self) -> None:
        """Answer requests until the owner is gone, then end everything."""
        try:
            self._answer(**self._handled({"request": 0, "op": "make"}))
            for line in self._lines():
                self._answer(**self._handled(json.loads(line)))
        except BrokenPipeError:
            pass  # the owner is gone: the same as the end of the input
        finally:
            self._end_all()

    def _end_by_signal(self, _number: int, _frame: object) -> None:
        self._ending = True

    def _lines(self) -> Iterator[bytes]:
        """Requests of the owner, until the input ends, the owner is gone, or SIGTERM."""
        buffer = b""
        while not self._ending and os.getppid() == self._owner:
            readable, _, _ = select.select([0], [], [], _WATCH_S)
            self._reap()
            if not readable:
                continue
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from lines

    def _answer(self, **content: Any) -> None:
        os.write(1, json.dumps(content).encode() + b"\n")

    def _handled(self, request: dict[str, Any]) -> dict[str, Any]:
        number = request.pop("request")
        try:
            answer = self._operations[request.pop("op")](**request)
        except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        return {"request": number, **answer}

    def _make(self) -> dict[str, Any]:
        """Make the runtime folder, and write what goes wrong here to a log in it."""
        logs = self._folder / "logs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        logs.mkdir(mode=0o700, exist_ok=True)
        with open(logs / "guardian.log", "ab", opener=_private) as log:
            os.dup2(log.fileno(), 2)
        with suppress(OSError):  # the lock says that the folder of this log is in use
            fcntl.flock(2, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return {}

    def _start(
        self,
        *,
        name: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        stdin: str,
        log: str,
        stop_signal: int,
        user: list[int] | None,
    ) -> dict[str, Any]:
        running = self._processes.get(name)
        if running is not None and running.code is None:
            return {"error": f"a service named {name!r} runs already"}
        with (
            Path(stdin).open("rb") as source,
            open(log, "ab", opener=_private) as output,
        ):
            popen = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=source,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._before_exec,  # noqa: PLW1509  this process has one thread only
                user=user[0] if user else None,
                group=user[1] if user else None,
                extra_groups=[] if user else None,
                umask=0o077,
            )
        self._processes[name] = _Process(popen.pid, stop_signal, popen)
        return {"pid": popen.pid}

    def _before_exec(self) -> None:
        """In the child: die with the guardian, and start with the usual signal handling."""
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)

    def _state(self) -> dict[str, Any]:
        self._reap()
        services = {name: {"pid": item.pid, "code": item.code} for name, item in self._processes.items()}
        return {"services": services}

    def _stop(self, *, name: str) -> dict[str, Any]:
        process = self._processes[name]
        if process.code is None:
            _signal_group(process.pid, process.stop_signal)
            self._wait(lambda: process.code is not None, GRACE_S)
        _signal_group(process.pid, signal.SIGKILL)
        self._wait(lambda: process.code is not None, KILL_S)
        return self._state()

    def _remove_at_end(self, *, path: str) -> dict[str, Any]:
        self._removals.append(Path(path))
        return {}

    def _reap(self) -> bool:
        """Collect every ended child, ours and adopted ones; False when no child is left."""
        by_pid = {process.pid: process for process in self._processes.values()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            remove_made_by({pid}, self._began)  # helpers too: initdb's server makes one of its own
            process = by_pid.get(pid)
            if process is not None:
                process.code = process.popen.returncode = os.waitstatus_to_exitcode(status)
                _signal_group(pid, signal.SIGKILL)  # a service is its leader: its helpers end with it

    def _wait(self, done: Callable[[], bool], limit_s: float) -> None:
        until = time.monotonic() + limit_s
        while self._reap() and not done() and time.monotonic() < until:
            time.sleep(_POLL_S)

    def _end_all(self) -> None:
        running = [process for process in self._processes.values() if process.code is None]
        for process in running:
            _signal_group(process.pid, process.stop_signal)
        self._wait(lambda: all(process.code is not None for process in running), GRACE_S)
        self._kill_all()
        for path in reversed(self._removals):
            _remove(path)

    def _kill_all(self) -> None:
        until = time.monotonic() + KILL_S
        while self._reap() and time.monotonic() < until:
            for process in self._processes.values():
                if process.code is None:
                    _signal_group(process.pid, signal.SIGKILL)
            for pid in _children(os.getpid()):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_POLL_S)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _children(parent: int) -> list[int]:
    """Processes whose parent is `parent`, by /proc (proc_pid_stat(5): field 4, after the name in parentheses)."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    GuardianProcess(Path(sys.argv[1])).serve()
