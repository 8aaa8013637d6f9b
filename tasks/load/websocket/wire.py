"""One WebSocket connection on the load engine's wire (RFC 6455): whole text frames are taken off at once.

Every other frame, and the handshake, goes through the Sans-I/O protocol of `websockets`, one whole frame at a time;
that keeps the protocol's rules (fragments, control frames, limits) without its cost on each message. Answers carry
the wire's stamps. The connection sends no keepalive pings of its own and never reconnects: its owner decides both.
https://www.rfc-editor.org/rfc/rfc6455
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import WebSocketURI

from tasks.load.wire.wire import Place, Stream, Wire

try:
    from websockets.speedups import apply_mask
except ImportError:  # a system for which `websockets` has no compiled part
    from websockets.utils import apply_mask

NORMAL = 1000
ABNORMAL = 1006
INVALID = 1007
"""Close codes of RFC 6455, 7.4.1; 1007 answers a text that is not UTF-8 (8.1); 1006 is never sent: it stands for a
connection that ended without a close frame."""

MAX_MESSAGE = 1 << 20
_HEAD_LIMIT = 1 << 16
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |$)")
_SWITCHING = 101

_TEXT: Final = 0x81  # FIN, no extension, text
_LENGTH_16, _LENGTH_64 = 126, 127
_SHORT = tuple(bytes((_TEXT, 0x80 | size)) for size in range(_LENGTH_16))
_uint16, _uint64 = struct.Struct(">H"), struct.Struct(">Q")


def _masks() -> Iterator[bytes]:
    """Unpredictable masking keys (RFC 6455, 10.3), drawn from the system by the block."""
    while True:
        block = os.urandom(1 << 13)
        yield from (block[at : at + 4] for at in range(0, len(block), 4))


_next_mask = _masks().__next__
_now = time.monotonic_ns


@dataclass(frozen=True)
class End:
    """How a connection, or the attempt at one, ended.

    `by`: `client` closed it in order, `storm` the plan dropped it, `peer` closed it with a close frame, `lost`
    without one, `handshake` it never opened. `error` is one of `samples.ERRORS` where it did not end in order;
    `status` the HTTP status of a refusal, `reason` the server's own short word for it.
    """

    at_ns: int
    by: str
    code: int
    error: str | None = None
    status: int = 0
    reason: str = ""


class Connection:
    """A client connection, a `wire.Receiver`; all times are monotonic ns.

    It calls `on_open(at)`, `on_text(text, stamp, seen)`, `on_binary` likewise and, exactly once, `on_end(End)`.
    `open` says whether messages can be sent; `connected_ns` is when TCP (and TLS) stood, None before.
    """

    __slots__ = (  # noqa: RUF023 - as they are set
        "_closing", "_ended", "_fragments", "_on_binary", "_on_end", "_on_open", "_on_text", "_opened", "_protocol",
        "_headers", "_rest", "_stream", "_write", "connected_ns", "open",
    )  # fmt: skip

    def __init__(
        self,
        uri: WebSocketURI,
        *,
        on_open: Callable[[int], None],
        on_text: Callable[[bytes, int, int], None],
        on_end: Callable[[End], None],
        on_binary: Callable[[bytes, int, int], None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE)
        self._on_open, self._on_text, self._on_end = on_open, on_text, on_end
        self._on_binary = on_binary or on_text
        self._headers = headers or {}
        self._stream: Stream | None = None
        self._write: Callable[[bytes], int] = _unopened
        self._rest = b""
        self._fragments: list[bytes] = []
        self._opened = self._closing = self._ended = self.open = False
        self.connected_ns: int | None = None

    def start(self, wire: Wire, place: Place) -> None:
        """Connect; the outcome is told later."""
        self._stream = wire.connect(place, self)
        self._write = self._stream.write

    def send(self, text: bytes) -> int:
        """Send one text message, the connection must be open; the moment just before its bytes went to the system."""
        size = len(text)
        mask = _next_mask()
        if size < _LENGTH_16:
            return self._write(_SHORT[size] + mask + apply_mask(text, mask))
        return self._write(_long_head(size) + mask + apply_mask(text, mask))

    def close(self) -> None:
        """Begin the closing handshake; `on_end` follows when the peer has answered, or at `abort`."""
        if self._ended:
            return
        self._closing = True
        if self.open:
            self.open = False
            self._protocol.send_close(NORMAL)
            self._flush()
        else:
            self.abort()

    def abort(self, error: str | None = None, *, by: str = "client") -> None:
        """End at once; `error` tells why where it is not the client's own wish, `by` who wished it."""
        at = _now()
        if not self._opened:
            self._finish(End(at, "handshake", ABNORMAL, error or "aborted"))
        elif error is not None:
            self._finish(End(at, "lost", ABNORMAL, error))
        elif self._closing:
            self._finish(End(at, "client", NORMAL))
        else:
            self._finish(End(at, by, ABNORMAL, "aborted"))

    def refuse_text(self, text: bytes, stamp_ns: int) -> bool:
        """Whether a text that its reader cannot read is not even UTF-8: then this connection fails (RFC 6455, 8.1).

        Whoever reads texts asks it of those that are none of its own alone, so that the others are not read twice.
        """
        try:
            text.decode()
        except UnicodeDecodeError:
            self.open = False
            self._protocol.send_close(INVALID)
            self._flush()
            self._finish(End(stamp_ns, "lost", INVALID, "bad_text"))
            return True
        return False

    # --- told by the wire: see `wire.Receiver` ---

    def opened(self, at_ns: int) -> None:
        """TCP (and TLS) is there: ask for the upgrade."""
        self.connected_ns = at_ns
        request = self._protocol.connect()
        request.headers.update(self._headers)
        self._protocol.send_request(request)
        self._flush()

    def received(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        """Take whole frames off; what is left of the bytes waits for the rest of its frame."""
        if self._ended:
            return
        if not self._opened:
            data = self._greeted(data, stamp_ns)
        elif self._rest:
            data, self._rest = self._rest + data, b""
        elif len(data) > 1 and data[0] == _TEXT and data[1] == len(data) - 2 < _LENGTH_16 and not self._fragments:
            self._on_text(data[2:], stamp_ns, seen_ns)  # nearly every answer: one short frame and nothing else
            return
        at, end = 0, len(data)
        while end - at > 1 and not self._ended:
            start, stop = _frame(data, at)
            if stop > end and stop - start <= MAX_MESSAGE:
                break
            if data[at] == _TEXT and data[at + 1] <= _LENGTH_64 and stop <= end and not self._fragments:
                self._on_text(data[start:stop], stamp_ns, seen_ns)
            else:  # one whole frame, or one that breaks the rules: the protocol says how
                self._hand_over(data[at:stop], stamp_ns, seen_ns)
            at = stop
        if at < end and not self._ended:
            self._rest = data[at:]

    def ended(self, at_ns: int) -> None:
        """The peer sends nothing more, and sent no close frame."""
        self._gone(at_ns, "closed")

    def lost(self, at_ns: int, error: str) -> None:
        """The connection broke, or never came about."""
        self._gone(at_ns, error)

    def _gone(self, at_ns: int, error: str) -> None:
        if not self._opened:
            self._finish(End(at_ns, "handshake", ABNORMAL, error))
        elif self._closing:
            self._finish(End(at_ns, "client", NORMAL))
        else:
            self._finish(End(at_ns, "lost", ABNORMAL, error))

    # --- the handshake ---

    def _greeted(self, data: bytes, stamp_ns: int) -> bytes:
        """Take the answer to the upgrade; the bytes that came after it."""
        head, mark, rest = (self._rest + data).partition(b"\r\n\r\n")
        if not mark:
            self._rest = head
            if len(head) > _HEAD_LIMIT:
                self._finish(End(stamp_ns, "handshake", ABNORMAL, "too_large"))
            return b""
        self._rest = b""
        status = _STATUS.match(head)
        if status is None or int(status[1]) != _SWITCHING:
            self._finish(End(stamp_ns, "handshake", ABNORMAL, "protocol", int(status[1]) if status else 0))
            return b""
        self._protocol.receive_data(head + mark)
        self._protocol.events_received()
        if self._protocol.handshake_exc is not None:
            self._finish(End(stamp_ns, "handshake", ABNORMAL, "protocol", _SWITCHING))
            return b""
        self._opened = self.open = True
        self._on_open(stamp_ns)
        return rest

    # --- the frames that are no whole text ---

    def _hand_over(self, frame: bytes, stamp_ns: int, seen_ns: int) -> None:
        protocol = self._protocol
        protocol.receive_data(frame)
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode in _DATA:
                self._gather(event, stamp_ns, seen_ns)
        self._flush()  # pongs and close frames, which the protocol writes itself
        if protocol.parser_exc is not None:
            kind = "too_large" if "Big" in type(protocol.parser_exc).__name__ else "protocol"
            self._finish(End(stamp_ns, "lost", ABNORMAL, kind))
        elif protocol.close_rcvd is not None:
            code, reason = protocol.close_rcvd.code, protocol.close_rcvd.reason
            if self._closing:
                self._finish(End(stamp_ns, "client", code))
            else:
                self._finish(End(stamp_ns, "peer", code, "closed", reason=reason))

    def _gather(self, frame: Frame, stamp_ns: int, seen_ns: int) -> None:
        """Put fragments together; the first byte of the list tells text from binary."""
        if not self._fragments:
            self._fragments.append(b"t" if frame.opcode is Opcode.TEXT else b"b")
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            kind, *parts = self._fragments
            self._fragments.clear()
            (self._on_text if kind == b"t" else self._on_binary)(b"".join(parts), stamp_ns, seen_ns)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)

    def _finish(self, end: End) -> None:
        if self._ended:
            return
        self._ended = True
        self.open = False
        if self._stream is not None:
            self._stream.abort()
        self._on_end(end)


def _frame(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` starts and stops; (0, a stop past any data) while its head is cut off.

    A masked frame is one that no server may send: its stop is that of its head, at which the protocol refuses it.
    """
    size = data[at + 1]
    if size < _LENGTH_16:
        return at + 2, at + 2 + size
    if size > _LENGTH_64:
        return at + 2, at + 2
    start = at + (4 if size == _LENGTH_16 else 10)
    if len(data) < start:
        return start, start
    (length,) = _uint16.unpack_from(data, at + 2) if size == _LENGTH_16 else _uint64.unpack_from(data, at + 2)
    return start, start + length


def _long_head(size: int) -> bytes:
    if size < 1 << 16:
        return bytes((_TEXT, 0x80 | _LENGTH_16)) + _uint16.pack(size)
    return bytes((_TEXT, 0x80 | _LENGTH_64)) + _uint64.pack(size)


def _unopened(data: bytes) -> int:
    raise RuntimeError(f"{len(data)} bytes written to a connection that was never started")
