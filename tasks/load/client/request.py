"""Requests as bytes, by templates: what repeats from one request to the next is put together once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import httpx

from tasks.load.client.exchange import name_of
from tasks.load.client.pool import ClientPool

_PORTS = {"http": 80, "https": 443}

Fields = Iterable[tuple[bytes, bytes]]

_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_VALUE = re.compile(rb"(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_PATH = r"/(?:[A-Za-z0-9_~-][A-Za-z0-9_.~-]*/)*(?:[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)?"
_PLAIN_PATH = re.compile(_PATH)
_PLAIN_URL = re.compile(_PATH + r"(?:\?(?:[A-Za-z0-9_.~=&+-]|%[0-9A-F]{2})*)?")
"""Paths that no rule of URLs changes: nothing to quote, no dot segments."""
_LIMIT: Final = 8192
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding"))
_SIMPLE = (str, int, float, bool, type(None))

encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""As httpx encodes JSON, without a new encoder for each body."""


class Origin(NamedTuple):
    """Scheme, host (an IP, or a name in its wire form, in lower case) and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Origin:
        """The origin of a URL; `httpx.UnsupportedProtocol` where it is neither http nor https."""
        scheme = url.scheme
        if scheme not in _PORTS:
            raise httpx.UnsupportedProtocol("the URL of a request needs http:// or https:// and a host")
        return cls(scheme, url.raw_host.decode("ascii"), url.port or _PORTS[scheme])


def check_fields(fields: Fields) -> None:
    """`httpx.LocalProtocolError` where a header cannot go over the wire; its value, maybe a secret, is not told."""
    for name, value in fields:
        if not _TOKEN.fullmatch(name):
            raise httpx.LocalProtocolError(f"Illegal header name {name!r}")
        if not _VALUE.fullmatch(value):
            raise httpx.LocalProtocolError(f"Illegal header value of {name.decode()}")


def start_of(method: str, target: bytes, host: bytes) -> bytes:
    """The request line and the Host header, which comes first; `httpx.LocalProtocolError` where they are illegal."""
    verb = method.encode("ascii", "replace")
    if not _TOKEN.fullmatch(verb):
        raise httpx.LocalProtocolError("Illegal method characters")
    if not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("Illegal target characters")
    check_fields([(b"Host", host)])
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (verb, target, host)


def lines_of(fields: Fields) -> bytes:
    """Headers as they go over the wire."""
    return b"".join(b"%b: %b\r\n" % pair for pair in fields)


class Line:
    """A method and a URL: where they go and how a request for them begins.

    `bare` is the whole without a body, `json_start` what comes before the length of a JSON body (empty where the
    client says the type itself); `tail` are the client's headers.
    """

    __slots__ = ("bare", "head_only", "json_start", "method", "name", "origin", "pool", "start", "url")

    def __init__(self, method: str, url: str, origin: Origin, start: bytes, block: Block) -> None:
        self.method = method
        self.head_only = method == "HEAD"
        self.url = url
        self.origin = origin
        self.pool: ClientPool | None = None  # once it was opened
        self.start = start
        self.name = name_of(method, start.split(b" ", 2)[1].decode("ascii"))
        self.bare = start + block.data + (b"Content-Length: 0\r\n\r\n" if method in _BODIED else b"\r\n")
        self.json_start = b"" if block.has_type else start + block.data + b"Content-Type: application/json\r\n"

    def with_json(self, text: str) -> bytes:
        """The whole with a JSON body, where `json_start` is not empty."""
        body = text.encode()
        return b"%bContent-Length: %d\r\n\r\n%b" % (self.json_start, len(body), body)

    def with_body(self, block: Block, cookie: bytes, body: bytes | None, kind: bytes | None) -> bytes:
        """A whole request with other headers, cookies or a body; `kind` is the body's type, None for raw bytes."""
        if body is None or (not body and kind is None):
            length = b"Content-Length: 0\r\n" if self.method in _BODIED else b""
            return b"%b%b%b%b\r\n" % (self.start, block.data, cookie, length)
        typed = b"" if kind is None or block.has_type else b"Content-Type: %b\r\n" % kind
        return b"%b%b%bContent-Length: %d\r\n%b\r\n%b" % (self.start, block.data, cookie, len(body), typed, body)


_BODIED = frozenset(("POST", "PUT", "PATCH"))


class Block:
    """The headers of a client, with those of one request (on its `base`): their bytes, and what they decide.

    `odd` names what the fast path leaves to httpx: a Host or a framing of the user's own.
    """

    __slots__ = ("close", "data", "has_cookie", "has_type", "odd")
    data: bytes
    has_type: bool
    has_cookie: bool
    close: bool
    odd: bool

    def __init__(self, fields: Sequence[tuple[bytes, bytes]], base: Block | None = None) -> None:
        check_fields(fields)
        names = {name.lower(): value for name, value in fields}
        self.data = lines_of(fields) if base is None else base.data + lines_of(fields)
        self.has_type = b"content-type" in names or (base is not None and base.has_type)
        self.has_cookie = b"cookie" in names or (base is not None and base.has_cookie)
        self.close = b"close" in names.get(b"connection", b"").lower() or (base is not None and base.close)
        self.odd = not _FRAMING.isdisjoint(names) or (base is not None and base.odd)


