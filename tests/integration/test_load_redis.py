"""Calls over sockets of our own against real servers: kernel stamps, a cluster that changes, a fail-over."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.crc import key_slot

from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.client import ClientProber
from tasks.load.redis.commands import get_command
from tasks.load.redis.probe import CLUSTER_DOWN, HIT, MISS, REFUSED, WRONG_TYPE, Call, Ended, Prober
from tasks.load.redis.raw import RawProber
from tasks.load.redis.topology import discover
from tests.tls_doors import doors, secured
from tests.valkeys import Valkey, cluster, until, valkey, watched

Make = Callable[[RedisAddress, Ended, float], Prober]


def raw(address: RedisAddress, ended: Ended, timeout_s: float) -> Prober:
    return RawProber(address, discover(address, timeout_s=timeout_s), timeout_s=timeout_s, ended=ended)


def client(address: RedisAddress, ended: Ended, timeout_s: float) -> Prober:
    return ClientProber(address, discover(address, timeout_s=timeout_s), timeout_s=timeout_s, ended=ended)


class Asker:
    """Asks through a prober, ticks it, and counts what ends."""

    def __init__(self) -> None:
        self.prober: Prober
        self.ended: list[Call] = []

    async def ask(self, keys: Sequence[str]) -> list[Call]:
        calls = [Call(get_command(key), intended_ns=time.monotonic_ns()) for key in keys]
        first = len(self.ended)
        for call in calls:
            self.prober.ask(call)
        async with asyncio.timeout(10):
            while len(self.ended) < first + len(calls):  # noqa: ASYNC110 - any of them may be the last
                await asyncio.sleep(0.005)
        assert Counter(map(id, self.ended[first:])) == Counter(map(id, calls))
        return calls


@asynccontextmanager
async def asking(url: str, make: Make = raw, timeout_s: float = 2.0) -> AsyncIterator[Asker]:
    asker = Asker()
    address = RedisAddress.parse(url)
    asker.prober = make(address, asker.ended.append, timeout_s)

    async def ticking() -> None:
        while True:
            await asyncio.sleep(0.02)
            asker.prober.tick(time.monotonic_ns())

    task = asyncio.create_task(ticking())
    try:
        await asker.prober.open()
        yield asker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asker.prober.close()


def go(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type] # coroutines alone are passed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("one"), password="canary") as one:
        one.run("SET", "menu:1", "x" * 5000)
        one.run("LPUSH", "list", "x")
        yield one


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Valkey]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as started:
        for number in range(60):
            owner(started, f"menu:{number}").run("SET", f"menu:{number}", "x")
        yield started


def owner(nodes: Sequence[Valkey], key: str) -> Valkey:
    """The node that has a key's slot, by the even split of `cluster`."""
    return nodes[key_slot(key.encode()) * len(nodes) // 16384]


@pytest.mark.parametrize("make", [raw, client])
def test_each_call_ends_with_what_the_server_says(server: Valkey, make: Make) -> None:
    async def work() -> None:
        async with asking(server.url, make) as asker:
            found, absent, wrong = await asker.ask(["menu:1", "menu:2", "list"])
            many = await asker.ask(["menu:1"] * 300)
        assert (found.status, found.size, absent.status, wrong.status) == (HIT, 5000, MISS, WRONG_TYPE)
        for call in (*many, found):
            assert call.status == HIT
            assert call.intended_ns <= call.sent_ns <= call.received_ns <= call.seen_ns

    before = server.calls("get")
    go(work)
    assert server.calls("get") == before + 303


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's stamps are Linux's")
def test_a_blocked_loop_does_not_move_the_time_of_receipt(server: Valkey) -> None:
    async def work() -> None:
        async with asking(server.url) as asker:
            for _ in range(5):
                await asker.ask(["menu:1"])
            call = Call(get_command("menu:1"))
            asker.prober.ask(call)
            time.sleep(0.2)  # noqa: ASYNC251 - the planted block
            await asyncio.sleep(0.05)
        assert call.seen_ns - call.sent_ns > 200e6
        assert call.received_ns - call.sent_ns < 100e6

    go(work)


def test_a_wrong_password_and_a_missing_one_are_told_apart(server: Valkey) -> None:
    for password, code in ((":canary-wrong@", "WRONGPASS"), ("", "NOAUTH")):
        with pytest.raises(NotMeasuredError, match=code) as caught:
            discover(RedisAddress.parse(f"redis://{password}127.0.0.1:{server.port}/0"))
        assert "canary" not in str(caught.value)
        assert "address" in str(caught.value)


def test_a_user_without_get_is_refused_by_name(server: Valkey) -> None:
    server.run("ACL", "SETUSER", "poor", "on", ">p", "~*", "-@all", "+info")

    async def work() -> None:
        for make in (raw, client):
            async with asking(f"redis://poor:p@127.0.0.1:{server.port}/0", make) as asker:
                (call,) = await asker.ask(["menu:1"])
            assert (call.status, call.code) == (REFUSED, "NOPERM")

    go(work)


def test_lost_connections_are_opened_again_and_what_was_on_them_is_an_error(tmp_path: Path) -> None:
    async def work() -> None:
        with valkey(tmp_path) as one:
            async with asking(one.url, timeout_s=1.0) as asker:
                one.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                lost = await asker.ask(["a"])
                await asyncio.sleep(0.5)
                (again,) = await asker.ask(["a"])
                one.process.send_signal(19)  # SIGSTOP: it accepts no more and answers nothing
                stuck = await asker.ask(["a"] * 8)
                one.process.send_signal(18)
                events = asker.prober.events
        assert lost[0].error in (None, "reset", "closed", "connect")
        assert again.status == MISS
        assert {call.error for call in stuck} == {"timeout"}
        assert events["lost"] >= 4

    go(work)


def test_garbage_is_an_error_of_the_protocol() -> None:
    async def work() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1000):
                writer.write(b"+OK\r\n" * data.count(b"NO-TOUCH") + b"+PONG\r\n" * data.count(b"PING"))
                if b"CLUSTER" in data:
                    writer.write(b"-ERR unknown\r\n" * 2)
                if b"GET" in data:
                    writer.write(b"garbage\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        address = RedisAddress("127.0.0.1", port)
        topology = await asyncio.to_thread(discover, address)
        ended: list[Call] = []
        prober = RawProber(address, topology, timeout_s=2, ended=ended.append)
        await prober.open()
        prober.ask(Call(get_command("a")))
        await asyncio.sleep(0.2)
        await prober.close()
        await asyncio.sleep(0.2)  # the server sees the end of each connection
        server.close()
        assert [call.error for call in ended] == ["protocol"]

    go(work)


# --- cluster ---


@pytest.mark.parametrize("make", [raw, client])
def test_each_key_is_asked_of_its_own_node(nodes: list[Valkey], make: Make) -> None:
    keys = [*(f"menu:{number}" for number in range(60)), *(f"{{lunch}}:{number}" for number in range(20))]
    expected = Counter(owner(nodes, key).port for key in keys)
    before = {node.port: node.calls("get") for node in nodes}

    async def work() -> None:
        async with asking(nodes[1].url, make) as asker:
            calls = await asker.ask(keys)
            assert Counter(call.status for call in calls) == {HIT: 60, MISS: 20}
            assert not asker.prober.events["moved"]

    go(work)
    assert {node.port: node.calls("get") - before[node.port] for node in nodes} == expected


def test_a_slot_that_moved_is_followed_and_learnt(nodes: list[Valkey]) -> None:
    key = next(name for name in (f"empty:{n}" for n in range(999)) if owner(nodes, name) is nodes[0])
    slot = key_slot(key.encode())
    homes = [str(node.run("CLUSTER", "MYID")) for node in nodes]

    async def work() -> None:
        async with asking(nodes[0].url) as asker:
            for node in (nodes[2], nodes[0], nodes[1]):
                node.run("CLUSTER", "SETSLOT", slot, "NODE", homes[2])
            (call,) = await asker.ask([key])
            assert (call.status, call.hops) == (MISS, 1)
            await asyncio.sleep(0.5)
            (again,) = await asker.ask([key])
            assert (again.status, again.hops) == (MISS, 0)
            assert asker.prober.events["moved"] == 1

    try:
        go(work)
    finally:
        for node in (nodes[0], nodes[2], nodes[1]):
            node.run("CLUSTER", "SETSLOT", slot, "NODE", homes[0])


def test_a_key_of_a_slot_on_the_move_is_asked_for_where_it_went(nodes: list[Valkey]) -> None:
    key = next(name for name in (f"moving:{n}" for n in range(999)) if owner(nodes, name) is nodes[0])
    slot = key_slot(key.encode())
    homes = [str(node.run("CLUSTER", "MYID")) for node in nodes]
    nodes[1].run("CLUSTER", "SETSLOT", slot, "IMPORTING", homes[0])
    nodes[0].run("CLUSTER", "SETSLOT", slot, "MIGRATING", homes[1])
    with nodes[1].client() as direct, direct.pipeline(transaction=False) as pipe:
        pipe.execute_command("ASKING")
        pipe.execute_command("SET", key, "here")
        pipe.execute()

    async def work() -> None:
        async with asking(nodes[0].url) as asker:
            calls = await asker.ask([key] * 3)
            assert [(call.status, call.hops, call.size) for call in calls] == [(HIT, 1, 4)] * 3
            assert asker.prober.events["asked"] == 3

    try:
        go(work)
    finally:
        for node in nodes[:2]:
            node.run("CLUSTER", "SETSLOT", slot, "STABLE")


def test_a_slot_that_nobody_serves_is_a_status_of_its_own(nodes: list[Valkey]) -> None:
    key = next(name for name in (f"down:{n}" for n in range(999)) if owner(nodes, name) is nodes[0])
    slot = key_slot(key.encode())

    async def work() -> None:
        async with asking(nodes[0].url) as asker:
            nodes[0].run("CLUSTER", "DELSLOTS", slot)
            (call,) = await asker.ask([key])
            assert (call.status, call.code, call.error) == (CLUSTER_DOWN, "CLUSTERDOWN", None)
            await asyncio.sleep(0.5)
            (again,) = await asker.ask([key])
            assert again.status == CLUSTER_DOWN

    try:
        go(work)
    finally:
        nodes[0].run("CLUSTER", "ADDSLOTS", slot)


def test_a_replica_that_took_over_in_a_cluster_is_found(tmp_path: Path) -> None:
    async def work() -> None:
        with cluster(tmp_path, replica=True) as started:
            key = next(name for name in (f"menu:{n}" for n in range(999)) if owner(started[:3], name) is started[0])
            started[0].run("SET", key, "x")
            started[0].run("WAIT", 1, 5000)
            async with asking(started[1].url, timeout_s=1.0) as asker:
                assert (await asker.ask([key]))[0].status == HIT
                started[0].end()
                await found_again(asker, key)
                assert asker.prober.events["failovers"] >= 1
                assert asker.prober.events["lost"] >= 1

    go(work)


async def found_again(asker: Asker, key: str) -> None:
    """Ask until there is a hit again; each call ends meanwhile."""
    async with asyncio.timeout(30):
        while (await asker.ask([key]))[0].status != HIT:  # noqa: ASYNC110 - each turn asks
            await asyncio.sleep(0.1)


# --- sentinel ---


@pytest.mark.parametrize("make", [raw, client])
def test_sentinels_name_the_primary_and_its_successor(tmp_path: Path, make: Make) -> None:
    async def work() -> None:
        with watched(tmp_path, "canary") as three:
            three.primary.run("SET", "menu:1", "x")
            three.primary.run("WAIT", 1, 5000)
            url = f"redis+sentinel://:canary@127.0.0.1:1,127.0.0.1:{three.sentinel.port}/lunch/0"
            async with asking(url, make, timeout_s=1.0) as asker:
                before = three.primary.calls("get")
                assert (await asker.ask(["menu:1"]))[0].status == HIT
                assert three.primary.calls("get") == before + 1
                three.primary.end()
                await found_again(asker, "menu:1")
            assert three.replica.info("replication")["role"] == "master"

    go(work)


def test_a_sentinel_that_does_not_know_the_service_says_so(tmp_path: Path) -> None:
    with watched(tmp_path) as three:
        url = f"redis+sentinel://127.0.0.1:{three.sentinel.port}/dinner"
        with pytest.raises(NotMeasuredError, match="knows no service dinner"):
            discover(RedisAddress.parse(url))


# --- TLS ---


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """Who signs the certificates of doors, and the file that says so."""
    made, file = trustme.CA(), tmp_path / "ca.pem"
    made.cert_pem.write_to_path(file)
    return made, file


@pytest.mark.parametrize("make", [raw, client])
def test_tls_is_verified_by_authority_and_name(
    server: Valkey, authority: tuple[trustme.CA, Path], make: Make
) -> None:
    made, file = authority

    async def ask(url: str) -> list[Call]:
        loop: Any = asyncio.get_running_loop()
        address = RedisAddress.parse(url)
        topology = await loop.run_in_executor(None, lambda: discover(address, timeout_s=3))
        ended: list[Call] = []
        kind = RawProber if make is raw else ClientProber
        prober = kind(address, topology, timeout_s=3, ended=ended.append)
        await prober.open()
        prober.ask(Call(get_command("menu:1")))
        async with asyncio.timeout(5):
            while not ended:  # noqa: ASYNC110 - the only call
                await asyncio.sleep(0.01)
        await prober.close()
        return ended

    async def work() -> None:
        async with secured(server.port, made, "localhost") as port:
            (call,) = await ask(f"rediss://:canary@localhost:{port}/0?ssl_ca_certs={file}")
            assert (call.status, call.size) == (HIT, 5000)
            for wrong in (f"localhost:{port}/0", f"127.0.0.1:{port}/0?ssl_ca_certs={file}"):
                with pytest.raises(TargetUnreachableError, match="certificate") as caught:
                    await ask(f"rediss://:canary@{wrong}")
                assert "ssl_ca_certs" in str(caught.value)
                assert "canary" not in str(caught.value)

    go(work)


async def asked(url: str, make: Make, keys: Sequence[str]) -> list[Call]:
    async with asking(url, make, timeout_s=8.0) as asker:  # each call of the library makes a context and a handshake
        return await asker.ask(keys)


@pytest.mark.parametrize("make", [raw, client])
def test_every_node_of_a_cluster_is_reached_over_tls(
    tmp_path: Path, authority: tuple[trustme.CA, Path], make: Make
) -> None:
    made, file = authority
    keys = [f"menu:{number}" for number in range(20)]
    with cluster(tmp_path) as started, doors(made, *(node.port for node in started)) as before:
        for node, (port, _) in zip(started, before, strict=True):
            node.run("CONFIG", "SET", "cluster-announce-port", port)
        ports = {port for port, _ in before}
        until(lambda: all({slot[2][1] for slot in node.run("CLUSTER", "SLOTS")} == ports for node in started))
        counts = [node.calls("get") for node in started]
        calls = asyncio.run(asked(f"rediss://127.0.0.1:{before[1][0]}?ssl_ca_certs={file}", make, keys))
        assert Counter((call.status, call.error) for call in calls) == {(MISS, None): 20}
        assert all(node.calls("get") > count for node, count in zip(started, counts, strict=True))
        assert all(seen and all(seen) for _, seen in before), "nothing went in the clear"
        with pytest.raises(TargetUnreachableError, match="certificate"):
            asyncio.run(asked(f"rediss://127.0.0.1:{before[1][0]}", make, keys))


@pytest.mark.parametrize("make", [raw, client])
def test_sentinel_and_primary_are_reached_over_tls(
    tmp_path: Path, authority: tuple[trustme.CA, Path], make: Make
) -> None:
    made, file = authority
    with (
        watched(tmp_path, "canary") as three,
        doors(made, three.primary.port, three.sentinel.port) as ((primary, to_primary), (sentinel, to_sentinel)),
    ):
        three.primary.run("SET", "menu:1", "x")
        three.sentinel.run("SENTINEL", "REMOVE", "lunch")
        three.sentinel.run("SENTINEL", "MONITOR", "lunch", "127.0.0.1", primary, 1)  # in the clear, as sentinels do
        three.sentinel.run("SENTINEL", "SET", "lunch", "auth-pass", "canary")
        until(lambda: three.sentinel.run("SENTINEL", "MASTER", "lunch")["num-slaves"] == "1")
        count = three.primary.calls("get")
        at = f"rediss+sentinel://:canary@127.0.0.1:{sentinel}/lunch/0"
        (call,) = asyncio.run(asked(f"{at}?ssl_ca_certs={file}", make, ["menu:1"]))
        assert call.status == HIT
        assert three.primary.calls("get") == count + 1
        assert to_sentinel
        assert all(to_sentinel)
        assert any(to_primary)
        with pytest.raises(TargetUnreachableError, match="certificate"):
            asyncio.run(asked(at, make, ["menu:1"]))


def test_a_file_of_authorities_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(NotMeasuredError, match="ssl_ca_certs"):
            discover(RedisAddress.parse(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs=/nowhere.pem"))
