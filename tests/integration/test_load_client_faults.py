"""The load client where things go wrong: stock httpx's exceptions, and each exchange told of by its kind."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from storage.errors import NotMeasuredError
from tasks.load.client.client import Engine, Exchange, HostNotAllowedError, LoadClient
from tests.http_clients import Bench, Reply, answer


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def closing(*parts: bytes, reset: bool = False) -> Reply:
    """Say something, then close: in order, or torn."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(parts))
        await writer.drain()
        if reset:
            await asyncio.sleep(0.05)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            writer.close()

    return reply


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3)
    writer.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (closing(b""), "closed"),
        (closing(HEAD[:20]), "closed"),
        (closing(HEAD, b"half"), "closed"),
        (closing(CHUNKS, b"5\r\nab"), "closed"),
        (closing(HEAD, b"half", reset=True), "reset"),
        (closing(b"", reset=True), "reset"),
        (closing(b"SSH-2.0-OpenSSH_9\r\n"), "bad_status_line"),
        (closing(b"HTTP/1.1 abc Bad\r\n\r\n"), "bad_status_line"),
        (closing(b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n"), "bad_head"),
        (closing(b"HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 0\r\n\r\n"), "bad_head"),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "bad_length"),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "bad_length"),
        (closing(CHUNKS, b"zz\r\n"), "bad_chunk"),
        (closing(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000), "head_too_large"),
        (silent, "timeout"),
    ],
)
def test_every_fault_is_httpxs_exception_and_has_its_kind(bench: Bench, reply: Reply, kind: str) -> None:
    bench.reset(any=reply)
    stock, ours = bench.both("GET", "/x", timeout=0.4)
    assert issubclass(ours[0][0], httpx.TransportError)
    assert ours == stock
    (exchange,) = bench.exchanges
    assert (exchange.error, exchange.status, exchange.size) == (kind, 0, 0)
    assert exchange.intended == exchange.taken <= exchange.sent <= exchange.received <= exchange.seen


def test_a_body_without_end_is_refused_at_its_bound(bench: Bench) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKS)
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    bench.reset(any=endless)
    assert failing(bench.ours(), "/", bench) is httpx.RemoteProtocolError
    assert [one.error for one in bench.exchanges] == ["body_too_large"]


def failing(client: httpx.AsyncClient, url: str, bench: Bench, **options: Any) -> type[BaseException]:
    async def attempt() -> type[BaseException]:
        async with client:
            with pytest.raises(httpx.HTTPError) as caught:
                await client.get(url, **options)
        return caught.type

    found: type[BaseException] = bench.run(attempt())
    return found


def test_a_refused_connection(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    bench.reset()
    assert failing(bench.ours(), url, bench) is failing(bench.stock(), url, bench) is httpx.ConnectError
    (exchange,) = bench.exchanges
    assert exchange.error == "refused"
    assert exchange.sent > 0, "the attempt's start stands for it"


def test_a_connect_that_nobody_answers_runs_out_of_time(bench: Bench) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(4)]  # the queue of connections is full from now on
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003 - the standard library's
            filler.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        bench.reset()
        kinds = [failing(one, url, bench, timeout=0.3) for one in (bench.stock(), bench.ours())]
        engine_wide = bench.run(on_engine(url, connect_s=0.3))
        for filler in fillers:
            filler.close()
    assert kinds == [httpx.ConnectTimeout, httpx.ConnectTimeout]
    assert [one.error for one in bench.exchanges] == ["connect_timeout"]
    assert engine_wide is httpx.ConnectTimeout


async def on_engine(url: str, **options: Any) -> type[BaseException]:
    engine = Engine(allow={"127.0.0.1"}, **options)
    try:
        async with LoadClient(engine) as client:
            with pytest.raises(httpx.HTTPError) as caught:
                await client.get(url)
            return caught.type
    finally:
        engine.close()


def test_the_engines_own_limit_bounds_a_slow_answer_as_a_whole(bench: Bench) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for _ in range(9):
            writer.write(b"x")
            await asyncio.sleep(0.1)
        writer.close()

    bench.reset(any=trickle)
    assert bench.run(on_engine(f"{bench.base}/", timeout_s=0.3)) is httpx.ReadTimeout


def test_a_limit_of_its_own_holds_for_a_requests_redirects_too(bench: Bench) -> None:
    bench.reset(start=answer(302, b"", ("Location", "/slow")), any=silent)
    stock, ours = bench.both("GET", "/start", timeout=0.3, follow_redirects=True)
    assert ours == stock
    assert stock[0][0] is httpx.ReadTimeout
    assert [one.status for one in bench.exchanges] == [302, 0]


