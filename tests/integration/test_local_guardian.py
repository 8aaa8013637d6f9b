"""The guardian with real processes: what it starts ends with the owner, however the owner ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.hosting.guardian import Guardian, Service, last_line, start_on_port
from storage.errors import LocalPlatformError
from tests.processes import family

LIMIT_S = 5.0
"""What the project promises: nothing is left after five seconds."""

OWNER = """
import json, signal, sys, time
from pathlib import Path
from deployments.hosting.guardian import Guardian, Service

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
folder = Path(sys.argv[1])
stubborn = "trap '' TERM INT; setsid sleep 600 & sleep 600 & wait; sleep 600"
with Guardian(folder) as guardian:
    pids = [guardian.pid]
    pids.append(guardian.start(Service("plain", ("sleep", "600"), cwd=folder)))
    pids.append(guardian.start(Service("stubborn", ("sh", "-c", stubborn), cwd=folder)))
    print(json.dumps(pids), flush=True)
    time.sleep(600)
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def within(limit_s: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process at the end, whatever the test finds."""
    with process:
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_nothing_is_left_when_the_owner_ends(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "run"
    owner = subprocess.Popen(
        (sys.executable, "-c", OWNER, str(folder)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with ended(owner):
        assert owner.stdout is not None
        guardian, *_ = json.loads(owner.stdout.readline())
        assert within(5, lambda: len(family(guardian)) == 5)  # guardian, plain, stubborn and its two sleeps
        everyone = family(guardian)
        owner.send_signal(number)
        assert within(LIMIT_S, lambda: not folder.exists() and all(map(gone, everyone)))


def test_a_killed_guardian_takes_its_services_with_it(tmp_path: Path) -> None:
    with Guardian(tmp_path / "run") as guardian:
        pid = guardian.start(Service("sleep", ("sleep", "600"), cwd=tmp_path))
        os.kill(guardian.pid, signal.SIGKILL)
        assert within(LIMIT_S, lambda: gone(pid))
        with pytest.raises(LocalPlatformError, match="the guardian has ended"):
            guardian.alive()


def test_a_service_that_dies_is_seen_with_its_last_words(tmp_path: Path) -> None:
    with Guardian(tmp_path / "run") as guardian:
        guardian.start(
            Service("brief", ("sh", "-c", "echo no memory for redis://:canary@host; exit 7"), cwd=tmp_path)
        )
        assert within(2, lambda: guardian.alive()["brief"].code == 7)
        with pytest.raises(LocalPlatformError, match=r"^brief ended with code 7: no memory for redis://\*\*\*@host$"):
            guardian.check("brief")


def test_a_service_is_stopped_by_its_own_signal_and_may_start_again(tmp_path: Path) -> None:
    program = ("sh", "-c", "echo up; exec sleep 600")
    service = Service("waiting", program, cwd=tmp_path, stop_signal=signal.SIGINT)
    with Guardian(tmp_path / "run") as guardian:
        for _ in range(2):
            guardian.start(service)
            log = guardian.log_path("waiting")
            assert within(5, lambda log=log: "up" in last_line(log))  # type: ignore[misc]
            with pytest.raises(LocalPlatformError, match="runs already"):
                guardian.start(service)
            state = guardian.stop("waiting")
            assert state.code == -signal.SIGINT
            log.unlink()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        Guardian(tmp_path / "run") as guardian,
        pytest.raises(LocalPlatformError, match=r"^ghost could not be started"),
    ):
        guardian.start(Service("ghost", ("/nonexistent/program",), cwd=tmp_path))


def test_a_service_gets_no_descriptor_and_no_variable_of_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODUCTION_DATABASE_URL", "canary-secret")
    read, write = os.pipe()
    os.set_inheritable(write, True)  # noqa: FBT003
    try:
        with Guardian(tmp_path / "run") as guardian:
            argv = ("sh", "-c", "echo $(ls /proc/self/fd); env")
            guardian.start(Service("curious", argv, cwd=tmp_path, env={"OWN": "yes"}))
            assert within(2, lambda: guardian.alive()["curious"].code == 0)
            said = guardian.log_path("curious").read_text()
            assert guardian.log_path("curious").stat().st_mode & 0o777 == 0o600
    finally:
        os.close(read)
        os.close(write)
    assert said.splitlines()[0].split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads
    assert "OWN=yes" in said
    assert "canary-secret" not in said


def test_the_runtime_folder_is_private(tmp_path: Path) -> None:
    with Guardian(tmp_path / "run") as guardian:
        assert guardian.folder.stat().st_mode & 0o777 == 0o700


SERVER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""


def test_a_port_that_was_taken_in_between_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connects(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = [other.getsockname()[1], free.getsockname()[1]]
        free.close()
        monkeypatch.setattr("deployments.hosting.guardian.free_port", iter(ports).__next__)

        def service(port: int) -> Service:
            return Service("server", (sys.executable, "-c", SERVER, str(port)), cwd=tmp_path)

        def ready(port: int) -> bool:
            return port != ports[0] and connects(port)

        with Guardian(tmp_path / "run") as guardian:
            assert start_on_port(guardian, service, ready, deadline=time.monotonic() + 20) == ports[1]


def test_a_service_that_is_never_ready_is_named_with_its_last_line(tmp_path: Path) -> None:
    def service(port: int) -> Service:
        return Service("slow", ("sh", "-c", f"echo loading {port}; sleep 600"), cwd=tmp_path)

    with (
        Guardian(tmp_path / "run") as guardian,
        pytest.raises(LocalPlatformError, match=r"^slow was not ready in time; .* loading \d+$"),
    ):
        start_on_port(guardian, service, lambda _: False, deadline=time.monotonic() + 0.5)
