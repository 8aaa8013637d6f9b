"""A server that says what it is told to, and two clients to compare on it: stock httpx and the load client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx

from tasks.load.client.client import Engine, Exchange, LoadClient

TLS = ssl.create_default_context()  # one for all: making it is what costs most of a stock client
Reply = bytes | Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class Server:
    """Says what it was told to, byte by byte, and notes what it was asked."""

    port: int = 0
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, str, list[tuple[str, str]], bytes]] = field(default_factory=list)
    connections: int = 0
    held: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, host, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self.held:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.held.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = [(name, value) for name, _, value in (line.partition(": ") for line in head[1:] if line)]
                body = await self._body(reader, {name.lower(): value for name, value in headers})
                self.asked.append((method, target, headers, body))
                path = target.partition("?")[0]
                queue = self.replies.get(path, self.replies.get("*", []))
                reply = queue.pop(0) if len(queue) > 1 else queue[0]
                if isinstance(reply, bytes):
                    writer.write(reply if method != "HEAD" else reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
                    await writer.drain()
                else:
                    await reply(writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
            return body
        return await reader.readexactly(int(headers.get("content-length", 0)))


def answer(status: int = 200, body: bytes = b"", *headers: tuple[str, str], reason: str = "Fine") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    if status >= 200 and status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Bench:
    """A server and both clients on one event loop."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.server = Server()
        self.exchanges: list[Exchange] = []
        self.run(self.server.start())
        self.base = f"http://127.0.0.1:{self.server.port}"
        self.engine: Engine = self.run(self._engine())

    async def _engine(self) -> Engine:
        engine = Engine(allow={"127.0.0.1", "localhost"}, timeout_s=5, connect_s=2)
        await engine.prepare(self.base)
        return engine

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def ours(self, **options: Any) -> LoadClient:
        options.setdefault("base_url", self.base)
        return LoadClient(self.engine, on_exchange=self.exchanges.append, **options)

    def stock(self, **options: Any) -> httpx.AsyncClient:
        options.setdefault("base_url", self.base)
        return httpx.AsyncClient(trust_env=False, verify=TLS, **options)

    def reset(self, **replies: Reply | list[Reply]) -> None:
        named = {("*" if path == "any" else "/" + path): reply for path, reply in replies.items()}
        self.server.replies = {path: reply if isinstance(reply, list) else [reply] for path, reply in named.items()}
        self.server.asked.clear()
        self.exchanges.clear()

    def close(self) -> None:
        self.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        self.engine.close()
        await self.server.stop()

    def both(
        self, method: str, url: Any, *, client: dict[str, Any] | None = None, calls: int = 1, **options: Any
    ) -> tuple[list[Any], list[Any]]:
        """What each client saw of the same calls, and what the server saw of it: (stock, ours)."""
        kept = {path: list(queue) for path, queue in self.server.replies.items()}
        seen = []
        for make in (self.stock, self.ours):
            self.server.replies = {path: list(queue) for path, queue in kept.items()}
            self.server.asked.clear()
            told = self.run(self._calls(make(**(client or {})), method, url, calls, options))
            seen.append([*told, *(normal(one) for one in self.server.asked)])
        return seen[0], seen[1]

    async def _calls(self, client: Any, method: str, url: Any, calls: int, options: dict[str, Any]) -> list[Any]:
        async with client:
            return [await told(client, method, url, options) for _ in range(calls)]


def normal(asked: tuple[str, str, list[tuple[str, str]], bytes]) -> Any:
    """A request without the order of its headers, which is ours to choose."""
    method, target, headers, body = asked
    return method, target, sorted(headers), body


async def told(client: httpx.AsyncClient, method: str, url: Any, options: dict[str, Any]) -> Any:
    try:
        response = await client.request(method, url, **options)
    except httpx.HTTPError as error:
        return type(error), error.request.method, str(error.request.url)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        return type(error)
    return whole(response), sorted((one.name, one.value, one.domain, one.path) for one in client.cookies.jar)


def whole(response: httpx.Response) -> Any:
    """Everything that an answer tells, except how long it took."""
    following = response.next_request
    request = response.request
    return {
        "status": (response.status_code, response.reason_phrase, response.http_version),
        "headers": response.headers.multi_items(),
        "content": response.content,
        "text": response.text,
        "encoding": response.encoding,
        "url": str(response.url),
        "request": (request.method, str(request.url), sorted(request.headers.multi_items()), sent_by(request)),
        "history": [whole(one) for one in response.history],
        "next": None if following is None else (following.method, str(following.url)),
        "cookies": sorted((one.name, one.value, one.path) for one in response.cookies.jar),
        "elapsed": response.elapsed.total_seconds() > 0,
        "flags": (response.is_closed, response.is_stream_consumed, response.is_error, response.has_redirect_location),
        "bytes": response.num_bytes_downloaded,
        "links": response.links,
    }


def sent_by(request: httpx.Request) -> bytes | None:
    try:
        return request.content
    except httpx.RequestNotRead:  # httpx does not keep a form with files
        return None
