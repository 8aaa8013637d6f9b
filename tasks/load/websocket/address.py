"""The address of a WebSocket, taken apart, checked and looked up; what is shown of it never holds a credential."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

from websockets.exceptions import InvalidURI
from websockets.uri import WebSocketURI, parse_uri

from storage.errors import NotMeasuredError
from tasks.load.wire.deadline import resolved
from tasks.load.wire.wire import Place


@dataclass(frozen=True)
class Address:
    """A parsed URL and one resolved IP of its host."""

    uri: WebSocketURI
    ip: str

    @property
    def shown(self) -> str:
        """The address for a person: scheme, host, port and path, without user and query."""
        return shown(self.uri)

    @property
    def token(self) -> str | None:
        """The value of `token` in the URL's query, which the application may want in a message too."""
        tokens = parse_qs(self.uri.query).get("token")
        return tokens[0] if tokens else None

    def place(self, context: ssl.SSLContext | None) -> Place:
        """Where the wire connects to; `context` for wss:// alone, which is verified for the URL's host."""
        return Place(self.ip, self.uri.port, context, self.uri.host if context is not None else None)

    def at(self, path: str, query: str) -> WebSocketURI:
        """Another resource of the same server."""
        return replace(self.uri, path=path, query=query)


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


def resolve(uri: WebSocketURI) -> Address:
    """Look the host up, outside any measured time; the first address that the system offers is used."""
    try:
        found = resolved(uri.host, uri.port)
    except (OSError, UnicodeError) as error:
        raise NotMeasuredError(
            f"the host of {shown(uri)} has no address ({error}); correct the WebSocket address, or the name service"
        ) from None
    return Address(uri, found[0][1])
