"""One WebSocket connection on asyncio's transport and the Sans-I/O protocol of `websockets`.

Answers are stamped when their bytes come in, before they are parsed. The connection sends no keepalive pings of its
own and never reconnects: its owner decides both. https://www.rfc-editor.org/rfc/rfc6455
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qs

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import WebSocketURI, parse_uri

from storage.errors import NotMeasuredError

NORMAL = 1000
ABNORMAL = 1006
"""Close codes of RFC 6455, 7.4.1; 1006 is never sent: it stands for a connection that ended without a close frame."""

MAX_MESSAGE = 1 << 20
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


@dataclass(frozen=True)
class Place:
    """Where to connect: the parsed URL, one resolved IP, and what of it may be shown."""

    uri: WebSocketURI
    ip: str
    family: socket.AddressFamily

    @property
    def shown(self) -> str:
        """The address for a person: scheme, host, port and path, without user and query."""
        return shown(self.uri)

    @property
    def token(self) -> str | None:
        """The value of `token` in the URL's query, which the application may want in a message too."""
        tokens = parse_qs(self.uri.query).get("token")
        return tokens[0] if tokens else None


def shown(uri: WebSocketURI) -> str:
    """A WebSocket address without user and query."""
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    return f"{'wss' if uri.secure else 'ws'}://{host}:{uri.port}{uri.path}"


def parse(url: str) -> WebSocketURI:
    """Take a URL apart; the text of the error never shows it, for it may hold a token."""
    try:
        uri = parse_uri(url.strip())
        port = uri.port
    except (InvalidURI, ValueError):
        port = 0
    if not 0 < port < 1 << 16:
        raise NotMeasuredError(
            "the WebSocket address is not a valid URL; give it the form ws[s]://host[:port][/path]"
        )
    return uri


def resolve(uri: WebSocketURI) -> Place:
    """Look the host up, outside any measured time; the first address that the system offers is used."""
    try:
        found = socket.getaddrinfo(uri.host, uri.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotMeasuredError(
            f"the host of {shown(uri)} has no address ({error}); correct the WebSocket address, or the name service"
        ) from None
    family, _, _, _, where = found[0]
    return Place(uri, str(where[0]), family)


@dataclass(frozen=True)
class End:
    """How a connection, or the attempt at one, ended.

    `by`: `client` closed it in order, `peer` closed it with a close frame, `lost` without one, `handshake` it never
    opened. `error` is one of `samples.ERRORS` where it did not end in order; `status` the HTTP status of a refusal.
    """

    at_ns: int
    by: str
    code: int
    error: str | None = None
    status: int = 0


class Connection(asyncio.Protocol):
    """A client connection; it calls `on_open(at_ns)`, `on_text(text, at_ns)` and, exactly once, `on_end(End)`."""

    def __init__(
        self,
        uri: WebSocketURI,
        *,
        on_open: Callable[[int], None],
        on_text: Callable[[bytes, int], None],
        on_end: Callable[[End], None],
    ) -> None:
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE)
        self._on_open, self._on_text, self._on_end = on_open, on_text, on_end
        self._transport: asyncio.Transport | None = None
        self._fragments = bytearray()
        self._opened = False
        self._closing = False
        self._ended = False
        self._error: str | None = None

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._opened and not self._closing and self._protocol.state is OPEN

    def send(self, text: bytes) -> int:
        """Send one text message; the moment (monotonic ns) just before its bytes went to the transport."""
        self._protocol.send_text(text)
        at = time.monotonic_ns()
        self._flush()
        return at

    def close(self) -> None:
        """Begin the closing handshake; `on_end` follows when the peer has answered, or at `abort`."""
        if self._ended:
            return
        self._closing = True
        if self._opened and self._protocol.state is OPEN:
            self._protocol.send_close(NORMAL)
            self._flush()
        else:
            self.abort()

    def abort(self, error: str | None = None) -> None:
        """End at once; `error` tells why where it is not the client's own wish."""
        self._error = self._error or error
        if self._transport is not None:
            self._transport.abort()
        self._finish(None)

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP (and TLS) is there: ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        if self._ended:
            self._transport.abort()
            return
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer: the handshake's answer, frames, or the end of the connection."""
        at = time.monotonic_ns()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, at)
            elif self._protocol.handshake_exc is None:
                self._opened = True
                self._on_open(at)
        self._flush()
        if self._protocol.handshake_exc is not None:
            self.abort("protocol")

    def eof_received(self) -> bool:
        """The peer will send nothing more."""
        self._protocol.receive_eof()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._finish(exc)

    def _take(self, frame: Frame, at_ns: int) -> None:
        if frame.opcode not in _DATA:
            return  # the protocol answers pings and close frames itself
        self._fragments += frame.data
        if frame.fin:
            text = bytes(self._fragments)
            self._fragments.clear()
            self._on_text(text, at_ns)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

    def _finish(self, exc: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._on_end(self._how(exc))

    def _how(self, exc: Exception | None) -> End:
        at = time.monotonic_ns()
        if not self._opened:
            refused = self._protocol.handshake_exc
            status = refused.response.status_code if isinstance(refused, InvalidStatus) else 0
            return End(at, "handshake", ABNORMAL, self._error or _kind(exc or refused), status)
        received = self._protocol.close_rcvd
        code = received.code if received is not None else ABNORMAL
        if self._closing and self._error is None:
            return End(at, "client", code if received is not None else NORMAL)
        if received is not None and self._protocol.parser_exc is None:
            return End(at, "peer", code, "closed")
        failed = self._protocol.parser_exc
        if failed is not None and not isinstance(failed, EOFError):
            return End(at, "lost", ABNORMAL, "too_large" if "Big" in type(failed).__name__ else "protocol")
        return End(at, "lost", ABNORMAL, self._error or ("reset" if exc is not None else "closed"))


def _kind(error: BaseException | None) -> str:
    """The kind of `samples.ERRORS` that an exception of connecting is."""
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "reset"
    if isinstance(error, InvalidHandshake | WebSocketException):
        return "protocol"
    return "connect" if isinstance(error, OSError) else "closed"


async def connect(place: Place, connection: Connection, context: ssl.SSLContext | None, timeout_s: float) -> None:
    """Bring a connection to the point where its handshake was sent; a failure ends it through `on_end`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(
                lambda: connection,
                place.ip,
                place.uri.port,
                family=place.family,
                ssl=context,
                server_hostname=place.uri.host if context is not None else None,
            )
    except OSError as error:  # TimeoutError and ssl.SSLError are kinds of it
        connection.abort(_kind(error))
