"""The wire against real sockets: who is told what and when, on the kernel's stamps and on the fallback alike."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from tasks.load.wire.linux import LinuxWire
from tasks.load.wire.loop import LoopWire
from tasks.load.wire.wire import Place, Stamps, Stream, Wire, open_wire

MAKERS = {"kernel": LinuxWire, "loop": LoopWire}
pytestmark = pytest.mark.asyncio


@pytest.fixture(params=sorted(MAKERS))
def wire_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def wired(name: str) -> AsyncIterator[Wire]:
    wire: Wire = MAKERS[name](asyncio.get_running_loop())
    try:
        yield wire
    finally:
        wire.close()
        await asyncio.sleep(0)


@dataclass
class Told:
    """A receiver that keeps what it is told."""

    events: list[tuple[str, object]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    stamps: list[tuple[int, int]] = field(default_factory=list)
    stream: Stream | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self, at_ns: int) -> None:
        self._note("opened", at_ns)

    def received(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        self.data += data
        self.stamps.append((stamp_ns, seen_ns))
        self.changed.set()

    def ended(self, at_ns: int) -> None:
        self._note("ended", at_ns)

    def lost(self, at_ns: int, error: str) -> None:
        self._note("lost", error)

    def _note(self, name: str, value: object) -> None:
        self.events.append((name, value))
        self.changed.set()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    async def until(self, there: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not there():
                await self.changed.wait()
                self.changed.clear()


def start(wire: Wire, place: Place) -> Told:
    told = Told()
    told.stream = wire.connect(place, told)
    assert told.events == [], "nothing is told within connect"
    return told


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def serving(
    handler: Handler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server in this loop; its connections end with it."""
    held: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        held.append((task, writer))
        with suppress(OSError, asyncio.CancelledError):
            await handler(reader, writer)

    server = await asyncio.start_server(connected, host, 0, ssl=tls, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in held:
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*(task for task, _ in held), return_exceptions=True)
        await asyncio.sleep(0.05)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_bytes_go_and_come_back(wire_name: str, host: str) -> None:
    async with wired(wire_name) as wire, serving(echo, host=host) as port:
        told = start(wire, Place(host, port))
        await told.until(lambda: "opened" in told.names)
        before = time.monotonic_ns()
        assert told.stream is not None
        assert told.stream.write(b"hello") >= before
        await told.until(lambda: bytes(told.data) == b"hello")
        assert told.stream.ends == (host, host)
        ((stamp, seen),) = told.stamps
        assert before <= stamp + 1_000_000, "the two clocks are mapped to a millisecond at worst"
        assert stamp <= seen


async def test_more_than_the_kernel_takes_at_once_arrives_whole_and_in_order(wire_name: str) -> None:
    sent = b"".join(struct.pack(">I", number) for number in range(2_000_000))
    got = bytearray()
    done = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        while data := await reader.read(1 << 18):
            got.extend(data)
            if len(got) == len(sent):
                done.set()
        writer.close()

    async with wired(wire_name) as wire, serving(slow) as port:
        told = start(wire, Place("127.0.0.1", port))
        await told.until(lambda: "opened" in told.names)
        assert told.stream is not None
        for at in range(0, len(sent), 1 << 20):
            told.stream.write(sent[at : at + (1 << 20)])
        async with asyncio.timeout(20):
            await done.wait()
        assert bytes(got) == sent


async def test_a_refused_connection_is_told_as_such(wire_name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with wired(wire_name) as wire:
        told = start(wire, Place("127.0.0.1", port))
        await told.until(lambda: bool(told.events))
        assert told.events == [("lost", "refused")]


async def test_without_a_descriptor_left_the_connection_is_lost_not_the_generator(wire_name: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with wired(wire_name) as wire, serving(echo) as port:
        highest = highest_descriptor()
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, limits[1]))
        try:
            with suppress(OSError):
                while True:
                    held.append(socket.socket())
            told = start(wire, Place("127.0.0.1", port))
            await told.until(lambda: bool(told.events))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for one in held:
                one.close()
        assert told.events == [("lost", "connect")]


async def test_an_orderly_end_and_a_torn_connection_are_told_apart(wire_name: str) -> None:
    async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"bye")
        writer.close()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with wired(wire_name) as wire, serving(polite) as port, serving(rude) as other:
        first, second = start(wire, Place("127.0.0.1", port)), start(wire, Place("127.0.0.1", other))
        for told in (first, second):
            await told.until(lambda told=told: "opened" in told.names)  # type: ignore[misc]
            assert told.stream is not None
            told.stream.write(b"x")
        await first.until(lambda: "ended" in first.names)
        await second.until(lambda: "lost" in second.names)
        assert bytes(first.data) == b"bye"
        assert second.events[-1] == ("lost", "reset")


async def test_nothing_is_told_after_an_abort_and_no_descriptor_is_left(wire_name: str) -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.001)
        except OSError:
            writer.close()

    async with serving(chatty) as port:
        before = descriptors()
        async with wired(wire_name) as wire:
            all_told = [start(wire, Place("127.0.0.1", port)) for _ in range(20)]
            for told in all_told:
                await told.until(lambda told=told: bool(told.data))  # type: ignore[misc]
                assert told.stream is not None
                told.stream.abort()
                told.stream.abort()
            seen = [len(told.data) for told in all_told]
            await asyncio.sleep(0.1)
            assert [len(told.data) for told in all_told] == seen
            assert all(told.names == ["opened"] for told in all_told)
            start(wire, Place("127.0.0.1", port))  # closed by the wire while it connects
        for _ in range(50):
            await asyncio.sleep(0.05)
            gc.collect()
            if descriptors() <= before:
                break
        assert descriptors() <= before


