"""What the load client tells of each request, and what it leaves to httpx: counted, and just as well told of."""

from __future__ import annotations

import asyncio
import pickle
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import trustme

from tasks.load.client.client import Engine, Exchange, LoadClient
from tests.http_clients import Bench, answer


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_every_exchange_has_its_name_times_and_size(bench: Bench) -> None:
    async def ask() -> httpx.Response:
        async with bench.ours() as client:
            client.intended_ns = time.monotonic_ns() - 5_000_000
            await client.get("/api/orders/81723?full=1")
            await client.post("/api/orders/81723/pay", json={"a": 1}, extensions={"name": "pay"})
            return await client.get("/api/orders/5ce0e9a5-6f7e-4c2b-8a3f-0d6a2b1c9e11", params={"q": 1})

    bench.reset(any=answer(201, b"body!"))
    last: httpx.Response = bench.run(ask())
    first, second, third = bench.exchanges
    names = ["GET /api/orders/{id}", "pay", "GET /api/orders/{id}"]
    assert [one.name for one in bench.exchanges] == names
    assert first.taken - first.intended >= 5_000_000
    assert second.taken == second.intended, "the intended moment was that of one request alone"
    for one in bench.exchanges:
        assert (one.status, one.error, one.size, one.stamps) == (201, None, 5, bench.engine.stamps)
        assert one.intended <= one.taken <= one.sent <= one.received + 1_000_000, (
            "two clocks, to a millisecond at worst"
        )
        assert one.received <= one.seen
    assert last.extensions["hasivu_perf"] is third
    assert abs(last.elapsed.total_seconds() * 1e9 - (third.received - third.sent)) < 1_000


def test_each_hop_of_a_redirect_is_an_exchange_of_its_own(bench: Bench) -> None:
    async def ask() -> tuple[bytes, dict[str, int]]:
        async with bench.ours(follow_redirects=True) as client:
            return (await client.get("/a")).content, dict(client.fallbacks)

    bench.reset(a=answer(302, b"", ("Location", "/b/77")), any=answer(200, b"there"))
    assert bench.run(ask()) == (b"there", {"redirect": 1})
    assert [(one.name, one.status) for one in bench.exchanges] == [("GET /a", 302), ("GET /b/{id}", 200)]


async def pieces() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


@pytest.mark.parametrize(
    ("reason", "made", "call"),
    [
        ("content", {}, {"content": pieces}),
        ("files", {}, {"files": {"f": b"abc"}}),
        ("auth", {}, {"auth": ("a", "b")}),
        ("auth", {"auth": lambda request: request}, {}),
        ("framing", {"headers": {"Host": "other"}}, {}),
        ("event_hooks", {"event_hooks": {"response": [lambda _: asyncio.sleep(0)]}}, {}),
        ("extensions", {}, {"extensions": {"trace": lambda *_: asyncio.sleep(0)}}),
        ("transport", {"transport": httpx.MockTransport(lambda _: httpx.Response(200, content=b"ok"))}, {}),
        ("mounts", {"mounts": {"all://": httpx.MockTransport(lambda _: httpx.Response(200, content=b"ok"))}}, {}),
    ],
)
def test_the_unusual_is_left_to_httpx_counted_and_told_of(
    bench: Bench, reason: str, made: dict[str, Any], call: dict[str, Any]
) -> None:
    async def ask() -> tuple[bytes, dict[str, int]]:
        async with bench.ours(**made) as client:
            options = {name: value() if value is pieces else value for name, value in call.items()}
            return (await client.request("POST", "/x", **options)).content, dict(client.fallbacks)

    bench.reset(any=answer(200, b"ok"))
    before = bench.engine.fallbacks[reason]
    assert bench.run(ask()) == (b"ok", {reason: 1})
    assert bench.engine.fallbacks[reason] == before + 1
    (exchange,) = bench.exchanges
    elsewhere = reason in ("transport", "mounts")
    assert (exchange.name, exchange.status, exchange.size) == ("POST /x", 200, 2)
    assert exchange.stamps == ("loop" if elsewhere else bench.engine.stamps)
    if reason == "content":
        assert [body for *_, body in bench.server.asked] == [b"onetwo"]


