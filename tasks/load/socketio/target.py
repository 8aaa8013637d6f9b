"""A Socket.IO server as its sessions know it: where it is, and how they speak with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from websockets.uri import WebSocketURI

from tasks.load.socketio.polling import Polls
from tasks.load.websocket.address import Address
from tasks.load.wire.wire import Place, Wire

Transport = Literal["websocket", "polling", "upgrade"]

DEFAULT_PATH = "/socket.io/"


@dataclass(frozen=True)
class Server:
    """What the sessions with one server share; `auth` is the payload of CONNECT, None for none."""

    wire: Wire
    place: Place
    address: Address
    transport: Transport = "upgrade"
    namespace: str = "/"
    auth: Mapping[str, Any] | None = field(default=None, repr=False)
    polls: Polls | None = None

    def uri(self, sid: str | None = None) -> WebSocketURI:
        """Where a WebSocket of a new session, or of session `sid`, is opened."""
        own = self.query("websocket")
        return self.address.at(path_of(self.address), own if sid is None else f"{own}&sid={sid}")

    def query(self, transport: str) -> str:
        """The query of every request of a session, the URL's own first."""
        return "&".join(filter(None, (self.address.uri.query, "EIO=4", f"transport={transport}")))


def path_of(address: Address) -> str:
    """The URL's path; the protocol's usual one where it has none."""
    return address.uri.path if address.uri.path not in ("", "/") else DEFAULT_PATH
