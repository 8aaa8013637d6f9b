"""Answers as real `httpx.Response`s whose parts are made when somebody asks for them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from tasks.load.client.decoding import BoundedResponse
from tasks.load.client.exchange import Exchange
from tasks.load.client.pool import Call
from tasks.load.client.request import Line
from tasks.load.wire.http import BadAnswer

_HEAD = re.compile(
    rb"(HTTP/1\.[01]) (\d{3})(?: ([^\x00\r\n\f\v]*))?(?:\r\n[-!#$%&'*+.^_`|~0-9a-zA-Z]+:[^\x00\r\n\f\v]*)*"
)
_FOLD = re.compile(rb"\r\n[ \t]+")
_SPECIAL = re.compile(rb"\r\n(set-cookie2?|location|content-encoding):", re.IGNORECASE)
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_LIMIT: Final = 1024


class Head:
    """The head of an answer, read once for all answers that have the same.

    `special` says that there is more to do than to hand the answer over: a cookie, a redirect, an encoded body.
    """

    __slots__ = ("_head", "encoded", "reason", "redirects", "sets_cookie", "special", "status", "version")

    def __init__(self, head: bytes) -> None:
        if b"\r\n " in head or b"\r\n\t" in head:  # a line that goes on (obs-fold: RFC 9112, 5.2)
            head = _FOLD.sub(b" ", head)
        found = _HEAD.fullmatch(head)
        if found is None:
            raise BadAnswer("bad_head")
        self._head = head
        self.version, self.status, self.reason = found[1], int(found[2]), found[3] or b""
        special = {name.lower() for name in _SPECIAL.findall(head)}
        self.sets_cookie = b"set-cookie" in special or b"set-cookie2" in special
        self.redirects = self.status in _REDIRECTS and b"location" in special
        self.encoded = b"content-encoding" in special
        self.special = self.sets_cookie or self.redirects or self.encoded

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names, as they came, and values."""
        pairs = (line.partition(b":") for line in self._head.split(b"\r\n")[1:])
        return [(name, value.strip(b" \t")) for name, _, value in pairs]

    @classmethod
    def of(cls, head: bytes) -> Head:
        """The head in `head`; `BadAnswer` where a line of it is none."""
        found = KNOWN_HEADS.get(head)
        if found is None:
            found = cls(head)
            if len(KNOWN_HEADS) >= _LIMIT:
                KNOWN_HEADS.clear()
            KNOWN_HEADS[head] = found
        return found


KNOWN_HEADS: dict[bytes, Head] = {}
"""Heads that were read before: a server's differ by their date alone, so within a second most are known."""


class LoadResponse(BoundedResponse):
    """An answer that was read whole; what httpx computes at once is computed on demand here.

    `extensions["hasivu_perf"]` is its `Exchange`; `elapsed` is from the sending to the last byte.
    """

    # what every answer that was read whole has in common
    is_closed = True
    is_stream_consumed = True
    next_request: httpx.Request | None = None
    default_encoding: str | Callable[[bytes], str] = "utf-8"
    _asked: httpx.Request | None = None
    _plain: bytes | None = None

    def __init__(self, head: Head, call: Call, exchange: Exchange, line: Line) -> None:
        # httpx's own constructor is left out: it makes what most answers are never asked for
        self.status_code = head.status
        self.head = head
        self._call = call
        self._exchange = exchange
        self._line = line

    @property
    def _body(self) -> bytes | bytearray:
        return self._call.body

    def decode(self) -> None:
        """Undo the content's encoding now; `httpx.DecodingError` where it is none."""
        try:
            decoder = self._get_content_decoder()
            self._plain = decoder.decode(bytes(self._body)) + decoder.flush()
        except httpx.DecodingError as error:
            error.request = self.request
            raise

    @property
    def _content(self) -> bytes:  # type: ignore[override] # httpx sets it, when it has read all
        if self._plain is None:
            self._plain = bytes(self._body)
        return self._plain

    @property
    def _request(self) -> httpx.Request | None:
        if self._asked is None:
            self._asked = request_of(self._line.method, self._line.url, self._call.data)
        return self._asked

    @_request.setter
    def _request(self, value: httpx.Request | None) -> None:
        self._asked = value

    def __getattr__(self, name: str) -> Any:
        """Make one of httpx's attributes when it is first asked for; it is an ordinary one from then on."""
        maker = _MAKERS.get(name)
        if maker is None:
            raise AttributeError(name)
        value = maker(self)
        setattr(self, name, value)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled answer comes back as a plain `httpx.Response`."""
        state = {
            **{name: getattr(self, name) for name in ("status_code", "headers", "history", "default_encoding")},
            "_request": self.request,
            "next_request": self.next_request,
            "_content": self.content,
            "is_stream_consumed": True,
            "_num_bytes_downloaded": len(self._body),
            "_elapsed": self.elapsed,
        }
        return _revived, (state,)


def _revived(state: Mapping[str, Any]) -> httpx.Response:
    response = httpx.Response.__new__(httpx.Response)
    response.__setstate__(dict(state))
    return response


def _elapsed(response: LoadResponse) -> dt.timedelta:
    exchange = response._exchange  # noqa: SLF001 - of this module
    return dt.timedelta(microseconds=(exchange.received - exchange.sent) / 1000)


_MAKERS: dict[str, Callable[[LoadResponse], Any]] = {
    "headers": lambda response: httpx.Headers(response.head.fields),
    "extensions": lambda response: extensions_of(response.head, response._exchange),  # noqa: SLF001
    "history": lambda _: [],
    "stream": lambda response: httpx.ByteStream(bytes(response._body)),  # noqa: SLF001
    "_num_bytes_downloaded": lambda response: len(response._body),  # noqa: SLF001
    "_elapsed": _elapsed,
}


def extensions_of(head: Head, exchange: Exchange) -> dict[str, Any]:
    """What httpx tells of an answer besides its headers, and our times."""
    return {"http_version": head.version, "reason_phrase": head.reason, "hasivu_perf": exchange}


def request_of(method: str, url: str, data: bytes) -> httpx.Request:
    """The request that these bytes are."""
    head, _, body = data.partition(b"\r\n\r\n")
    pairs = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    headers = [(name, value) for name, _, value in pairs]
    request = httpx.Request(method, url, headers=headers, stream=httpx.ByteStream(body))
    request.read()
    return request
