"""A real WebSocket server (`websockets`) in a process of its own, with planted behaviour and counts.

`python tests/websocket_server.py '{"pushes": 10}'` prints its port. Commands come on its standard input, one a line:
`counts` prints them; `drop` closes every connection with 1012 and refuses new ones; `take` takes them again.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

ANSWERS = {
    "ping": "pong",
    "track_order": "order_status_update",
    "subscribe": "subscribed",
    "authenticate": "connection_status",
}


@dataclass
class Plan:
    """What the server does; `pushes` are sent at a subscription, numbered, without `gaps`."""

    pushes: int = 0
    gaps: tuple[int, ...] = ()
    certificate: str = ""
    hold_s: float = 0.0


@dataclass
class Counts:
    """What reached the server."""

    connections: int = 0
    refused: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    pushed: int = 0


class Server:
    """See the module."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.counts = plan, Counts()
        self.open: set[ServerConnection] = set()
        self.taking = True

    async def converse(self, peer: ServerConnection) -> None:
        self.counts.connections += 1
        self.open.add(peer)
        with suppress(ConnectionClosed):
            async for text in peer:
                message = json.loads(text)
                self.counts.messages[message["type"]] += 1
                await asyncio.sleep(self.plan.hold_s)
                await peer.send(json.dumps({"type": ANSWERS[message["type"]], "sequenceId": message["sequenceId"]}))
                if message["type"] == "subscribe":
                    await self.push(peer)
        self.open.discard(peer)

    async def push(self, peer: ServerConnection) -> None:
        for number in range(self.plan.pushes):
            if number not in self.plan.gaps:
                self.counts.pushed += 1
                await peer.send(json.dumps({"type": "realtime_stats", "seq": number}))

    def upgrade(self, peer: ServerConnection, _: Request) -> Response | None:
        if self.taking:
            return None
        self.counts.refused += 1
        return peer.respond(HTTPStatus.SERVICE_UNAVAILABLE, "not now\n")

    async def obey(self, command: str) -> None:
        if command == "drop":
            self.taking = False
            await asyncio.gather(*(peer.close(1012) for peer in tuple(self.open)))
        elif command == "take":
            self.taking = True
        print(json.dumps(asdict(self.counts) | {"messages": dict(self.counts.messages)}), flush=True)  # noqa: T201


async def main(plan: Plan) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(8192, hard)), hard))
    server, context = Server(plan), None
    if plan.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(plan.certificate)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with serve(
        server.converse, "127.0.0.1", 0, process_request=server.upgrade, ping_interval=None, ssl=context, backlog=1024
    ) as running:
        print(next(iter(running.sockets)).getsockname()[1], flush=True)  # noqa: T201 - for the test
        while line := await reader.readline():
            await server.obey(line.decode().strip())


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    port: int
    process: subprocess.Popen[str]

    def ask(self, command: str = "counts") -> Counts:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return Counts(**found | {"messages": Counter(found["messages"])})


@contextmanager
def serving(**plan: Any) -> Iterator[Running]:
    """A server of its own process until the block ends."""
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(asdict(Plan(**plan)))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Running(int(process.stdout.readline()), process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(sys.argv[1]))))
