"""The closed loop against servers whose behaviour is known: as many requests as answers, and every break its kind."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from collections import Counter
from typing import Any

import pytest

from tasks.load.adhoc.closed import ERROR_SHIFT, FAILED_BIT, SIZE_SHIFT, ClosedLoop, Pulse
from tasks.load.recording.samples import ERRORS
from tasks.load.wire.wire import Place, Stamps
from tests.load_servers import Answer, Received, reply, serving

REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def load(
    port: int,
    seconds: float = 0.5,
    *,
    connections: int = 4,
    ramp_up_s: float = 0,
    timeout_s: float = 5,
    **options: Any,
) -> ClosedLoop:
    async def run() -> ClosedLoop:
        loop = ClosedLoop(
            Place("127.0.0.1", port),
            REQUEST,
            connections=connections,
            timeout_s=timeout_s,
            expect=frozenset({200}),
            **options,
        )
        await loop.run(seconds, ramp_up_s=ramp_up_s)
        return loop

    return asyncio.run(run())


def ends(loop: ClosedLoop) -> Counter[tuple[int, str | None, bool, int]]:
    """How often a request ended so: (status, error, failed, bytes)."""
    return Counter(
        (
            code & (FAILED_BIT - 1),
            ERRORS[(code >> ERROR_SHIFT & 31) - 1] if code >> ERROR_SHIFT & 31 else None,
            bool(code & FAILED_BIT),
            code >> SIZE_SHIFT,
        )
        for code in loop.codes
    )


def always(data: bytes, *, delay_s: float = 0, close: bool = False, reset: bool = False) -> Answer:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_s)
        writer.write(data)
        if reset:
            await writer.drain()
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if close or reset:
            writer.close()

    return answer


@pytest.mark.parametrize("stamps", ["loop", "kernel"])
def test_each_request_has_one_row_and_each_connection_one_request(stamps: Stamps) -> None:
    most = 0
    open_requests = 0

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal most, open_requests
        open_requests += 1
        most = max(most, open_requests)
        await asyncio.sleep(0.02)
        open_requests -= 1
        writer.write(reply(200, b"x" * 100))

    with serving(answer) as server:
        loop = load(server.port, stamps=stamps)
    assert len(loop.codes) == len(loop.sent_ns) == len(loop.received_ns) == server.requests
    assert ends(loop) == {(200, None, False, 100): server.requests}
    assert server.connections == loop.connects == 4
    assert most == 4
    assert 20 <= server.requests <= 104  # 4 connections × 0.5 s ÷ 20 ms, and one more each
    assert all(got - sent >= 20_000_000 for sent, got in zip(loop.sent_ns, loop.received_ns, strict=True))


def test_other_heads_lengths_and_statuses_are_told_apart() -> None:
    answers = itertools.cycle(
        [
            reply(200, b"a" * 10),
            reply(200, b"b" * 10),
            reply(200, b"c" * 11),
            reply(500, b"d" * 10),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\neeeee\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfffff\r\n0\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200, b"g" * 3),
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ]
    )

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    with serving(answer) as server:
        loop = load(server.port, connections=1)
    found = ends(loop)
    rounds = server.requests // 8
    assert rounds > 5
    assert set(found) == {
        (200, None, False, 10),
        (200, None, False, 11),
        (500, None, True, 10),
        (200, None, False, 5),
        (200, None, False, 3),
        (204, None, True, 0),
    }
    assert found[200, None, False, 10] // 2 in (rounds, rounds + 1)
    assert found[200, None, False, 5] // 2 in (rounds, rounds + 1)


def test_an_answer_in_pieces_is_one_answer() -> None:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 4\r\n\r\nab", b"cd"):
            writer.write(piece)
            await asyncio.sleep(0.003)

    with serving(answer) as server:
        loop = load(server.port)
    assert ends(loop) == {(200, None, False, 4): server.requests}


def test_a_length_that_lies_like_the_usual_answer_is_not_taken_for_it() -> None:
    whole = reply(200, b"x" * 20)
    answers = itertools.chain([whole, whole, whole[:-5]], itertools.repeat(whole))

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        data = next(answers)
        writer.write(data)
        if len(data) < len(whole):
            writer.close()

    with serving(answer) as server:
        loop = load(server.port, connections=1)
    assert ends(loop)[0, "closed", False, 0] == 1
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (always(b"garbage\r\n\r\n"), "bad_status_line"),
        (always(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", close=True), "closed"),
        (always(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000), "head_too_large"),
        (always(b"", reset=True), "reset"),
        (always(b"", delay_s=60), "timeout"),
    ],
)
def test_a_broken_answer_is_an_error_of_its_kind(answer: Answer, kind: str) -> None:
    with serving(answer) as server:
        loop = load(server.port, timeout_s=0.2)
    assert {error for _, error, _, _ in ends(loop)} == {kind}
    assert len(loop.codes) == server.requests
    assert server.requests <= 4 * 0.8 / 0.02  # a failing target is asked once per tick and connection at most


def test_a_closed_port_is_an_error_and_is_not_hammered() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    loop = load(port, connections=2)
    assert set(ends(loop)) == {(0, "refused", False, 0)}
    assert 2 <= len(loop.codes) <= 60


def test_a_server_that_closes_after_each_answer_is_served_over_new_connections() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    until_close = b"HTTP/1.0 200 OK\r\n\r\nabc"
    for data, size in ((closing, 2), (until_close, 3)):
        with serving(always(data, close=True)) as server:
            loop = load(server.port)
        assert ends(loop) == {(200, None, False, size): server.requests}
        assert server.requests > 20
        assert server.requests <= loop.connects <= server.requests + 4  # the last ones stood too late to be used


def test_the_ramp_opens_one_connection_after_the_other() -> None:
    with serving(always(reply(), delay_s=0.01)) as server:
        loop = load(server.port, 1.0, connections=5, ramp_up_s=0.8)
    firsts = sorted(set(loop.sent_ns))[:1]
    half = sum(sent - firsts[0] < 400_000_000 for sent in loop.sent_ns)
    assert loop.connects == 5
    assert half < len(loop.sent_ns) / 2


def test_it_ends_in_time_and_waits_for_its_answers() -> None:
    pulses: list[Pulse] = []
    with serving(always(reply(), delay_s=0.7)) as server:
        began = time.monotonic()
        loop = load(server.port, 1.2, connections=2, on_second=pulses.append)
        took = time.monotonic() - began
    assert server.requests == len(loop.codes) == 4  # two each: at 0 and 0.7 s; the answers at 1.4 s are awaited
    assert 1.4 <= took < 3
    assert sum(pulse.ended for pulse in pulses) <= 4


def test_it_stops_at_the_most_that_it_records() -> None:
    with serving(always(reply())) as server:
        loop = load(server.port, 30, most=200)
    assert len(loop.codes) >= 200
    assert loop.stopped is not None
    assert "the most that a closed run records" in loop.stopped
