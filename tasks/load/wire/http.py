"""A lean HTTP/1.1 client for load: a scanner of answers without I/O, and one connection on a wire's stream.

It does what a load generator needs and refuses the rest: no redirects (a 3xx is an answer), no cookies, no content
decoding; an answer has bounds (head 64 KiB, body 16 MiB), and what breaks the protocol is an error of its own kind.
Framing follows RFC 9112, section 6.3.
"""

from __future__ import annotations

import re
import time
from typing import ClassVar, Final, Protocol

from tasks.load.wire.wire import Stream

HEAD_LIMIT: Final = 64 * 1024
BODY_LIMIT: Final = 16 * 1024 * 1024
_LINE_LIMIT: Final = 256
_INTERIM_LIMIT: Final = 16
_PLAIN_LIMIT: Final = 512
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|connection):[ \t]*([^\r\n]*)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: |\r|$)")
_SIZE = re.compile(rb"^([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?$")
_LENGTH = re.compile(rb"^\d{1,15}$")
_START = b"HTTP/1."
_NOTHING = bytearray()  # stands for a body that is not kept, and is never added to

_HEAD, _COUNTED, _UNTIL_CLOSE, _SIZE_LINE, _CHUNK, _TRAILER, _DONE = range(7)


Usual = tuple[bytes, int, int, int, bytes]
"""What answers with the same head have in common: (head with its end, bytes in all, status, bytes of body, head)."""


