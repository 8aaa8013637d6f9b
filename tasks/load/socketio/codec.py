"""Socket.IO 4 over Engine.IO 4 as bytes, by the packet codecs of python-socketio and python-engineio. Pure.

Both protocols are described at https://socket.io/docs/v4/socket-io-protocol/ and
https://socket.io/docs/v4/engine-io-protocol/. An Engine.IO packet is one digit (its type) and its data; a polling
payload holds several, parted by the record separator; a Socket.IO packet is the data of an Engine.IO message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from engineio import packet as engine  # type: ignore[import-untyped]
from engineio import payload as polling
from socketio import packet as socket  # type: ignore[import-untyped]

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = b"0123456"
"""Types of Engine.IO packets, as the first byte of each."""

CONNECT, DISCONNECT = socket.CONNECT, socket.DISCONNECT
EVENT, ACK, REFUSED = socket.EVENT, socket.ACK, socket.CONNECT_ERROR
BINARY_EVENT, BINARY_ACK = socket.BINARY_EVENT, socket.BINARY_ACK
"""Types of Socket.IO packets."""

SEPARATOR = b"\x1e"
PROBE = b"probe"
_BATCH = 16
_PAYLOAD_PACKETS = 10_000


class _Orjson:
    """What the codecs ask of a JSON module, by the faster one."""

    loads = staticmethod(orjson.loads)

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Compact text."""
        return orjson.dumps(value).decode()


class Packet(socket.Packet):  # type: ignore[misc]  # python-socketio has no types
    """A Socket.IO packet: `packet_type`, `namespace` (None for the default one), `id`, `data`."""

    json = _Orjson


class _Payload(polling.Payload):  # type: ignore[misc]  # python-engineio has no types
    """A server may have more to say at once than a client may."""

    max_decode_packets = _PAYLOAD_PACKETS


@dataclass(frozen=True)
class Greeting:
    """What a server says first: the session, what it can be upgraded to, its heartbeat, its limit of a payload."""

    sid: str
    upgrades: tuple[str, ...]
    ping_interval_s: float
    ping_timeout_s: float
    max_payload: int

    @property
    def silence_s(self) -> float:
        """After so long without a ping the server is gone."""
        return self.ping_interval_s + self.ping_timeout_s


def greeting(packet: bytes) -> Greeting:
    """Read the data of an `OPEN` packet; `ValueError` where it is none."""
    content = engine.Packet(encoded_packet=packet.decode()).data
    try:
        return Greeting(
            sid=str(content["sid"]),
            upgrades=tuple(map(str, content["upgrades"])),
            ping_interval_s=float(content["pingInterval"]) / 1000,
            ping_timeout_s=float(content["pingTimeout"]) / 1000,
            max_payload=int(content.get("maxPayload", 1_000_000)),
        )
    except (KeyError, TypeError) as error:
        raise ValueError("no Engine.IO handshake") from error


def packets(payload: bytes) -> list[bytes | bytearray]:
    """The Engine.IO packets of a polling payload: bytes as on a WebSocket, `bytearray` for a binary attachment.

    `ValueError` where it is no payload.
    """
    decoded = _Payload(encoded_payload=payload.decode()).packets
    texts = payload.split(SEPARATOR) if payload else []
    return [bytearray(packet.data) if packet.binary else text for packet, text in zip(decoded, texts, strict=True)]


def batch(waiting: list[bytes], max_payload: int) -> int:
    """How many of the waiting packets one POST takes: python-engineio refuses more than 16."""
    size = -1
    for number, packet in enumerate(waiting[:_BATCH]):
        size += len(packet) + 1
        if size > max_payload:
            return max(1, number)
    return min(len(waiting), _BATCH)


def encoded(kind: int, namespace: str, data: Any = None, number: int | None = None) -> bytes:
    """A Socket.IO packet as an Engine.IO message."""
    text = Packet(kind, data, namespace=namespace, id=number, binary=False).encode()
    return b"%c%b" % (MESSAGE, text.encode())


def event_form(namespace: str) -> bytes:
    """A form of an event that wants an acknowledgement, filled by `form % (number, name, content, number)`."""
    prefix = b"" if namespace == "/" else namespace.replace("%", "%%").encode() + b","
    return b'42%b%%d["%%b",{%%b"sequenceId":%%d}]' % prefix
