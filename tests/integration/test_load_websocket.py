"""The WebSocket load against a real server in its own process: pushes, storms, TLS, a thousand connections."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from deployments.config import ValueRange
from storage.errors import NotMeasuredError
from tasks.components.websocket.measure import missing_pushes
from tasks.components.websocket.storms import storms
from tasks.load.process import Progress, WorkerOutput
from tasks.load.recording.samples import STEADY, counts, errors_by_kind, of_phase
from tasks.load.websocket.address import parse, resolve
from tasks.load.websocket.limits import make_room
from tasks.load.websocket.plan import STORM, WebsocketPlan
from tasks.load.websocket.wire import Connection, End
from tasks.load.websocket.worker import work
from tasks.load.wire.loop import LoopWire
from tasks.load.wire.wire import Wire, open_wire
from tests.websocket_server import Running, serving


def load(url: str, on_progress: Progress = lambda _: None, **changes: Any) -> WorkerOutput:
    settings: dict[str, Any] = {
        "url": SecretStr(url),
        "connections": 10,
        "pace_s": 0.2,
        "ramp_up_s": 0.2,
        "duration_s": 1.2,
        "channel": "orders",
        "orders": ValueRange(template="{n}", last=5),
        "timeout_s": 3,
        "error_ratio": 1,
        "latency_ms": 30_000,
        "after_s": 60,
    }
    plan = WebsocketPlan(**(settings | changes))
    output = work(plan.to_json(), on_progress)
    number = counts(output.tables["samples"])
    assert output.facts["planned"] >= number["sent"] == number["answered"] + number["errors"]
    return output


def plain(server: Running) -> str:
    return f"ws://127.0.0.1:{server.port}/ws"


def rows_of(output: WorkerOutput) -> list[dict[str, Any]]:
    return list(output.tables["connections"].to_pylist())


def test_what_the_server_got_and_pushed_is_what_the_tables_hold() -> None:
    with serving(pushes=50, gaps=[7, 8, 30]) as server:
        output = load(f"{plain(server)}?token=canary")
        told = server.ask()
    assert Counter(output.tables["samples"].column("endpoint").to_pylist()) == told.messages
    assert told.messages["authenticate"] == told.messages["subscribe"] == told.connections == 10
    assert output.tables["samples"].num_rows == output.facts["planned"]
    pushes = output.tables["pushes"]
    assert pushes.num_rows == told.pushed == 10 * 47
    assert missing_pushes(pushes) == (30, 470)
    assert set(pushes.column("kind").to_pylist()) == {"realtime_stats"}
    for row in rows_of(output):
        assert row["started_ns"] <= row["connected_ns"] <= row["opened_ns"] <= row["closed_ns"]
        assert 0 < row["handshake_ms"] <= row["connect_ms"]
        assert (row["ended_by"], row["close_code"], row["dropped"], row["error"]) == ("client", 1000, False, None)
    samples = output.tables["samples"].to_pylist()
    assert all(row["sent_ns"] <= row["received_ns"] + 1_000_000 for row in samples), "two clocks, one mapping"
    assert all(row["received_ns"] <= row["seen_ns"] for row in samples)


def test_a_storm_that_the_plan_asks_for_drops_all_and_all_come_back() -> None:
    with serving() as server:
        output = load(plain(server), storm_at_s=0.5, storm_s=0.5, duration_s=1.6, backoff_s=0.1)
        told = server.ask()
    rows = rows_of(output)
    assert told.connections == 20 == len(rows)
    assert Counter(row["ended_by"] for row in rows) == {"storm": 10, "client": 10}
    assert not any(row["dropped"] for row in rows)
    (storm,) = storms(output.tables["connections"])
    assert (storm.by, storm.dropped, storm.lost, storm.attempts, storm.errors) == ("plan", 10, 0, 10, {})
    assert storm.recovery_ms is not None
    assert storm.recovery_ms >= 50, "no sooner than the shortest back-off"
    samples = output.tables["samples"]
    assert set(errors_by_kind(samples)) <= {"aborted"}
    assert counts(samples)["errors"] < 10
    in_storm = of_phase(samples, STORM).num_rows
    assert in_storm > 0
    assert of_phase(samples, STEADY).num_rows > 0
    assert told.messages.total() <= samples.num_rows == output.facts["planned"]


def test_a_server_that_throws_all_out_and_refuses_them_for_a_while_is_a_storm_with_its_errors() -> None:
    threads: list[threading.Thread] = []

    def closed_for_a_while() -> None:
        server.ask("drop")
        time.sleep(1.5)
        server.ask("take")

    def when_all_are_there(progress: Mapping[str, Any]) -> None:
        if progress["open"] == 10 and not threads:
            threads.append(threading.Thread(target=closed_for_a_while))
            threads[0].start()

    with serving() as server:
        settings = {"duration_s": 5, "pace_s": 0.5, "backoff_s": 0.2, "backoff_limit_s": 0.5, "reconnects": 30}
        output = load(plain(server), when_all_are_there, **settings)
        threads[0].join()
        told = server.ask()
    rows = rows_of(output)
    dropped = [row for row in rows if row["dropped"]]
    assert {(row["ended_by"], row["close_code"], row["error"]) for row in dropped} == {("peer", 1012, "closed")}
    (storm,) = storms(output.tables["connections"])
    assert (storm.by, storm.dropped, storm.lost) == ("server", 10, 0)
    assert storm.errors == {"HTTP 503": told.refused}
    assert told.refused >= 10
    assert storm.recovery_ms is not None
    assert storm.recovery_ms > 800, "the server took nobody for about 1.5 s"
    waited = of_phase(output.tables["samples"], STEADY).to_pylist()
    assert max(row["sent_ns"] - row["intended_ns"] for row in waited) > 0.5e9, "messages wait, and the wait counts"
    assert output.tables["samples"].num_rows == output.facts["planned"] - unsent_setup(rows)


def unsent_setup(rows: list[dict[str, Any]]) -> int:
    """A reconnect that fails sends no subscription."""
    return sum(row["opened_ns"] is None for row in rows)


def test_reconnects_wait_as_the_plan_says_to_the_millisecond_of_its_seed() -> None:
    with serving() as server:
        output = load(plain(server), storm_at_s=0.5, backoff_s=0.2, backoff_jitter=0.5, seed=7)
    plan = WebsocketPlan.model_validate(plan_json(seed=7, backoff_s=0.2))
    rows = rows_of(output)
    for row in rows:
        if row["attempt"] == 2:
            before = next(one for one in rows if one["connection"] == row["connection"] and one["attempt"] == 1)
            waited = row["intended_ns"] - before["closed_ns"]
            assert 0 <= waited - plan.backoff_ns(row["connection"], 2, 0) < 50_000_000


def plan_json(**changes: Any) -> dict[str, Any]:
    plan = WebsocketPlan(
        url=SecretStr("ws://h"), connections=10, pace_s=1, ramp_up_s=0, duration_s=1, channel="",
        orders=ValueRange(template="{n}", last=5), timeout_s=1, error_ratio=1, latency_ms=1, after_s=1,
    )  # fmt: skip
    return plan.to_json() | changes


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = made.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    return made, tmp_path


def test_tls_is_verified_and_carries_the_load(
    authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1] / "ca.pem"))
    with serving(certificate=str(authority[1] / "server.pem"), pushes=5) as server:
        output = load(f"wss://127.0.0.1:{server.port}/ws")
        told = server.ask()
    assert Counter(output.tables["samples"].column("endpoint").to_pylist()) == told.messages
    assert counts(output.tables["samples"])["answered"] == output.facts["planned"]
    assert output.tables["pushes"].num_rows == 50


def test_a_certificate_that_nobody_vouches_for_is_an_error_of_its_kind(
    authority: tuple[trustme.CA, Path],
) -> None:
    with serving(certificate=str(authority[1] / "server.pem")) as server:
        output = load(f"wss://127.0.0.1:{server.port}/ws")
        told = server.ask()
    rows = rows_of(output)
    assert [(row["error"], row["ended_by"], row["connected_ns"]) for row in rows] == [
        ("certificate", "handshake", None)
    ] * 10
    assert (told.connections, told.messages.total(), output.tables["samples"].num_rows) == (0, 0, 0)
    assert output.facts["stopped"] == "every connection was lost or never opened"


def test_a_thousand_connections_are_held_and_answered() -> None:
    with serving() as server:
        output = load(plain(server), connections=1200, pace_s=2, ramp_up_s=2, duration_s=4, timeout_s=10)
        told = server.ask()
    rows = rows_of(output)
    assert told.connections == len(rows) == 1200
    assert all(row["opened_ns"] is not None and row["error"] is None for row in rows)
    opened, closed = max(row["opened_ns"] for row in rows), min(row["closed_ns"] for row in rows)
    assert opened < closed, "all were open at once"
    number = counts(output.tables["samples"])
    assert number["answered"] == number["sent"] == output.facts["planned"] == told.messages.total()


def test_the_limit_of_open_files_is_raised_where_the_system_lets_it() -> None:
    code = (
        "import resource, sys; from tasks.load.websocket.limits import make_room;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 2000)); make_room(1000);"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE)); make_room(5000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    soft, hard = map(int, done.stdout.split())
    assert (soft >= 1000, hard) == (True, 2000)
    assert "5000 connections need" in done.stderr
    assert "ulimit -Hn" in done.stderr


def test_room_that_is_there_is_left_as_it_is() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    make_room(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    with pytest.raises(NotMeasuredError, match="open files"):
        make_room(1 << 40)


async def ask_once(wire: Wire, port: int, *, block_s: float = 0.0) -> tuple[int, int, int, list[End]]:
    """Send one message and close: when it was sent, its answer's stamp and when it was seen, and how it ended."""
    address = resolve(parse(f"ws://127.0.0.1:{port}/ws"))
    opened, answered, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    times: list[int] = []
    ends: list[End] = []

    def text(_: bytes, stamp_ns: int, seen_ns: int) -> None:
        times.extend((stamp_ns, seen_ns))
        answered.set()

    def ended(end: End) -> None:
        ends.append(end)
        closed.set()

    connection = Connection(address.uri, on_open=lambda _: opened.set(), on_text=text, on_end=ended)
    connection.start(wire, address.place(None))
    async with asyncio.timeout(10):
        await opened.wait()
        sent = connection.send(json.dumps({"type": "ping", "sequenceId": 1}).encode())
        time.sleep(block_s)  # noqa: ASYNC251 - a loop that something blocks is what is tested
        await answered.wait()
        connection.close()
        await closed.wait()
    wire.close()
    await asyncio.sleep(0)
    return sent, times[0], times[1], ends