class BadAnswer(Exception):  # noqa: N818 - it is the answer that is bad
    """An answer that cannot be used; `kind` is one of `samples.ERRORS`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


class Scanner:
    """Finds the end of each answer of a connection, and what a load test wants to know of it.

    `status`, `size` (bytes of the body on the wire, without the chunks' own framing), `keep_alive`, `head`; `body`
    holds the body where `reset` was told to keep it.
    """

    __slots__ = (
        "_buffer", "_interim", "_keep", "_left", "_mode", "_parsed", "_usual",
        "body", "head", "keep_alive", "size", "status",
    )  # fmt: skip

    body: bytes | bytearray

    _plain: ClassVar[dict[bytes, Usual]] = {}
    """Heads that were read before, of answers with a length on connections that stay. A server's heads differ by
    their date alone, so within a second most are known."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._usual: Usual = (b"\0", -1, 0, 0, b"")
        self._parsed = True
        self.reset(keep_body=False)

    def reset(self, *, keep_body: bool) -> None:
        """Make ready for the next answer. Only what was parsed leaves anything behind."""
        self._keep = keep_body
        if self._parsed:
            self._parsed = False
            self._clear()

    def _clear(self) -> None:
        self._mode = _HEAD
        self._left = 0
        self._interim = 0
        self.status = 0
        self.size = 0
        self.keep_alive = True
        self.head = b""
        self.body = _NOTHING

    def feed(self, data: bytes) -> bool:
        """Take what arrived; whether the answer is whole now. `BadAnswer` where it breaks the protocol or a bound."""
        start, length, status, size, head = self._usual
        if len(data) == length and data.startswith(start) and self._mode == _HEAD and not self._buffer:
            self.status, self.size, self.head = status, size, head
            self.body = data[len(start) :] if self._keep else _NOTHING
            return True
        return self._parse(data)

    def _parse(self, data: bytes) -> bool:
        """Take what is not the usual answer of this connection."""
        if self._mode == _HEAD:
            if not self._buffer and self._known(data):
                return self.feed(data)
            if not self._parsed:
                self._parsed = True
                self._clear()
            if self._keep and not self.body:
                self.body = bytearray()
            rest = self._scan_head(data)
            if rest is None:
                return False
            data = rest
        if self._mode == _COUNTED:
            self._count(data[: self._left])
            self.keep_alive = self.keep_alive and len(data) <= self._left
            self._left -= len(data)
            return self._left <= 0
        if self._mode == _UNTIL_CLOSE:
            self._count(data)
            return False
        return self._scan_chunks(data)

    def _known(self, data: bytes) -> bool:
        """Whether this is a whole answer whose head was read before; it is the usual one from now on."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return False
        found = self._plain.get(data[:end])
        if found is None or len(data) != found[1]:
            return False
        self._usual = found
        return True

    def end(self) -> bool:
        """The target closed the connection: whether that makes the answer whole."""
        return self._mode == _UNTIL_CLOSE

    def _count(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        if self.size > BODY_LIMIT:
            raise BadAnswer("body_too_large")
        if self._keep:
            self.body += data  # in place: what is parsed is gathered in a bytearray

    def _scan_head(self, data: bytes) -> bytes | None:
        """What follows the head; None where it is not whole yet."""
        while True:
            buffer = self._buffer
            searched = max(0, len(buffer) - 3)
            if buffer:
                buffer += data
                data = b""
            end = buffer.find(b"\r\n\r\n", searched) if buffer else data.find(b"\r\n\r\n")
            if end < 0 or end > HEAD_LIMIT:
                buffer += data
                if not buffer.startswith(_START[: len(buffer)]):
                    raise BadAnswer("bad_status_line")
                if len(buffer) > HEAD_LIMIT:
                    raise BadAnswer("head_too_large")
                return None
            whole = bytes(buffer) if buffer else data
            buffer.clear()
            self._read_head(whole[:end])
            data = whole[end + 4 :]
            if self.status >= 200:  # noqa: PLR2004 - below are interim answers
                return data
            if not data:
                return None

    def _read_head(self, head: bytes) -> None:
        line = _STATUS.match(head)
        if line is None:
            raise BadAnswer("bad_status_line")
        self.status = int(line[2])
        self.head = head
        if self.status < 200:  # noqa: PLR2004 - an interim answer: the real one follows
            self._interim += 1
            if self.status == 101 or self._interim > _INTERIM_LIMIT:  # noqa: PLR2004 - nobody asked to switch
                raise BadAnswer("bad_interim")
            return
        self.keep_alive = line[1] == b"1"
        self._frame(_FRAMING.findall(head))
        if self._mode == _COUNTED and self.keep_alive:
            if len(self._plain) >= _PLAIN_LIMIT:
                self._plain.clear()
            start = head + b"\r\n\r\n"
            self._plain[head] = (start, len(start) + self._left, self.status, self._left, head)

    def _frame(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Decide how the body ends (RFC 9112, 6.3)."""
        length, chunked = self._read_fields(fields)
        if self.status in (204, 304):
            self._mode, self._left = _COUNTED, 0
        elif chunked:
            if length is not None:
                raise BadAnswer("bad_length")
            self._mode = _SIZE_LINE
        elif length is None:
            self._mode, self.keep_alive = _UNTIL_CLOSE, False
        else:
            self._mode, self._left = _COUNTED, int(length)
            if self._left > BODY_LIMIT:
                raise BadAnswer("body_too_large")

    def _read_fields(self, fields: list[tuple[bytes, bytes]]) -> tuple[bytes | None, bool]:
        """Content-Length, and whether the body is chunked; a doubtful combination is refused, not guessed at."""
        length: bytes | None = None
        chunked = False
        for name, raw in fields:
            value = raw.strip()
            match name.lower():
                case b"content-length":
                    if not _LENGTH.match(value) or length not in (None, value):
                        raise BadAnswer("bad_length")
                    length = value
                case b"transfer-encoding":
                    if value.lower() != b"chunked" or chunked:
                        raise BadAnswer("bad_transfer_encoding")
                    chunked = True
                case _:
                    self.keep_alive = _persists(value, self.keep_alive)
        return length, chunked

    def _scan_chunks(self, data: bytes) -> bool:
        buffer = self._buffer
        buffer += data
        at = 0
        while self._mode != _DONE:
            if self._mode == _CHUNK:
                piece = buffer[at : at + self._left]
                at += len(piece)
                self._take(piece)
                if self._left:
                    break
                continue
            end = buffer.find(b"\r\n", at)
            if end < 0 or end - at > _LINE_LIMIT:
                if end >= 0 or len(buffer) - at > _LINE_LIMIT:
                    raise BadAnswer("bad_chunk")
                break
            self._read_line(bytes(buffer[at:end]))
            at = end + 2
        del buffer[:at]
        if self._mode != _DONE:
            return False
        if buffer:
            self.keep_alive = False
            buffer.clear()
        return True

    def _take(self, piece: bytearray) -> None:
        """A piece of a chunk; the last two bytes of what is left are the line's end."""
        ending = max(0, len(piece) - max(0, self._left - 2))
        payload = len(piece) - ending
        expected = b"\r\n"[2 - self._left :] if self._left < 2 else b"\r\n"  # noqa: PLR2004 - the line's end
        if piece[payload:] != expected[:ending]:
            raise BadAnswer("bad_chunk")
        self._left -= len(piece)
        self._count(piece[:payload])
        if not self._left:
            self._mode = _SIZE_LINE

    def _read_line(self, line: bytes) -> None:
        if self._mode == _TRAILER:
            self._left += len(line)
            if self._left > HEAD_LIMIT:
                raise BadAnswer("head_too_large")
            if not line:
                self._mode = _DONE
            return
        size = _SIZE.match(line)
        if size is None:
            raise BadAnswer("bad_chunk")
        length = int(size[1], 16)
        if length > BODY_LIMIT:
            raise BadAnswer("body_too_large")
        self._mode, self._left = (_CHUNK, length + 2) if length else (_TRAILER, 0)


class HeadScanner(Scanner):
    """Reads answers to HEAD: whatever length they tell, no body follows (RFC 9112, 6.3, rule 1)."""

    __slots__ = ()
    _plain = {}  # noqa: RUF012 - declared by the base; of its own, since the same head has another length here

    def _frame(self, fields: list[tuple[bytes, bytes]]) -> None:
        kept = [pair for pair in fields if pair[0].lower() == b"connection"]
        super()._frame([*kept, (b"content-length", b"0")])


def _persists(connection: bytes, default: bool) -> bool:  # noqa: FBT001 - private
    options = {option.strip() for option in connection.lower().split(b",")}
    if b"close" in options:
        return False
    return default or b"keep-alive" in options


class Owner(Protocol):
    """Who is told what became of a connection and of the request on it; times are monotonic ns."""

    def opened(self, connection: Connection) -> None:
        """The connection stands and is free."""

    def finished(self, connection: Connection, at_ns: int, seen_ns: int, error: str | None) -> None:
        """The request on it got its answer (in `connection.scanner`), or none for the reason `error`.

        `at_ns` is when the last of it came in, `seen_ns` when this process saw it.
        """

    def lost(self, connection: Connection, error: str) -> None:
        """The connection is gone or must not be used again, and has no request on it; may be told twice."""


class Connection:
    """One connection with at most one request on it; `stream` is set by whoever opened it."""

    __slots__ = ("_owner", "busy", "idle_since", "opening_since", "scanner", "stream")

    def __init__(self, owner: Owner, scanner: type[Scanner] = Scanner) -> None:
        self._owner = owner
        self.stream: Stream | None = None
        self.scanner = scanner()
        self.busy = False
        self.idle_since = 0
        self.opening_since = 0

    def send(self, request: bytes, *, keep_body: bool) -> int:
        """Put a request on the wire, the connection must be free; the moment just before."""
        self.busy = True
        self.scanner.reset(keep_body=keep_body)
        return self.stream.write(request) if self.stream is not None else time.monotonic_ns()

    # --- told by the wire: see `wire.Receiver` ---

    def opened(self, at_ns: int) -> None:  # noqa: ARG002 - the protocol's
        """The connection stands."""
        self._owner.opened(self)

    def received(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        """Bytes of an answer; bytes that nobody asked for end the connection."""
        if not self.busy:
            self._owner.lost(self, "protocol")
            self.abort()
            return
        try:
            whole = self.scanner.feed(data)
        except BadAnswer as bad:
            self._finish(stamp_ns, seen_ns, bad.kind)
            return
        if whole:
            self.busy = False
            self._owner.finished(self, stamp_ns, seen_ns, None)

    def ended(self, at_ns: int) -> None:
        """The target closes: the end of an answer without a length, or of the connection."""
        if self.busy:
            whole = self.scanner.end() and not (self.stream is not None and self.stream.truncated)  # RFC 9112, 9.8
            self._finish(at_ns, at_ns, None if whole else "closed")
        self.abort()
        self._owner.lost(self, "closed")

    def lost(self, at_ns: int, error: str) -> None:
        """The connection is gone, or never came about."""
        if self.busy:
            self._finish(at_ns, at_ns, error)
        self._owner.lost(self, error)

    def _finish(self, at_ns: int, seen_ns: int, error: str | None) -> None:
        self.busy = False
        if error is not None:
            self.scanner.keep_alive = False
        self._owner.finished(self, at_ns, seen_ns, error)

    def give_up(self, error: str) -> None:
        """End the request on it for a reason of the generator's own, such as `timeout`."""
        if self.busy:
            now = time.monotonic_ns()
            self._finish(now, now, error)

    def abort(self) -> None:
        """Close at once; the owner hears nothing of it."""
        if self.stream is not None:
            self.stream.abort()