def test_a_full_pool_makes_requests_wait_and_its_limit_ends_the_wait(bench: Bench) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(answer(200, b"late"))

    async def two(client: httpx.AsyncClient) -> list[Any]:
        limits = httpx.Timeout(5, pool=0.2)
        async with client:
            calls = (client.get("/a", timeout=limits), client.get("/b", timeout=limits))
            ended = await asyncio.gather(*calls, return_exceptions=True)
            return [one.content if isinstance(one, httpx.Response) else type(one) for one in ended]

    async def with_engine() -> tuple[list[Any], int]:
        engine = Engine(allow={"127.0.0.1"}, connections=1)
        try:
            client = LoadClient(engine, base_url=bench.base, on_exchange=bench.exchanges.append)
            return await two(client), engine.full
        finally:
            engine.close()

    bench.reset(any=slow)
    stock = bench.run(two(bench.stock(limits=httpx.Limits(max_connections=1))))
    ours, full = bench.run(with_engine())
    assert ours == stock == [b"late", httpx.PoolTimeout]
    assert full == 1
    waited = next(one for one in bench.exchanges if one.error)
    assert (waited.error, waited.sent) == ("timeout", 0), "it was never sent"


def test_a_request_that_is_cancelled_is_aborted_and_its_connection_closed(bench: Bench) -> None:
    async def cancelled() -> int:
        async with bench.ours() as client:
            task = asyncio.create_task(client.get("/"))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return bench.engine.on_wire

    bench.reset(any=silent)
    assert bench.run(cancelled()) == 0
    assert [(one.error, one.sent > 0) for one in bench.exchanges] == [("aborted", True)]


def test_closing_the_engine_ends_what_is_on_the_wire(bench: Bench) -> None:
    async def closed() -> tuple[type[BaseException], list[Exchange]]:
        engine, exchanges = Engine(allow={"127.0.0.1"}), list[Exchange]()
        client = LoadClient(engine, base_url=bench.base, on_exchange=exchanges.append)
        task = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.2)
        engine.close()
        with pytest.raises(httpx.HTTPError) as caught:
            await task
        with pytest.raises(RuntimeError, match="closed"):
            await engine.prepare(f"{bench.base}/")
        for _ in range(2):
            with pytest.raises(httpx.ReadError):
                await client.get("/")
        return caught.type, exchanges

    bench.reset(any=silent)
    made, exchanges = bench.run(closed())
    assert made is httpx.ReadError
    assert [(one.error, one.sent > 0) for one in exchanges] == [("aborted", True)] + [("aborted", False)] * 2


@pytest.mark.parametrize("follow", [False, True])
def test_no_byte_goes_to_a_host_that_is_not_allowed(bench: Bench, follow: bool) -> None:  # noqa: FBT001 - a parameter
    elsewhere = f"http://127.0.0.2:{bench.server.port}/stolen"
    bench.reset(start=answer(302, b"", ("Location", elsewhere)), any=answer(200, b"x"))
    refused = bench.engine.refused["127.0.0.2"]
    url = "/start" if follow else elsewhere
    assert failing(bench.ours(follow_redirects=True), url, bench) is HostNotAllowedError
    assert [target for _, target, _, _ in bench.server.asked] == (["/start"] if follow else [])
    assert bench.engine.refused["127.0.0.2"] == refused + 1
    assert (bench.exchanges[-1].error, bench.exchanges[-1].sent) == ("forbidden", 0)


def test_a_name_without_an_address(bench: Bench) -> None:
    name = "a" * 64 + ".test"  # too long for any name service

    async def attempts() -> tuple[type[BaseException], list[str | None]]:
        engine, exchanges = Engine(allow={name}), list[Exchange]()
        with pytest.raises(NotMeasuredError, match="has no address"):
            await engine.prepare(f"http://{name}/")
        with pytest.raises(NotMeasuredError, match="not among the hosts"):
            await engine.prepare("http://other.test/")
        async with LoadClient(engine, on_exchange=exchanges.append) as client:
            with pytest.raises(httpx.HTTPError) as caught:
                await client.get(f"http://{name}/")
        engine.close()
        return caught.type, [one.error for one in exchanges]

    assert bench.run(attempts()) == (httpx.ConnectError, ["dns"])