class Profile:
    """What clients with the same headers, base URL and parameters share: their lines and blocks, made when needed."""

    __slots__ = ("_base", "_base_path", "_headers", "_host", "_names", "_origin", "block", "blocks", "lines")

    def __init__(self, base: httpx.URL, headers: httpx.Headers) -> None:
        self._base = base
        self._headers = httpx.Headers(headers)  # a copy: the client's own may change
        self._names = {name.lower() for name, _ in headers.raw}
        self.block = Block(headers.raw)
        self.blocks: dict[tuple[Any, ...], Block] = {}
        self.lines: dict[tuple[str, Any], Line] = {}
        plain = base.scheme in ("http", "https") and base.host and not base.query and not base.userinfo
        self._origin = Origin.of(base) if plain else None
        self._base_path = base.raw_path.decode("ascii").removesuffix("/")
        self._host = base.netloc

    def line(self, method: str, url: str, merged: httpx.URL | None = None) -> Line | None:
        """The line of a request, known from now on; None for a path that httpx has to look at, without `merged`."""
        verb = method.upper()
        if merged is not None:
            if merged.userinfo:
                return None
            line = self._made(verb, merged)
        elif self._origin is not None and _PLAIN_URL.fullmatch(url):
            target = self._base_path + url
            start = start_of(verb, target.encode(), self._host)
            line = Line(verb, f"{self._base.scheme}://{self._host.decode()}{target}", self._origin, start, self.block)
        else:
            return None
        if len(self.lines) >= _LIMIT:
            self.lines.clear()
        self.lines[method, url] = line
        return line

    def _made(self, verb: str, url: httpx.URL) -> Line:
        start = start_of(verb, url.raw_path, url.netloc)
        return Line(verb, str(url), Origin.of(url), start, self.block)

    def block_with(self, headers: Any) -> Block:
        """The client's headers with those of a request."""
        if headers is None:
            return self.block
        key = tuple(headers.items() if isinstance(headers, dict) else httpx.Headers(headers).raw)
        known = self.blocks.get(key)
        if known is None:
            if len(self.blocks) >= _LIMIT:
                self.blocks.clear()
            known = self.blocks[key] = self._block(httpx.Headers(headers).raw)
        return known

    def _block(self, fields: list[tuple[bytes, bytes]]) -> Block:
        if self._names.isdisjoint(name.lower() for name, _ in fields):
            return Block(fields, self.block)
        merged = httpx.Headers(self._headers)
        merged.update(fields)
        return Block(merged.raw)


def with_query(url: str, params: Mapping[str, Any]) -> str | None:
    """A plain path with parameters as httpx writes them; None where httpx has to do it."""
    if not params or not _PLAIN_PATH.fullmatch(url):
        return None
    query = _plain_query(params)
    if query is not None:
        return f"{url}?{query}"
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        values = value if isinstance(value, list | tuple) else (value,)
        if not all(isinstance(one, _SIMPLE) for one in values):
            return None
        pairs += [(name, text_of(one)) for one in values]
    return f"{url}?{urlencode(pairs)}"


def _plain_query(params: Mapping[str, Any]) -> str | None:
    """Parameters of which nothing has to be quoted, as most are; None where something may have to be."""
    pairs = []
    for name, value in params.items():
        text = str(value) if type(value) is int else value
        if type(text) is not str or not _UNRESERVED(text) or type(name) is not str or not _UNRESERVED(name):
            return None
        pairs.append(f"{name}={text}")
    return "&".join(pairs)


def text_of(value: Any) -> str:
    """A primitive value as httpx writes it in a query or a form."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return "" if value is None else str(value)


def unusual(options: Mapping[str, Any]) -> str | None:
    """What in a request's options the fast path leaves to httpx; None where nothing is."""
    for name, value in options.items():
        if value is None or value is httpx.USE_CLIENT_DEFAULT:
            if name == "auth" and value is None:  # it switches the client's own off
                return name
            continue
        if not _USUAL[name](value) if name in _USUAL else True:
            return name
    return None


_USUAL: dict[str, Callable[[Any], bool]] = {
    "content": lambda value: isinstance(value, str | bytes),
    "data": lambda value: isinstance(value, Mapping),
    "files": lambda value: not value,
    "json": lambda _: True,
    "params": lambda _: True,
    "headers": lambda _: True,
    "follow_redirects": lambda _: True,
    "timeout": lambda _: True,
    "extensions": lambda value: value.keys() <= {"name", "timeout"},
}


def encode_body(options: Mapping[str, Any]) -> tuple[bytes | None, bytes | None]:
    """The body and its type as httpx encodes them; None where there is no body, or its type is not known."""
    content, data, value = options.get("content"), options.get("data"), options.get("json")
    if content is not None:
        return content.encode() if isinstance(content, str) else content, None
    if data:
        return encode_form(data), b"application/x-www-form-urlencoded"
    if value is not None:
        return encode_json(value).encode(), b"application/json"
    return None, None


def encode_form(data: Mapping[str, Any]) -> bytes:
    """A form as httpx encodes it."""
    pairs: list[tuple[str, str]] = []
    for name, value in data.items():
        values = value if isinstance(value, list | tuple) else (value,)
        pairs += [(name, text_of(one)) for one in values]
    return urlencode(pairs, doseq=True).encode()
