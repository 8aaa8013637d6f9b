"""The WebSocket component against real servers whose delays, drops and counts are known."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from deployments.config import RunConfig, Target, build_config
from storage.errors import NotMeasuredError
from storage.records import Collected, Measurement
from tasks.components.base import CollectContext, Progress, Samples
from tasks.components.websocket import WEBSOCKET

ANSWERS = {"ping": "pong", "track_order": "order_status_update", "subscribe": "subscribed"}


@dataclass
class Server:
    """A WebSocket server of its own thread that counts every message it is sent."""

    received: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    port: int = 0
    paths: list[str] = field(default_factory=list)


Handler = Callable[[Server, ServerConnection, int, dict[str, Any]], Coroutine[None, None, None]]


async def answer(_: Server, peer: ServerConnection, number: int, message: dict[str, Any]) -> None:
    del number
    await peer.send(json.dumps({"type": ANSWERS[message["type"]], "sequenceId": message["sequenceId"]}))


@contextmanager
def serving(handler: Handler = answer, *, refuse: HTTPStatus | None = None) -> Iterator[Server]:
    server, loop, ready = Server(), asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def converse(peer: ServerConnection) -> None:
        server.connections += 1
        number = server.connections
        try:
            async for text in peer:
                message = json.loads(text)
                server.received[message["type"]] += 1
                await handler(server, peer, number, message)
        except ConnectionClosed:
            return

    def upgrade(peer: ServerConnection, request: Request) -> Response | None:
        server.paths.append(request.path)
        return None if refuse is None else peer.respond(refuse, "no\n")

    async def main() -> None:
        async with serve(converse, "127.0.0.1", 0, process_request=upgrade, ping_interval=None) as running:
            server.port = next(iter(running.sockets)).getsockname()[1]
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@dataclass
class Tables:
    kept: dict[str, pa.Table] = field(default_factory=dict)

    def write(self, name: str, table: pa.Table) -> None:
        assert name not in self.kept
        self.kept[name] = table


def config(**overrides: str) -> RunConfig:
    settings = {"duration_s": "2", "ramp_up_s": "0.5", "websocket.pace_s": "0.25", "websocket.timeout_s": "1"}
    return build_config("development", overrides=settings | {k.replace("__", "."): v for k, v in overrides.items()})


def measure(url: str, settings: RunConfig | None = None) -> tuple[dict[str, Measurement], Samples, list[Progress]]:
    settings = settings or config()
    tables, told = Tables(), list[Progress]()
    target = Target(ws_url=SecretStr(url), local=True)
    collected: Collected = WEBSOCKET.collect(CollectContext(settings, target, tables, told.append))
    samples = Samples(tables.kept, collected)
    measured = WEBSOCKET.measure(samples, settings)
    for finding in WEBSOCKET.advise(samples, measured, settings):
        assert finding.evidence
        assert "canary" not in finding.model_dump_json()
    assert "canary" not in collected.model_dump_json()
    return {m.metric: m for m in measured if not m.labels}, samples, told


def test_every_message_that_the_server_got_is_a_row_and_latency_is_the_planted_one() -> None:
    async def late(server: Server, peer: ServerConnection, number: int, message: dict[str, Any]) -> None:
        await asyncio.sleep(0.03)
        await answer(server, peer, number, message)

    with serving(late) as server:
        found, samples, told = measure(f"ws://u:canary@127.0.0.1:{server.port}/ws?x=canary")
    rows = samples.tables["samples"]
    assert Counter(rows.column("endpoint").to_pylist()) == server.received
    load = samples.collected.load
    assert load is not None
    assert load.planned == load.sent == load.answered == rows.num_rows == server.received.total()
    assert server.received["subscribe"] == server.connections == 10
    assert server.received["track_order"] > 0
    p50, p95 = found["websocket.latency.p50"].value, found["websocket.latency.p95"].value
    assert p50 is not None
    assert p95 is not None
    assert 30 <= p50 <= 50
    assert 30 <= p95 <= 120
    assert (found["websocket.connects.ratio"].value, found["websocket.drops.count"].value) == (1, 0)
    assert found["websocket.messages.throughput"].value == pytest.approx(40, rel=0.1)
    assert told
    assert server.paths[0] == "/ws?x=canary"


def test_a_drop_of_every_third_connection_is_counted_and_come_back_from() -> None:
    seen: Counter[int] = Counter()

    async def drop(server: Server, peer: ServerConnection, number: int, message: dict[str, Any]) -> None:
        seen[number] += 1
        if number % 3 == 0 and number <= 10 and seen[number] == 4:
            await peer.close(1011)
            return
        await answer(server, peer, number, message)

    with serving(drop) as server:
        found, samples, _ = measure(f"ws://127.0.0.1:{server.port}/ws")
    connections = samples.tables["connections"].to_pylist()
    dropped = [row for row in connections if row["dropped"]]
    assert found["websocket.drops.count"].value == len(dropped) == 3
    assert {(row["close_code"], row["ended_by"]) for row in dropped} == {(1011, "peer")}
    again = [row for row in connections if row["attempt"] == 2]
    assert len(again) == 3
    assert all(row["opened_ns"] is not None for row in again)
    for row in again:
        before = next(one for one in dropped if one["connection"] == row["connection"])
        assert 0.25e9 <= row["intended_ns"] - before["closed_ns"] <= 0.8e9
    assert samples.tables["samples"].num_rows == server.received.total()
    load = samples.collected.load
    assert load is not None
    assert load.errors == {"closed": 3}
    assert server.connections == 13


def test_what_is_not_answered_in_time_is_an_error() -> None:
    async def forget(server: Server, peer: ServerConnection, number: int, message: dict[str, Any]) -> None:
        if message["type"] != "track_order":
            await answer(server, peer, number, message)

    with serving(forget) as server:
        found, samples, _ = measure(f"ws://127.0.0.1:{server.port}/ws")
    load = samples.collected.load
    assert load is not None
    assert load.errors == {"timeout": server.received["track_order"]}
    expected = server.received["track_order"] / server.received.total()
    assert found["websocket.errors.ratio"].value == pytest.approx(expected)


def test_an_answer_of_another_type_counts_as_failed() -> None:
    async def refuse(server: Server, peer: ServerConnection, number: int, message: dict[str, Any]) -> None:
        if message["type"] == "track_order":
            wrong = {"type": "error", "code": "ORDER_NOT_FOUND", "sequenceId": message["sequenceId"]}
            await peer.send(json.dumps(wrong))
            return
        await answer(server, peer, number, message)

    with serving(refuse) as server:
        _, samples, _ = measure(f"ws://127.0.0.1:{server.port}/ws")
    load = samples.collected.load
    assert load is not None
    assert load.failed == server.received["track_order"] > 0
    assert any("ORDER_NOT_FOUND" in note for note in samples.collected.notes)


def test_a_target_that_fails_is_left_alone() -> None:
    async def refuse(_: Server, peer: ServerConnection, number: int, message: dict[str, Any]) -> None:
        del number
        await peer.send(json.dumps({"type": "error", "code": "BUSY", "sequenceId": message["sequenceId"]}))

    with serving(refuse) as server:
        _, samples, _ = measure(f"ws://127.0.0.1:{server.port}/ws", config(duration_s="20", load__abort_after_s="2"))
    load = samples.collected.load
    assert load is not None
    assert load.unsent > 0.5 * load.planned
    assert "BUSY" in str(samples.collected.notes)
    assert "100% of requests failing" in samples.collected.load_plan["stopped"]
    assert samples.collected.window.seconds < 8


def test_a_broadcast_is_no_answer() -> None:
    async def chatter(server: Server, peer: ServerConnection, number: int, message: dict[str, Any]) -> None:
        await peer.send('{"type":"realtime_stats"}')
        await peer.send("not json")
        await answer(server, peer, number, message)

    with serving(chatter) as server:
        _, samples, _ = measure(f"ws://127.0.0.1:{server.port}/ws", config(duration_s="2"))
    load = samples.collected.load
    assert load is not None
    assert load.answered == server.received.total()
    assert load.failed == 0


def test_a_refused_upgrade_is_measured() -> None:
    with serving(refuse=HTTPStatus.FORBIDDEN) as server:
        found, samples, _ = measure(f"ws://127.0.0.1:{server.port}/ws")
        check = WEBSOCKET.check(config(), Target(ws_url=SecretStr(f"ws://127.0.0.1:{server.port}/ws")))
    assert (found["websocket.connects.ratio"].value, found["websocket.connects.ratio"].n) == (0, 10)
    assert {row["status"] for row in samples.tables["connections"].to_pylist()} == {403}
    assert [one.ok for one in check] == [True, False]
    assert "403" in check[1].detail


def test_a_dead_target_is_measured_as_dead() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        found, samples, _ = measure(f"ws://127.0.0.1:{port}/ws")
        check = WEBSOCKET.check(config(), Target(ws_url=SecretStr(f"ws://canary:x@127.0.0.1:{port}/ws")))
    assert (found["websocket.connects.ratio"].value, found["websocket.connects.ratio"].n) == (0, 10)
    assert found["websocket.latency.p95"].value is None
    load = samples.collected.load
    assert load is not None
    assert (load.sent, load.unsent) == (0, load.planned)
    assert {row["error"] for row in samples.tables["connections"].to_pylist()} == {"refused"}
    assert not check[-1].ok
    assert "canary" not in str(check)


def test_a_server_that_never_finishes_the_handshake_costs_the_time_limit() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        found, samples, _ = measure(f"ws://127.0.0.1:{listener.getsockname()[1]}/ws")
    assert found["websocket.connects.ratio"].value == 0
    assert {row["error"] for row in samples.tables["connections"].to_pylist()} == {"timeout"}


def test_without_an_address_nothing_is_measured() -> None:
    context = CollectContext(config(), Target(), Tables())
    with pytest.raises(NotMeasuredError, match="DEVELOPMENT_WS_URL"):
        WEBSOCKET.collect(context)
    assert [one.ok for one in WEBSOCKET.check(config(), Target())] == [False]


def test_a_working_server_passes_the_check() -> None:
    with serving() as server:
        check = WEBSOCKET.check(config(), Target(ws_url=SecretStr(f"ws://127.0.0.1:{server.port}/ws")))
    assert all(one.ok for one in check)
    assert server.received.total() == 0
