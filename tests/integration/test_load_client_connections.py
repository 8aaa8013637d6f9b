"""The connections of the load client: verified TLS, IPv6, the address that accepts, and their use again."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import trustme

from tasks.load.client.client import Engine, Exchange, LoadClient
from tests.http_clients import Bench, Server, answer


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("case", ["good", "stranger", "name"])
def test_tls_is_verified_for_the_name_that_was_asked(bench: Bench, case: str, tmp_path: Any) -> None:
    authority, other = trustme.CA(), trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = ["other.test"] if case == "name" else ["localhost", "127.0.0.1"]
    authority.issue_cert(*names).configure_cert(server_side)
    ca_file = tmp_path / "authority.pem"
    (other if case == "stranger" else authority).cert_pem.write_to_path(ca_file)
    context = ssl.create_default_context(cafile=str(ca_file))

    async def attempts() -> tuple[list[Any], list[Exchange], int]:
        server = Server(replies={"*": [answer(200, b"secret")]})
        await server.start(tls=server_side)
        engine, exchanges = Engine(allow={"localhost"}, ca_file=str(ca_file)), list[Exchange]()
        base = f"https://localhost:{server.port}"
        seen: list[Any] = []
        try:
            for client in (
                httpx.AsyncClient(verify=context, base_url=base, trust_env=False),
                LoadClient(engine, base_url=base, on_exchange=exchanges.append),
            ):
                async with client:
                    try:
                        seen.append([(await client.get("/")).content for _ in range(3)])
                    except httpx.HTTPError as error:
                        seen.append([type(error)])
        finally:
            engine.close()
            await server.stop()
        return seen, exchanges, len(server.asked)

    seen, exchanges, asked = bench.run(attempts())
    assert seen[1] == seen[0] == ([b"secret"] * 3 if case == "good" else [httpx.ConnectError])
    assert [one.error for one in exchanges] == ([None] * 3 if case == "good" else ["certificate"])
    assert asked == (6 if case == "good" else 0)


def test_ipv6_is_dialled_by_its_address(bench: Bench) -> None:
    async def ask() -> bytes:
        server = Server(replies={"*": [answer(200, b"six")]})
        await server.start("::1")
        engine = Engine(allow={"[::1]"})
        try:
            async with LoadClient(engine) as client:
                return (await client.get(f"http://[::1]:{server.port}/")).content
        finally:
            engine.close()
            await server.stop()

    assert bench.run(ask()) == b"six"


def test_of_several_addresses_the_one_that_accepts_is_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    port = bench.server.port
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]
    known = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **options: Any) -> Any:
        return found if host == "school.test" else known(host, *rest, **options)

    async def ask() -> tuple[bytes, str]:
        engine = Engine(allow={"school.test"})
        try:
            async with LoadClient(engine, base_url=f"http://school.test:{port}") as client:
                monkeypatch.setattr(socket, "getaddrinfo", resolve)
                answered = await client.get("/")
                monkeypatch.undo()
            return answered.content, next(iter(engine.pools.values())).ends[1]
        finally:
            engine.close()

    bench.reset(any=answer(200, b"x"))
    assert bench.run(ask()) == (b"x", "127.0.0.1")


def test_connections_are_used_again_by_all_clients_of_an_engine(bench: Bench) -> None:
    async def ask() -> tuple[int, int]:
        before, connects = bench.server.connections, bench.engine.connects
        for _ in range(10):
            async with bench.ours() as client:
                await asyncio.gather(*(client.get("/x") for _ in range(5)))
        return bench.server.connections - before, bench.engine.connects - connects

    bench.reset(any=answer(200, b"x"))
    opened, counted = bench.run(ask())
    assert opened == counted <= 5
    assert len(bench.exchanges) == 50


def test_a_connection_that_ends_with_its_answer_is_not_used_again(bench: Bench) -> None:
    async def ask() -> list[int]:
        seen, engine = [], Engine(allow={"127.0.0.1"})
        async with LoadClient(engine, base_url=bench.base) as client:
            for headers in (None, None, {"Connection": "close"}, None, None):
                before = engine.connects
                await client.get("/x", headers=headers)
                seen.append(engine.connects - before)
        engine.close()
        return seen

    bench.reset(any=[answer(200, b"1", ("Connection", "close")), answer(200, b"2")])
    assert bench.run(ask()) == [1, 1, 0, 1, 0], "the first answer closed its connection, the third request did"
