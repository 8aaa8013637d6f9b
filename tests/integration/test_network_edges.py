"""The network's edges: a name service that hangs, a TLS handshake that never ends, proxies that variables name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.config import Target, build_config
from storage.errors import NotMeasuredError
from storage.records import ComponentId
from tasks.components import COMPONENTS
from tasks.load.database import session
from tasks.load.redis.wire import RedisAddress, RedisConnection
from tasks.load.wire import address
from tasks.monitoring.watch.watch import Pace, Watch

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("hasivu-perf")
GENEROUS_S = 20.0
"""A limit of a second, on a busy machine; what hangs takes for ever."""

HELLO = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"
"""The beginning of a TLS record of 16 KiB: a handshake message that is to be long."""


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of the loopback; each connection is served in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def quietly(peer: socket.socket) -> None:
            with peer, suppress(OSError):
                serve(peer)

        def accept() -> None:
            while True:
                try:
                    peer = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=quietly, args=(peer,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def silent(peer: socket.socket) -> None:
    while peer.recv(4096):
        pass


def trickling(peer: socket.socket) -> None:
    """A handshake of which a byte comes every 50 ms, so that no time-out of a single read is ever reached."""
    peer.recv(4096)
    for byte in HELLO + bytes(16_000):
        peer.send(bytes([byte]))
        time.sleep(0.05)


def of_postgresql(serve: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """What PostgreSQL says before TLS begins."""

    def agreed(peer: socket.socket) -> None:
        peer.recv(8)
        peer.send(b"S")
        serve(peer)

    return agreed


@pytest.mark.parametrize("serve", [silent, trickling])
def test_no_tls_handshake_holds_a_connection_longer_than_its_limit(
    serve: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CONNECT_S", 1.0)
    begin = time.monotonic()
    with listening(serve) as port:
        with pytest.raises(NotMeasuredError, match="no answer in time"):
            RedisConnection(RedisAddress("127.0.0.1", port, tls=True), timeout_s=1.0).open()
        found = address.probe(address.parse(f"https://127.0.0.1:{port}", variable="X"), timeout_s=1.0)
        assert not found.accepts
    with listening(of_postgresql(serve)) as port:
        server = session.parse(f"postgresql://a:b@127.0.0.1:{port}/x?sslmode=require&connect_timeout=60", "X")
        watchdog = session.Watchdog()
        with pytest.raises(NotMeasuredError, match="does not answer"):
            session.Session(server, watchdog, timeout_ms=1000)
        watchdog.close()
    assert time.monotonic() - begin < GENEROUS_S


LOST = """
import sys, time
from storage.errors import NotMeasuredError
from tasks.load.database import session
from tasks.load.redis.wire import RedisAddress, RedisConnection
from tasks.load.websocket import address as websocket
from tasks.load.wire import address, deadline

deadline.RESOLVE_S = session.CONNECT_S = 1.0
deadline.resolved.__kwdefaults__["seconds"] = 1.0

def redis():
    RedisConnection(RedisAddress("cache.nowhere.example", 6379), timeout_s=1.0).open()

def http():
    address.resolve(address.parse("https://api.nowhere.example", variable="X"))

def ws():
    websocket.resolve(websocket.parse("wss://ws.nowhere.example/ws"))

def postgresql():
    server = session.parse("postgresql://a:b@db.nowhere.example/x", "X")
    session.Session(server, session.Watchdog(), timeout_ms=1000)

for look in (redis, http, ws, postgresql):
    begin = time.monotonic()
    try:
        look()
    except NotMeasuredError as error:
        print(look.__name__, f"{time.monotonic() - begin:.1f}", error, flush=True)
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a name service of one's own needs a namespace of one's own")
def test_a_name_service_that_hangs_holds_nobody_longer_than_the_limit(tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.53\noptions timeout:30 attempts:5\n")
    script = tmp_path / "lost.py"
    script.write_text(LOST)
    # in a network of its own whose one name service takes questions and never answers
    shell = (
        f"mount --bind {resolv} /etc/resolv.conf && ip link set lo up && exec {sys.executable} -c "
        "'import socket, subprocess, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        's.bind(("127.0.0.53", 53)); sys.exit(subprocess.run(sys.argv[1:]).returncode)\' '
        f"{sys.executable} {script}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", shell],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no namespace here: {done.stderr.strip()}")
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert [name for name, _, _ in lines] == ["redis", "http", "ws", "postgresql"], done.stdout + done.stderr
    assert all(float(took) < GENEROUS_S for _, took, _ in lines), lines
    assert all("\n" not in words and "nowhere.example" in words for _, _, words in lines)
    assert sum("name service did not answer" in words for _, _, words in lines) >= 2


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A proxy that every variable names; what it is asked for."""
    asked: list[bytes] = []

    def take(peer: socket.socket) -> None:
        asked.append(peer.recv(4096))

    with listening(take) as port:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        yield asked


def test_no_proxy_of_a_variable_is_ever_asked(proxied: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    reached: list[bytes] = []

    def answer(peer: socket.socket) -> None:
        reached.append(peer.recv(4096))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    with listening(answer) as port:
        target = Target(
            api_url=SecretStr(f"http://127.0.0.1:{port}"),
            ws_url=SecretStr(f"ws://127.0.0.1:{port}/ws"),
            redis_url=SecretStr(f"redis://127.0.0.1:{port}/0"),
            database_url=SecretStr(f"postgresql://a:b@127.0.0.1:{port}/x"),
            aws_region="ap-south-1",
            aws_endpoint_url=f"http://127.0.0.1:{port}",
        )
        config = build_config("development")
        for component in ComponentId:
            with suppress(NotMeasuredError):
                COMPONENTS[component].check(config, target)
        before = len(reached)
        with Watch(config, target.model_copy(update={"aws_region": None}), pace=Pace(probe_s=0.1)) as watch:
            end = time.monotonic() + GENEROUS_S
            while len(reached) < before + 8 and time.monotonic() < end:
                watch.wait(0.1)
        before = len(reached)
        load = [str(PROGRAM), "load", f"http://127.0.0.1:{port}/", "--rate", "10", "--duration", "1", "--json"]
        subprocess.run(load, capture_output=True, timeout=60, check=False)
        assert len(reached) > before + 3, "the load went where it was sent"
    assert proxied == []
