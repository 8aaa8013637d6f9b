"""The whole embedded platform: ready, loopback only, two at once, and gone with its owner."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from deployments.local import registry, serve
from deployments.local.platform import ExtraService, Part, Platform, answers, platform
from storage.errors import LocalPlatformError
from tests.processes import family

LIMIT_S = 5.0
TWO = frozenset({Part.DATABASE, Part.CACHE})

OWNER = """
import json, signal, time
from deployments.local.platform import platform

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
with platform() as running:
    print(json.dumps({"guardian": running.guardian.pid, "folder": str(running.folder),
                      "environment": dict(running.environment)}), flush=True)
    time.sleep(600)
"""


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """The addresses at which these processes listen, in the kernel's hexadecimal (proc_net_tcp(5): state 0A)."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink()) if link.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.add((address, int(port, 16)))
    return found


def within(limit_s: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A platform that another process owns."""
    with subprocess.Popen(
        (sys.executable, "-c", OWNER), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_nothing_is_left_five_seconds_after_the_owner_ended(number: signal.Signals) -> None:
    with owner() as (process, started):
        everyone = family(started["guardian"])
        addresses = listening(everyone)
        assert len(addresses) == 4  # PostgreSQL, Valkey, AWS, the application
        assert {address for address, _ in addresses} == {"0100007F"}  # 127.0.0.1
        process.send_signal(number)
        assert within(LIMIT_S, lambda: not Path(started["folder"]).exists())
        assert within(0.5, lambda: all(registry.start_time(pid) is None for pid in everyone))
        for _, port in addresses:
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_an_interrupt_in_the_middle_of_the_preparation_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    with subprocess.Popen(
        (sys.executable, "-c", OWNER), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            runs = tmp_path / "hasivu-perf" / "runs"
            assert within(60, lambda: any(runs.glob("*/postgresql-build/data/postmaster.pid")))
            everyone = family(process.pid) - {process.pid}
            process.send_signal(signal.SIGINT)
            assert within(LIMIT_S, lambda: list(runs.iterdir()) == [])
            assert within(LIMIT_S, lambda: all(registry.start_time(pid) is None for pid in everyone))
        finally:
            process.kill()
    assert [path.name for path in (tmp_path / "hasivu-perf" / "data").iterdir()] == ["build.lock"]


def test_all_parts_answer_at_the_addresses_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with platform(services=(_extra("beside"),)) as running:
        up_s = time.monotonic() - began
        environment = running.environment
        with psycopg.connect(environment["DEVELOPMENT_DATABASE_URL"]) as connection:
            assert connection.execute("SELECT count(*) FROM schools").fetchone() == (60,)
        with redis.Redis.from_url(environment["DEVELOPMENT_REDIS_URL"]) as cache:
            assert cache.ping()
        assert httpx.get(f"{environment['DEVELOPMENT_API_URL']}/health").status_code == 200
        assert environment["DEVELOPMENT_WS_URL"].startswith("ws://127.0.0.1:")
        assert httpx.get(f"{environment['AWS_ENDPOINT_URL']}/_ready").status_code == 200
        assert running.variables("STAGING")["STAGING_API_URL"] == running.api_url
        assert answers(running.services["beside"], "/")
        assert answers(running.add_service(_extra("later")), "/")
        running.check()
        assert _memory_mb(family(running.guardian.pid)) < 600
        assert "canary" not in repr(running)
        assert running.database is not None
        assert running.database.passwords.admin not in repr(running)
    assert up_s < 40  # 20 s are promised on two cores of one's own


BRIEFLY = """
import os, psycopg
from deployments.local.platform import Part, platform

with platform(parts={Part.DATABASE}) as running:
    with psycopg.connect(running.database_url) as connection:
        print(os.geteuid(), connection.execute("SELECT count(*) FROM orders").fetchone()[0])
"""

AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
WAYS: list[tuple[tuple[str, ...], bool, int]] = [((), True, os.geteuid())]
if os.geteuid() == 0:
    WAYS.append(((), False, 0))  # root without `unshare`: the programs are copied, nobody runs them
    if subprocess.run((*AS_USER, "true"), capture_output=True, check=False).returncode == 0:
        WAYS.append((AS_USER, True, 1000))


@pytest.mark.parametrize(("prefix", "namespaces", "user"), WAYS)
def test_it_works_for_every_kind_of_user(
    tmp_path: Path, prefix: tuple[str, ...], user: int, *, namespaces: bool
) -> None:
    tmp_path.joinpath("cp").symlink_to(shutil.which("cp") or "")
    env = {} if namespaces else {"PATH": str(tmp_path)}
    before = set(Path("/var/tmp").glob("hasivu-perf-*"))  # noqa: S108
    argv = (*prefix, sys.executable, "-c", BRIEFLY)
    answer = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, timeout=200, check=False)
    assert (answer.stdout, answer.returncode) == (f"{user} 220000\n", 0), answer.stderr
    new = set(Path("/var/tmp").glob("hasivu-perf-*")) - before  # noqa: S108
    until = time.monotonic() + 90
    while (left := [folder for folder in new if folder.exists()]) and time.monotonic() < until:
        time.sleep(0.5)  # those of another test that runs beside this one go with it
    assert not left


def test_two_at_once_do_not_meet() -> None:
    with platform(parts=TWO) as first, platform(parts=TWO) as second:
        assert first.folder != second.folder
        with psycopg.connect(first.application_database_url) as connection:
            connection.execute("DELETE FROM payment_plans")
        with psycopg.connect(second.database_url) as connection:
            assert connection.execute("SELECT count(*) FROM payment_plans").fetchone() == (60,)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(first.database_url.rpartition("@")[0] + "@" + second.database_url.rpartition("@")[2])


def test_a_part_that_was_not_started_is_named() -> None:
    with platform(parts={Part.CACHE}) as running:
        assert set(running.environment) == {"DEVELOPMENT_REDIS_URL"}
        with pytest.raises(LocalPlatformError, match="the database part of the platform was not started"):
            _ = running.database_url


def test_the_application_alone_is_refused() -> None:
    with (
        pytest.raises(LocalPlatformError, match="the application needs the database and the cache"),
        platform(parts={Part.APPLICATION}),
    ):
        pass


def test_a_part_that_fails_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    broken = ExtraService("broken", lambda _: ("sh", "-c", "echo the disk is full; exit 3"), lambda _: False)
    folder = tmp_path / "run"
    with (
        pytest.raises(LocalPlatformError, match=r"^broken ended with code 3: the disk is full$"),
        platform(parts={Part.CACHE}, services=(broken,), folder=folder),
    ):
        pass
    assert not folder.exists()


def test_a_part_that_ends_by_itself_is_noticed() -> None:
    with platform(parts={Part.CACHE}) as running:
        os.kill(running.guardian.alive()["valkey"].pid, signal.SIGKILL)
        assert within(2, lambda: not running.guardian.alive()["valkey"].running)
        with pytest.raises(LocalPlatformError, match="valkey ended with code -9"):
            running.check()


def test_a_cache_directory_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LocalPlatformError, match="set XDG_CACHE_HOME"), platform(parts={Part.CACHE}):
        pass


class TestServed:
    def test_a_platform_in_the_background_is_found_and_ended(self) -> None:
        served = serve.start_detached(parts={Part.CACHE})
        try:
            assert served.folder in {item.folder for item in registry.running()}
            assert (served.folder / registry.STATE).stat().st_mode & 0o777 == 0o600
            with redis.Redis.from_url(served.environment["DEVELOPMENT_REDIS_URL"]) as cache:
                assert cache.ping()
        finally:
            registry.stop(served)
        assert not served.folder.exists()
        assert served.folder not in {item.folder for item in registry.running()}

    def test_one_that_does_not_start_says_why(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(LocalPlatformError, match=r"did not start: .*needs the database"):
            serve.start_detached(parts={Part.APPLICATION})
        assert list((tmp_path / "hasivu-perf").rglob("serve.log")) == []

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_ends_by_a_signal_and_puts_the_handlers_back(self, number: signal.Signals) -> None:
        seen: list[Platform] = []

        def ready(running: Platform) -> None:
            seen.append(running)
            os.kill(os.getpid(), number)

        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        serve.serve_until_stopped(ready, parts={Part.CACHE})
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        assert not seen[0].folder.exists()

    def test_it_ends_with_an_error_when_a_part_dies(self) -> None:
        def ready(running: Platform) -> None:
            os.kill(running.guardian.alive()["valkey"].pid, signal.SIGKILL)

        with pytest.raises(LocalPlatformError, match="valkey ended with code -9"):
            serve.serve_until_stopped(ready, parts={Part.CACHE})


def _extra(name: str) -> ExtraService:
    server = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1")
    return ExtraService(name, lambda port: (*server, str(port)), lambda port: answers(port, "/"))


def _memory_mb(pids: set[int]) -> float:
    """Proportional set size of all processes (proc_pid_smaps(5)): shared memory counts once."""
    total_kb = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kb += int(line.split()[1])
    return total_kb / 1024