def test_the_usual_falls_back_on_nothing(bench: Bench) -> None:
    async def ask() -> dict[str, int]:
        async with bench.ours(auth=("a", "b"), headers={"X-A": "1"}) as client:
            for _ in range(2):
                await client.get("/x", params={"a": [1, "b"]}, headers={"X-B": "2"}, follow_redirects=True, timeout=4)
                await client.post("/x", json={"a": 1})
                await client.put("/x", data={"a": "b"})
                await client.patch("/x", content="text")
                await client.delete("/x")
                await client.head("/x")
                await client.options("/x")
                client.headers["X-A"] = "2"
                client.cookies.set("c", "1")
            return dict(client.fallbacks)

    bench.reset(any=answer(200, b"ok"))
    assert bench.run(ask()) == {}
    assert [method for method, *_ in bench.server.asked[:7]] == [
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "HEAD",
        "OPTIONS",
    ]
    assert [dict(headers)["X-A"] for _, _, headers, _ in bench.server.asked] == ["1"] * 7 + ["2"] * 7
    assert [dict(headers).get("Cookie") for _, _, headers, _ in bench.server.asked] == [None] * 7 + ["c=1"] * 7


@pytest.mark.parametrize("change", ["headers", "cookies", "base_url", "params", "auth", "event_hooks", "timeout"])
def test_a_change_of_the_client_holds_from_the_next_request_on(bench: Bench, change: str) -> None:
    seen_by_hook = []
    new: dict[str, Callable[[Bench], Any]] = {
        "headers": lambda _: {"X-New": "1"},
        "cookies": lambda _: {"new": "1"},
        "base_url": lambda bench: f"{bench.base}/new",
        "params": lambda _: {"new": "1"},
        "auth": lambda _: ("new", "1"),
        "timeout": lambda _: 0.2,
    }

    async def hook(request: httpx.Request) -> None:
        seen_by_hook.append(request.url.path)

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)
        writer.write(answer(200, b"late"))

    async def ask() -> None:
        async with bench.ours() as client:
            for _ in range(3):
                await client.get("/x")
            if change == "event_hooks":
                client.event_hooks["request"].append(hook)
            else:
                setattr(client, change, new[change](bench))
            if change == "timeout":
                with pytest.raises(httpx.ReadTimeout):
                    await client.get("/x")
                return
            await client.get("/x")

    bench.reset(any=[*[answer(200, b"x")] * 3, slow])
    bench.run(ask())
    usual, last = bench.server.asked[2], bench.server.asked[3]
    fresh = [value for name, value in last[2] if name in ("X-New", "Cookie", "Authorization")]
    expected = {"headers": ["1"], "cookies": ["new=1"], "auth": ["Basic bmV3OjE="]}
    assert fresh == expected.get(change, [])
    assert last[1] == {"base_url": "/new/x", "params": "/x?new=1"}.get(change, usual[1])
    assert seen_by_hook == (["/x"] if change == "event_hooks" else [])


def test_clients_that_are_alike_share_nothing_that_one_of_them_changes(bench: Bench) -> None:
    async def ask() -> None:
        async with bench.ours(headers={"X-A": "1"}) as one, bench.ours(headers={"X-A": "1"}) as other:
            await one.get("/x")
            await other.get("/x")
            one.headers["X-A"] = "2"
            one.headers["X-Secret"] = "of one"
            await one.get("/x", headers={"X-A": "3"})
            await other.get("/x", headers={"X-A": "3"})

    bench.reset(any=answer(200, b"x"))
    bench.run(ask())
    seen = [dict(headers) for _, _, headers, _ in bench.server.asked]
    assert [one["X-A"] for one in seen] == ["1", "1", "3", "3"]
    assert [one.get("X-Secret") for one in seen] == [None, None, "of one", None]


def test_a_closed_client_sends_nothing(bench: Bench) -> None:
    async def ask() -> None:
        client = bench.ours()
        await client.get("/x")
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.get("/x")
        async with bench.ours() as other:
            await other.get("/x")

    bench.reset(any=answer(200, b"x"))
    bench.run(ask())
    assert len(bench.server.asked) == 2