def highest_descriptor() -> int:
    return max(int(one.name) for one in Path("/proc/self/fd").iterdir())


def descriptors() -> int:
    return sum(1 for one in Path("/proc/self/fd").iterdir() if str(one.resolve()).startswith("/proc"))


async def test_a_blocked_loop_does_not_move_the_kernels_stamp() -> None:
    """The answer comes after 20 ms while this loop sleeps for 200 ms: only the moment of seeing is late."""
    asked = threading.Event()
    answered: list[int] = []

    def server(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(1)
            asked.set()
            time.sleep(0.02)
            answered.append(time.monotonic_ns())
            peer.sendall(b"x")
            time.sleep(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server, args=(listener,), daemon=True)
        thread.start()
        async with wired("kernel") as wire:
            told = start(wire, Place("127.0.0.1", listener.getsockname()[1]))
            await told.until(lambda: "opened" in told.names)
            assert told.stream is not None
            told.stream.write(b"?")
            assert asked.wait(5)
            time.sleep(0.2)  # noqa: ASYNC251 - a loop that something blocks is what is tested
            await told.until(lambda: bool(told.data))
        thread.join(5)
    ((stamp, seen),) = told.stamps
    assert seen - answered[0] > 100_000_000
    assert abs(stamp - answered[0]) < 20_000_000


@pytest.mark.parametrize("set_by_s", [-3600, 3600])
async def test_a_clock_that_was_set_does_not_move_a_stamp_by_hours(set_by_s: int) -> None:
    async with wired("kernel") as wire, serving(echo) as port:
        assert isinstance(wire, LinuxWire)
        told = start(wire, Place("127.0.0.1", port))
        await told.until(lambda: "opened" in told.names)
        assert told.stream is not None
        for number in range(1, 4):
            wire.offset_ns -= set_by_s * 1_000_000_000  # as it stands when the clock was set since it was read
            before = time.monotonic_ns()
            told.stream.write(b"x")
            await told.until(lambda number=number: len(told.data) == number)  # type: ignore[misc]
            stamp, seen = told.stamps[-1]
            assert before - 1_000_000 <= stamp <= seen


@dataclass(frozen=True)
class Tls:
    server: ssl.SSLContext
    client: ssl.SSLContext
    stranger: ssl.SSLContext


@pytest.fixture(scope="module")
def tls() -> Tls:
    authority, other = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.school.test", "127.0.0.1").configure_cert(server)
    client, stranger = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(client)
    other.configure_trust(stranger)
    return Tls(server, client, stranger)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_carries_the_same_bytes(wire_name: str, tls: Tls, version: ssl.TLSVersion) -> None:
    context = tls.client
    context.minimum_version = context.maximum_version = version
    versions = []
    payload = bytes(range(256)) * 2000

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        versions.append(writer.get_extra_info("ssl_object").version())
        await echo(reader, writer)

    async with wired(wire_name) as wire, serving(handler, tls=tls.server) as port:
        told = start(wire, Place("127.0.0.1", port, context, "api.school.test"))
        await told.until(lambda: "opened" in told.names)
        assert told.stream is not None
        told.stream.write(payload)
        await told.until(lambda: len(told.data) == len(payload))
        assert bytes(told.data) == payload
        assert versions == [version.name.replace("_", ".")]


@pytest.mark.parametrize("case", ["stranger", "name", "plain"])
async def test_what_cannot_be_verified_is_refused(wire_name: str, tls: Tls, case: str) -> None:
    context = tls.stranger if case == "stranger" else tls.client
    name = "other.school.test" if case == "name" else "api.school.test"
    received = bytearray()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(1))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with wired(wire_name) as wire, serving(handler, tls=None if case == "plain" else tls.server) as port:
        told = start(wire, Place("127.0.0.1", port, context, name))
        await told.until(lambda: bool(told.events))
        assert told.events == [("lost", "tls" if case == "plain" else "certificate")]
        assert case == "plain" or not received, "no byte of a request was sent"


async def test_a_thousand_connections_at_once(wire_name: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    async with wired(wire_name) as wire, serving(echo) as port:
        all_told = [start(wire, Place("127.0.0.1", port)) for _ in range(1000)]
        for number, told in enumerate(all_told):
            await told.until(lambda told=told: bool(told.events), 30)  # type: ignore[misc]
            assert told.names == ["opened"]
            assert told.stream is not None
            told.stream.write(b"%d" % number)
        for number, told in enumerate(all_told):
            await told.until(lambda told=told, number=number: bytes(told.data) == b"%d" % number, 30)  # type: ignore[misc]


@pytest.mark.parametrize("stamps", ["kernel", "loop"])
async def test_the_best_wire_says_who_stamps(stamps: Stamps) -> None:
    wire = open_wire(stamps=stamps)
    try:
        assert wire.stamps == stamps
    finally:
        wire.close()
