"""One request and what became of it; its errors by kind for the record, as httpx's exceptions for the user."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import httpx

from tasks.load.wire.wire import Stamps


class Exchange(NamedTuple):
    """One request on the wire, each hop of a redirect on its own; times are monotonic ns.

    `intended` is when it should have begun, `taken` when the client took it up, `sent` when it was handed to the
    wire (0 where it never was: it was given up, or refused, before), `received` when the last byte of the answer had
    come in, `seen` when this process saw it. `status` is 0 and `size` (bytes of the body on the wire) is 0 where
    there is an `error`, one of `samples.ERRORS`. `stamps` says who stamped `received`.
    """

    name: str
    intended: int
    taken: int
    sent: int
    received: int
    seen: int
    status: int
    error: str | None
    size: int
    stamps: Stamps


OnExchange = Callable[[Exchange], None]
"""Told of each exchange, in the task that made the request."""


class HostNotAllowedError(httpx.TransportError):
    """The request, or the redirect, would have gone to a host outside the allow-list; nothing of it was sent."""


_ID = re.compile(
    r"^(?:\d+|[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}|(?=[\w-]*\d)[\w-]{20,})$"
)


def name_of(method: str, path: str) -> str:
    """The name of an endpoint: the method and the path, without its query, with its identifiers left open.

    A segment is an identifier where it is a number, a UUID, 16 or more hexadecimal digits, or 20 or more letters,
    digits, `_` and `-` with a digit among them (nanoid, ULID, cuid).
    """
    segments = path.partition("?")[0].split("/")
    return f"{method} {'/'.join('{id}' if _ID.match(segment) else segment for segment in segments)}"


_MESSAGES: dict[str, tuple[type[httpx.TransportError], str]] = {
    "dns": (httpx.ConnectError, "the name of the host has no address"),
    "connect": (httpx.ConnectError, "no connection came about"),
    "refused": (httpx.ConnectError, "nobody accepts connections there"),
    "unreachable": (httpx.ConnectError, "there is no route to the host"),
    "connect_timeout": (httpx.ConnectTimeout, "no connection came about in time"),
    "tls": (httpx.ConnectError, "the TLS handshake failed"),
    "certificate": (httpx.ConnectError, "the certificate cannot be trusted: its name, its chain or its dates"),
    "timeout": (httpx.ReadTimeout, "no whole answer came in time"),
    "reset": (httpx.ReadError, "the connection was reset"),
    "closed": (httpx.RemoteProtocolError, "the server closed the connection before its answer was whole"),
    "protocol": (httpx.RemoteProtocolError, "the answer breaks the protocol"),
    "bad_status_line": (httpx.RemoteProtocolError, "the answer does not begin as one of HTTP/1"),
    "bad_interim": (httpx.RemoteProtocolError, "interim answers without end, or a switch that nobody asked for"),
    "bad_head": (httpx.RemoteProtocolError, "a line of the answer's head is none"),
    "bad_length": (httpx.RemoteProtocolError, "the answer's length is no number, or said twice and differently"),
    "bad_transfer_encoding": (httpx.RemoteProtocolError, "the answer's transfer encoding is unknown"),
    "bad_chunk": (httpx.RemoteProtocolError, "a chunk of the answer breaks the protocol"),
    "bad_text": (httpx.RemoteProtocolError, "a text of the answer is not UTF-8"),
    "too_large": (httpx.RemoteProtocolError, "the answer is larger than this client takes"),
    "head_too_large": (httpx.RemoteProtocolError, "the head of the answer is larger than this client takes"),
    "body_too_large": (httpx.RemoteProtocolError, "the body of the answer is larger than this client takes"),
    "aborted": (httpx.ReadError, "the request was given up"),
    "forbidden": (HostNotAllowedError, "the host is not among those that may be asked"),
}


def failure(kind: str, request: httpx.Request, *, waited_for: str | None = None) -> httpx.TransportError:
    """The exception that stock httpx raises for an error of this kind; its text holds no value of the request.

    `waited_for` tells what a time-out waited for where that was not the answer: `connect` or `pool`.
    """
    if waited_for == "connect":
        return httpx.ConnectTimeout("no connection came about in time", request=request)
    if waited_for == "pool":
        return httpx.PoolTimeout("no connection became free in time", request=request)
    made, text = _MESSAGES[kind]
    return made(text, request=request)


_KINDS: tuple[tuple[type[httpx.RequestError], str], ...] = (
    (httpx.ConnectError, "connect"),
    (httpx.ConnectTimeout, "connect"),
    (httpx.TimeoutException, "timeout"),
    (httpx.ProtocolError, "protocol"),
    (httpx.NetworkError, "reset"),
    (httpx.ProxyError, "connect"),
)


def kind_of_httpx(error: BaseException) -> str:
    """The kind of `samples.ERRORS` that an exception of httpx's own transport is; any other gave the request up."""
    return next((kind for made, kind in _KINDS if isinstance(error, made)), "aborted")