def test_a_streamed_answer_and_a_request_of_ones_own(bench: Bench) -> None:
    async def ask() -> tuple[list[bytes], bytes, dict[str, int]]:
        async with bench.ours() as client:
            async with client.stream("GET", "/x") as response:
                parts = [part async for part in response.aiter_bytes(3)]
            own = await client.send(httpx.Request("GET", f"{bench.base}/y"))
            return parts, own.content, dict(client.fallbacks)

    bench.reset(any=answer(200, b"abcdef"))
    assert bench.run(ask()) == ([b"abc", b"def"], b"abcdef", {"stream": 1, "send": 1})
    assert [one.name for one in bench.exchanges] == ["GET /x", "GET /y"]


def test_get_takes_no_body_just_as_httpx(bench: Bench) -> None:
    client: Any = bench.ours()
    with pytest.raises(TypeError, match="no body"):
        client.get("/x", json={})
    with pytest.raises(TypeError, match="unexpected"):
        bench.run(client.post("/x", unknown=1))


def test_an_answer_can_be_pickled_and_read_again(bench: Bench) -> None:
    async def ask() -> httpx.Response:
        async with bench.ours() as client:
            return await client.get("/x")

    bench.reset(any=answer(404, b'{"a": 1}', ("Content-Type", "application/json")))
    response: httpx.Response = bench.run(ask())
    again = pickle.loads(pickle.dumps(response))  # noqa: S301 - made here
    for one in (response, again):
        assert (one.json(), one.status_code, one.url.path, one.elapsed) == ({"a": 1}, 404, "/x", response.elapsed)
        assert one.read() == b"".join(one.iter_bytes()) == one.content
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            one.raise_for_status()
    with pytest.raises(httpx.StreamConsumed):
        b"".join(response.iter_raw())


def test_the_listeners_error_is_the_callers(bench: Bench) -> None:
    def broken(_: Exchange) -> None:
        raise LookupError("the record is full")

    async def ask() -> bytes:
        client = LoadClient(bench.engine, base_url=bench.base, on_exchange=broken)
        with pytest.raises(LookupError):
            await client.get("/x")
        return (await bench.ours().get("/x")).content

    bench.reset(any=answer(200, b"x"))
    assert bench.run(ask()) == b"x", "the engine works on"


# --- HTTP/2 ---


async def speak_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of HTTP/2 that answers each request with its path."""
    talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    talk.initiate_connection()
    writer.write(talk.data_to_send())
    with suppress(OSError):
        while data := await reader.read(65536):
            for event in talk.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    path = dict(event.headers)[b":path"]
                    length = (b"content-length", str(len(path)).encode())
                    talk.send_headers(event.stream_id, [(b":status", b"200"), length])
                    talk.send_data(event.stream_id, path, end_stream=True)
            writer.write(talk.data_to_send())
    writer.close()


def test_http2_goes_through_httpx_and_says_so(bench: Bench, tmp_path: Any) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def ask() -> tuple[list[str], list[bytes], dict[str, int]]:
        server = await asyncio.start_server(speak_http2, "127.0.0.1", 0, ssl=context)
        base = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        engine = Engine(allow={"127.0.0.1"}, ca_file=str(tmp_path / "ca.pem"))
        async with LoadClient(engine, base_url=base, http2=True, on_exchange=bench.exchanges.append) as client:
            got = [await client.get(f"/{number}") for number in range(2)]
            with pytest.raises(httpx.TransportError):
                await client.get("https://127.0.0.2/")
        engine.close()
        server.close()
        return [one.http_version for one in got], [one.content for one in got], dict(client.fallbacks)

    bench.reset()
    assert bench.run(ask()) == (["HTTP/2"] * 2, [b"/0", b"/1"], {"http2": 3})
    told = [(one.status, one.error, one.sent > 0) for one in bench.exchanges]
    assert told == [(200, None, True)] * 2 + [(0, "forbidden", False)]
    assert [one.stamps for one in bench.exchanges[:2]] == ["loop"] * 2
