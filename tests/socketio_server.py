"""Real Socket.IO servers (python-socketio on uvicorn) in a process of their own, with planted behaviour and counts.

Each line that `python tests/socketio_server.py` reads, such as `{"token": "good"}`, starts another server, whose port
it prints; that server's `/counters` tells what it was sent.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Plan:
    """What the server does; `push_gaps`: numbers of its pushes that it leaves out; `kick_after`: messages."""

    token: str | None = None
    upgrades: bool = True
    answer: str = "event"
    pushes: int = 0
    push_gaps: tuple[int, ...] = ()
    kick_after: int = 0
    binary: bool = False
    ping_interval: float = 25
    namespace: str = "/"
    refuse_upgrade: bool = False
    certificate: str | None = None


@dataclass
class Counts:
    """What reached the server."""

    connects: int = 0
    refused: int = 0
    disconnects: int = 0
    events: Counter[str] = field(default_factory=Counter)
    transports: Counter[str] = field(default_factory=Counter)
    pushed: int = 0
    push_acks: int = 0
    heads: list[str] = field(default_factory=list)


def application(plan: Plan, counts: Counts) -> Any:  # noqa: C901 - the handlers of one server
    import socketio  # type: ignore[import-untyped] # noqa: PLC0415 - the server's process alone

    server = socketio.AsyncServer(
        async_mode="asgi",
        ping_interval=plan.ping_interval,
        ping_timeout=2,
        allow_upgrades=plan.upgrades,
        cors_allowed_origins=[],
    )
    seen: Counter[str] = Counter()
    messages = {"ping": "pong", "track_order": "order_status_update", "subscribe": "subscribed"}

    async def connect(sid: str, _: Any, auth: Any = None) -> None:
        if plan.token is not None and (auth or {}).get("token") != plan.token:
            counts.refused += 1
            raise socketio.exceptions.ConnectionRefusedError("not authorised")
        counts.connects += 1

    async def disconnect(sid: str, *_: Any) -> None:
        counts.disconnects += 1

    async def message(name: str, sid: str, data: dict[str, Any]) -> Any:
        counts.events[name] += 1
        counts.transports[server.transport(sid, namespace=plan.namespace)] += 1
        seen[sid] += 1
        if plan.kick_after and seen[sid] == plan.kick_after:
            await server.disconnect(sid, namespace=plan.namespace)
            return None
        if name == "subscribe":
            await push(sid)
        if plan.answer == "event":
            answer = {"sequenceId": data["sequenceId"]} | ({"raw": b"\x00\xff"} if plan.binary else {})
            await server.emit(messages[name], answer, to=sid, namespace=plan.namespace)
            return None
        if plan.answer == "refuse" and name == "track_order":
            return {"success": False, "error": "ORDER_NOT_FOUND"}
        return {"success": True}

    async def push(sid: str) -> None:
        def acknowledged(*_: Any) -> None:
            counts.push_acks += 1

        for number in range(plan.pushes):
            if number not in plan.push_gaps:
                counts.pushed += 1
                content = {"seq": number, "load": 0.5}
                await server.emit("realtime_stats", content, to=sid, namespace=plan.namespace, callback=acknowledged)

    server.on("connect", connect, namespace=plan.namespace)
    server.on("disconnect", disconnect, namespace=plan.namespace)
    for name in messages:

        async def handler(sid: str, data: dict[str, Any], name: str = name) -> Any:
            return await message(name, sid, data)

        server.on(name, handler, namespace=plan.namespace)

    inner = socketio.ASGIApp(server)

    async def outer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/counters":
            body = json.dumps(vars(counts)).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        if scope["type"] in ("http", "websocket"):
            counts.heads.append(f"{scope['type']} {scope['path']}?{scope['query_string'].decode()}")
        if scope["type"] == "websocket" and plan.refuse_upgrade:
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        await inner(scope, receive, send)

    return outer


async def start(plan: Plan) -> tuple[int, asyncio.Task[None]]:
    import uvicorn  # noqa: PLC0415 - the servers' process alone

    listener = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle's algorithm on
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    application_ = application(plan, Counts())
    config = uvicorn.Config(
        application_, log_level="critical", lifespan="off", ws="websockets-sansio", ssl_certfile=plan.certificate
    )
    return listener.getsockname()[1], asyncio.create_task(uvicorn.Server(config).serve(sockets=[listener]))


async def main() -> None:
    reader, servers = asyncio.StreamReader(), []
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        port, server = await start(Plan(**json.loads(line)))
        servers.append(server)
        print(port, flush=True)  # noqa: T201 - for the test


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    port: int

    def counts(self) -> Counts:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/counters", timeout=5) as answer:
            found = json.load(answer)
        return Counts(**found | {"events": Counter(found["events"]), "transports": Counter(found["transports"])})


@dataclass(frozen=True)
class Servers:
    """A process that starts servers."""

    process: subprocess.Popen[str]

    def start(self, **plan: Any) -> Running:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(Plan(**plan))) + "\n")
        self.process.stdin.flush()
        return Running(int(self.process.stdout.readline()))


@contextmanager
def running() -> Iterator[Servers]:
    """A process for servers until the block ends."""
    command = [sys.executable, str(Path(__file__).resolve())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Servers(process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(main())
