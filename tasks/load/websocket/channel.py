"""What a user of a WebSocket load speaks through: named messages with numbers, whatever protocol carries them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from websockets.uri import WebSocketURI

from tasks.load.websocket.wire import Connection, End
from tasks.load.wire.wire import Place, Wire

ACK = "ack"
"""The kind of an answer by acknowledgement, which has no name of its own."""


class Listener(Protocol):
    """Who is told what comes through a channel; all times are monotonic ns."""

    def opened(self, at_ns: int) -> None:
        """Messages can be sent."""

    def came(
        self, kind: str, sequence: int | None, content: Mapping[str, Any], size: int, times: tuple[int, int]
    ) -> None:
        """A message of the server: its name, the number that it answers where it has one, its size in bytes.

        `times`: when the system received it, and when this process saw it.
        """

    def unreadable(self) -> None:
        """A message came that is none of the protocol's."""

    def ended(self, end: End) -> None:
        """The channel has ended, or never opened; told once, and nothing after it."""


class Channel(Protocol):
    """A connection that carries named messages."""

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""

    @property
    def connected_ns(self) -> int | None:
        """When TCP (and TLS) stood; None before, and where that is not known."""

    def start(self) -> None:
        """Connect; the outcome is told later."""

    def send(self, kind: str, content: bytes, sequence: int) -> int:
        """Send a message, the channel must be open; the moment just before.

        `content` is the inside of a JSON object, each of its members followed by a comma.
        """

    def close(self) -> None:
        """End in order."""

    def abort(self, error: str | None = None, *, by: str = "client") -> None:
        """End at once; see `Connection.abort`."""

    def tick(self, now_ns: int) -> None:
        """About once a second: notice what did not come in time."""


class JsonChannel:
    """One JSON object a message, `{"type": …, "sequenceId": …}`, on a plain WebSocket; see `Channel`."""

    __slots__ = ("_connection", "_listener", "_place", "_wire")

    def __init__(self, wire: Wire, place: Place, uri: WebSocketURI, listener: Listener) -> None:
        self._wire, self._place, self._listener = wire, place, listener
        self._connection = Connection(
            uri,
            on_open=listener.opened,
            on_text=self._take,
            on_binary=self._take_binary,
            on_end=listener.ended,
        )

    @property
    def open(self) -> bool:
        """See `Channel.open`."""
        return self._connection.open

    @property
    def connected_ns(self) -> int | None:
        """See `Channel.connected_ns`."""
        return self._connection.connected_ns

    def start(self) -> None:
        """See `Channel.start`."""
        self._connection.start(self._wire, self._place)

    def send(self, kind: str, content: bytes, sequence: int) -> int:
        """See `Channel.send`."""
        return self._connection.send(b'{"type":"%b",%b"sequenceId":%d}' % (kind.encode(), content, sequence))

    def close(self) -> None:
        """See `Channel.close`."""
        self._connection.close()

    def abort(self, error: str | None = None, *, by: str = "client") -> None:
        """See `Channel.abort`."""
        self._connection.abort(error, by=by)

    def tick(self, now_ns: int) -> None:
        """See `Channel.tick`: a plain WebSocket promises no heartbeat."""

    def _take(self, text: bytes, stamp_ns: int, seen_ns: int) -> None:
        message = _json(text)
        if message is not None or not self._connection.refuse_text(text, stamp_ns):
            self._came(message, len(text), stamp_ns, seen_ns)

    def _take_binary(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        """Bytes of any kind are allowed (RFC 6455, 5.6); some servers send their JSON so."""
        self._came(_json(data), len(data), stamp_ns, seen_ns)

    def _came(self, message: object, size: int, stamp_ns: int, seen_ns: int) -> None:
        if not isinstance(message, dict):
            self._listener.unreadable()
            return
        number = message.get("sequenceId")
        sequence = number if type(number) is int else None
        self._listener.came(str(message.get("type")), sequence, message, size, (stamp_ns, seen_ns))


def _json(data: bytes) -> object:
    """What the bytes say; None where they are no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
