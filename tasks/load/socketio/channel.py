"""A Socket.IO 4 session as a channel: over WebSocket, over polling, or over polling until the upgrade to WebSocket.

Upgrade as the protocol's own clients do it: a greeting by polling, a probe on the WebSocket, its echo, the switch;
where the probe fails the session stays on polling. Messages are events that want an acknowledgement: whatever comes
first, the acknowledgement or an event with the message's number, is the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from websockets.uri import WebSocketURI

from tasks.load.socketio import codec
from tasks.load.socketio.polling import Session
from tasks.load.socketio.target import Server
from tasks.load.websocket.channel import ACK, Listener
from tasks.load.websocket.wire import ABNORMAL, NORMAL, Connection, End

_REASON = 80
_NOTHING: Mapping[str, Any] = {}
_now = time.monotonic_ns


class SocketioChannel:
    """See the module and `websocket_channel.Channel`."""

    def __init__(self, server: Server, listener: Listener) -> None:
        self._server, self._listener = server, listener
        self._form = codec.event_form(server.namespace)
        self._session: Session | None = None
        self._socket: Connection | None = None
        self._probe: Connection | None = None
        self._greeting: codec.Greeting | None = None
        self._partial: codec.Packet | None = None
        self._send: Callable[[bytes], int] = _unstarted
        self._pinged_ns = 0
        self._joined = self._closing = self._over = False
        self.connected_ns: int | None = None

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._joined and not self._over and not self._closing

    def start(self) -> None:
        """Ask for a session."""
        server = self._server
        if server.transport == "websocket":
            self._socket = self._connection(server.uri(), on_open=self._stands, on_end=self._socket_ended)
            self._send = self._socket.send
            return
        if server.polls is None:
            raise ValueError("polling needs `Server.polls`")
        query = server.query("polling").encode()
        self._session = Session(server.polls, query, on_packet=self._take, on_gone=self._session_gone)
        self._send = self._session.send
        self._session.start()

    def send(self, kind: str, content: bytes, sequence: int) -> int:
        """Emit an event whose one argument is an object, and ask for an acknowledgement."""
        return self._send(self._form % (sequence, kind.encode(), content, sequence))

    def close(self) -> None:
        """Leave the namespace and end the session in order."""
        if self._over or self._closing:
            return
        if not self._joined:
            self.abort()
            return
        self._closing = True
        self._send(codec.encoded(codec.DISCONNECT, self._server.namespace))
        if self._socket is not None:
            self._socket.close()  # `ended` follows
        elif self._session is not None:
            self._session.close(lambda at: self._finish(End(at, "client", NORMAL)))

    def abort(self, error: str | None = None, *, by: str = "client") -> None:
        """End at once."""
        if not self._joined:
            self._finish(End(_now(), "handshake", ABNORMAL, error or "aborted"))
        elif error is not None:
            self._finish(End(_now(), "lost", ABNORMAL, error))
        elif self._closing:
            self._finish(End(_now(), "client", NORMAL))
        else:
            self._finish(End(_now(), by, ABNORMAL, "aborted"))

    def tick(self, now_ns: int) -> None:
        """A server that has not sent its ping for so long is gone."""
        if self.open and self._greeting is not None and now_ns - self._pinged_ns > self._greeting.silence_s * 1e9:
            self.abort("timeout")

    # --- the transports' calls ---

    def _connection(
        self, uri: WebSocketURI, *, on_open: Callable[[int], None], on_end: Callable[[End], None]
    ) -> Connection:
        cookie = self._session.cookie if self._session is not None else ""
        connection = Connection(
            uri,
            on_open=on_open,
            on_text=self._take,
            on_binary=self._take_binary,
            on_end=on_end,
            headers={"Cookie": cookie} if cookie else None,
        )
        connection.start(self._server.wire, self._server.place)
        return connection

    def _stands(self, at_ns: int) -> None:
        del at_ns  # the session stands when the server's CONNECT has come
        if self._socket is not None:
            self.connected_ns = self._socket.connected_ns

    def _socket_ended(self, end: End) -> None:
        if not self._joined:
            end = replace(end, by="handshake", error=end.error or "closed")
        self._finish(end)

    def _session_gone(self, at_ns: int, error: str, status: int) -> None:
        self._finish(End(at_ns, "lost" if self._joined else "handshake", ABNORMAL, error, status))

    def _finish(self, end: End) -> None:
        if self._over:
            return
        self._over = True
        if self._session is not None:
            self._session.abort()
        for connection in (self._probe, self._socket):
            if connection is not None:
                connection.abort()
        self._listener.ended(end)

    # --- Engine.IO ---

    def _take(self, packet: bytes | bytearray, stamp_ns: int, seen_ns: int) -> None:
        if isinstance(packet, bytearray):
            self._take_binary(bytes(packet), stamp_ns, seen_ns)
            return
        match packet[:1]:
            case b"4":
                self._read(packet, stamp_ns, seen_ns)
            case b"2":
                self._pinged_ns = stamp_ns
                self._send(b"3" + packet[1:])
            case b"0":
                self._greeted(packet, stamp_ns)
            case b"1":
                self._finish(self._dismissed(stamp_ns, "closed by the server"))
            case b"3" if self._probe is not None:
                self._switch()
            case b"6" | b"3":
                pass  # a reason for a poll to end, an answer to no ping of ours
            case _:
                self._listener.unreadable()

    def _greeted(self, packet: bytes, at_ns: int) -> None:
        try:
            greeting = codec.greeting(packet)
        except ValueError:
            self.abort("protocol")
            return
        self._greeting, self._pinged_ns = greeting, at_ns
        if self._server.transport == "upgrade" and "websocket" in greeting.upgrades:
            uri = self._server.uri(greeting.sid)
            self._probe = self._connection(uri, on_open=self._ask, on_end=self._stay)
            return
        if self._session is not None:
            self._session.go_on(greeting.sid, greeting.max_payload)
        self._join()

    def _ask(self, at_ns: int) -> None:
        del at_ns
        if self._probe is not None:
            self._probe.send(b"%c%b" % (codec.PING, codec.PROBE))

    def _switch(self) -> None:
        """The probe came back: from now on the WebSocket carries the session."""
        self._socket, self._probe = self._probe, None
        if self._session is not None:
            self._session.abort()
        if self._socket is not None:
            self._send = self._socket.send
            self._send(b"%c" % codec.UPGRADE)
        self._join()

    def _stay(self, end: End) -> None:
        """The WebSocket ended: before the switch the session stays on polling."""
        if self._socket is not None:
            self._socket_ended(end)
            return
        self._probe = None
        if not self._over and self._session is not None and self._greeting is not None:
            self._session.go_on(self._greeting.sid, self._greeting.max_payload)
            self._join()

    # --- Socket.IO ---

    def _join(self) -> None:
        auth = None if self._server.auth is None else dict(self._server.auth)
        self._send(codec.encoded(codec.CONNECT, self._server.namespace, auth))

    def _read(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        try:
            packet = codec.Packet(encoded_packet=data[1:].decode())
        except ValueError:  # of the text, of the JSON, of the packet
            if self._socket is None or not self._socket.refuse_text(data, stamp_ns):
                self._listener.unreadable()
            return
        if packet.attachment_count:
            self._partial = packet
        else:
            self._act(packet, len(data), (stamp_ns, seen_ns))

    def _take_binary(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        partial = self._partial
        if partial is None:
            self._listener.unreadable()
        elif partial.add_attachment(data):
            self._partial = None
            self._act(partial, len(data), (stamp_ns, seen_ns))

    def _act(self, packet: codec.Packet, size: int, times: tuple[int, int]) -> None:
        if (packet.namespace or "/") != self._server.namespace:
            return
        match packet.packet_type:
            case codec.EVENT | codec.BINARY_EVENT:
                self._event(packet, size, times)
            case codec.ACK | codec.BINARY_ACK:
                self._listener.came(ACK, packet.id, _object(packet.data, 0), size, times)
            case codec.CONNECT if not self._joined:
                self._joined = True
                self._listener.opened(times[0])
            case codec.DISCONNECT:
                self._finish(self._dismissed(times[0], "disconnected by the server"))
            case codec.REFUSED:
                self._finish(End(times[0], "handshake", ABNORMAL, "protocol", 0, _refusal(packet.data)))
            case _:
                self._listener.unreadable()

    def _event(self, packet: codec.Packet, size: int, times: tuple[int, int]) -> None:
        data = packet.data
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            self._listener.unreadable()
            return
        if packet.id is not None:
            self._send(codec.encoded(codec.ACK, self._server.namespace, [], packet.id))
        content = _object(data, 1)
        number = content.get("sequenceId")
        self._listener.came(data[0], number if type(number) is int else None, content, size, times)

    def _dismissed(self, at_ns: int, reason: str) -> End:
        return End(at_ns, "peer" if self._joined else "handshake", NORMAL, "closed", reason=reason)


def _unstarted(packet: bytes) -> int:
    raise RuntimeError(f"{len(packet)} bytes sent through a channel that was never started")


def _object(arguments: Any, place: int) -> Mapping[str, Any]:
    """The argument at a place, where it is an object."""
    if isinstance(arguments, list) and len(arguments) > place and isinstance(arguments[place], dict):
        return dict(arguments[place])
    return _NOTHING


def _refusal(content: Any) -> str:
    return str(content.get("message", "") if isinstance(content, dict) else content)[:_REASON]