def test_a_busy_generator_does_not_move_the_moment_of_an_answer() -> None:
    """The answer comes while this process sleeps: the stamp is the kernel's, only the seeing is late."""

    async def scene(port: int) -> tuple[int, int, int, list[End]]:
        return await ask_once(open_wire(), port, block_s=0.4)

    with serving(hold_s=0.05) as server:
        sent, stamp, seen, _ = asyncio.run(scene(server.port))
    assert seen - sent > 350_000_000
    assert 50_000_000 <= stamp - sent < 250_000_000


def test_the_fallback_wire_carries_it_as_well() -> None:
    async def scene(port: int) -> tuple[int, int, int, list[End]]:
        return await ask_once(LoopWire(asyncio.get_running_loop()), port)

    with serving() as server:
        sent, stamp, seen, ends = asyncio.run(scene(server.port))
        told = server.ask()
    assert sent < stamp == seen, "stamped by the loop"
    assert [(end.by, end.code, end.error) for end in ends] == [("client", 1000, None)]
    assert told.messages == {"ping": 1}


@pytest.mark.parametrize("fragments", [False, True])
@pytest.mark.parametrize("protocol", ["websocket", "socketio"])
def test_a_text_that_is_not_utf8_fails_the_connection_by_a_kind_and_a_code_of_its_own(
    protocol: str, *, fragments: bool
) -> None:
    """RFC 6455, 8.1: 1007. A text that is UTF-8 and no JSON is no such thing."""
    codes: list[int | None] = []
    all_ended = threading.Event()

    def answer(peer: ServerConnection) -> None:
        before = b""
        if protocol == "socketio":
            peer.send('0{"sid":"a","upgrades":[],"pingInterval":20000,"pingTimeout":20000,"maxPayload":1000}')
            peer.recv()
            peer.send('40{"sid":"b"}')
            before = b"42"
        peer.recv()
        peer.send((before + b"no JSON, but caf\xc3\xa9").decode())
        wrong = before + b'["caf\xe9"]'
        peer.send([wrong[:4], wrong[4:]] if fragments else wrong, text=True)
        with suppress(ConnectionClosed):
            while True:
                peer.recv(5)
        codes.append(peer.close_code)
        if len(codes) == 2:
            all_ended.set()

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        more: dict[str, Any] = {"transport": "websocket"} if protocol == "socketio" else {}
        path = "socket.io/" if protocol == "socketio" else "ws"
        output = load(
            f"ws://127.0.0.1:{port}/{path}", protocol=protocol, connections=2, reconnects=0, duration_s=0.8, **more
        )
        assert all_ended.wait(10)
        server.shutdown()
        thread.join()
    rows = [(row["ended_by"], row["close_code"], row["error"]) for row in rows_of(output)]
    assert rows == [("lost", 1007, "bad_text")] * 2
    assert set(errors_by_kind(output.tables["samples"])) == {"bad_text"}
    assert output.facts["unparsed"] == 2
    assert codes == [1007, 1007], "the server was told why"
