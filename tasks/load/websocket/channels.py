"""Makes the channels of a plan's connections, in the protocol that it names."""

from __future__ import annotations

import base64
import ssl

from websockets.headers import build_host

from tasks.load.socketio.channel import SocketioChannel
from tasks.load.socketio.polling import Polls
from tasks.load.socketio.target import Server, path_of
from tasks.load.websocket.address import Address
from tasks.load.websocket.channel import Channel, JsonChannel, Listener
from tasks.load.websocket.plan import WebsocketPlan
from tasks.load.wire.wire import open_wire


class Channels:
    """The wire of a plan's connections; `stamps` says who stamps what it receives."""

    def __init__(self, plan: WebsocketPlan, address: Address) -> None:
        context = ssl.create_default_context() if address.uri.secure else None
        self._address, self._place = address, address.place(context)
        self._wire = open_wire()
        self.stamps = self._wire.stamps
        self._polls: Polls | None = None
        self._server: Server | None = None
        if plan.protocol == "socketio":
            self._polls = self._polls_of(plan) if plan.transport != "websocket" else None
            self._server = Server(
                self._wire,
                self._place,
                address,
                transport=plan.transport,
                namespace=plan.namespace,
                auth=None if address.token is None else {"token": address.token},
                polls=self._polls,
            )

    def make(self, listener: Listener) -> Channel:
        """A channel that has not been started."""
        if self._server is not None:
            return SocketioChannel(self._server, listener)
        return JsonChannel(self._wire, self._place, self._address.uri, listener)

    def tick(self, now_ns: int) -> None:
        """Enforce the time limits of requests; to be called about every 20 ms."""
        if self._polls is not None:
            self._polls.tick(now_ns)

    def close(self) -> None:
        """Close every connection; nobody is told."""
        if self._polls is not None:
            self._polls.close()
        self._wire.close()

    def _polls_of(self, plan: WebsocketPlan) -> Polls:
        uri = self._address.uri
        headers = f"Host: {build_host(uri.host, uri.port, uri.secure)}\r\nAccept: */*\r\n"
        if uri.user_info is not None:
            headers += f"Authorization: Basic {base64.b64encode(':'.join(uri.user_info).encode()).decode()}\r\n"
        return Polls(
            self._place,
            path=path_of(self._address).encode(),
            headers=headers.encode(),
            sessions=plan.connections,
            timeout_s=plan.timeout_s,
        )
