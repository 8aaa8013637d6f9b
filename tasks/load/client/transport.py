"""Transports for what httpx itself does: on the engine's connections, or on others and stamped by the event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable

import httpx

from tasks.load.client.call import Caller
from tasks.load.client.decoding import BoundedResponse
from tasks.load.client.exchange import kind_of_httpx, name_of
from tasks.load.client.request import Origin, check_fields, lines_of, start_of
from tasks.load.client.response import extensions_of
from tasks.load.wire.http import BODY_LIMIT


class EngineTransport(httpx.AsyncBaseTransport):
    """Sends on the engine. A request's body is read whole before it is sent, an answer's before it is handed over."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        taken = time.monotonic_ns()
        caller, origin = self._caller, Origin.of(request.url)
        closes = "close" in request.headers.get("connection", "").lower()
        data = serialise(request, await _joined(request.stream))
        call = caller.call(taken, data, head_only=request.method == "HEAD", close=closes)
        limits = request.extensions.get("timeout")
        answer = await caller.perform(call, _name_of(request), origin, lambda: request, limits)
        return BoundedResponse(
            answer.head.status,
            headers=answer.head.fields,
            stream=httpx.ByteStream(bytes(call.body)),
            extensions=extensions_of(answer.head, answer.exchange),
        )


class StampedTransport(httpx.AsyncBaseTransport):
    """Another transport (HTTP/2, a proxy, the user's own) whose exchanges are told of with the loop's stamps."""

    def __init__(self, inner: httpx.AsyncBaseTransport, caller: Caller) -> None:
        self._inner = inner
        self._caller = caller

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        name, caller = _name_of(request), self._caller
        call = caller.call(time.monotonic_ns(), b"")
        caller.check_host(request.url.raw_host.decode("ascii"), call, name, lambda: request)
        call.sent = time.monotonic_ns()
        try:
            response = await self._inner.handle_async_request(request)
            try:
                body = await _joined(response.stream)
            finally:
                await response.aclose()
        except BaseException as error:
            call.fail(kind_of_httpx(error), time.monotonic_ns())
            caller.tell(call, name, "loop")
            raise
        call.received = call.seen = time.monotonic_ns()
        call.status, call.size = response.status_code, len(body)
        exchange = caller.tell(call, name, "loop")
        return BoundedResponse(
            response.status_code,
            headers=response.headers,
            stream=httpx.ByteStream(body),
            extensions={**response.extensions, "hasivu_perf": exchange},
        )

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._inner.aclose()


def serialise(request: httpx.Request, body: bytes) -> bytes:
    """A request as it goes over the wire; `httpx.LocalProtocolError` where it cannot."""
    fields = request.headers.raw
    hosts = [value for name, value in fields if name.lower() == b"host"]
    if len(hosts) != 1:
        raise httpx.LocalProtocolError("a request needs exactly one Host header")
    rest = [(name, value) for name, value in fields if name.lower() != b"host"]
    check_fields(rest)
    start = start_of(request.method, request.url.raw_path, hosts[0])
    return b"%b%b\r\n%b" % (start, lines_of(rest), _framed(request.headers, body))


def _framed(headers: httpx.Headers, body: bytes) -> bytes:
    """A body as its headers announce it."""
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise httpx.LocalProtocolError("Only Transfer-Encoding: chunked is supported")
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    announced = headers.get("content-length", "0")
    if announced != str(len(body)):
        raise httpx.LocalProtocolError("the length of the body is not the declared Content-Length")
    return body


async def _joined(stream: object) -> bytes:
    """All of a stream; bounded, since an answer may be endless."""
    if not isinstance(stream, AsyncIterable):
        raise TypeError("an asynchronous client sends and receives asynchronous streams")
    joined = bytearray()
    async for part in stream:
        joined += part
        if len(joined) > BODY_LIMIT:
            raise httpx.RemoteProtocolError("the body is larger than this client takes")
    return bytes(joined)


def _name_of(request: httpx.Request) -> str:
    name = request.extensions.get("name")
    return str(name) if name is not None else name_of(request.method, request.url.raw_path.decode("ascii"))
