"""Engine.IO and Socket.IO as bytes, held against the packet codecs of the kept libraries and the protocol's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import Packet as Reference  # type: ignore[import-untyped]

from tasks.load.socketio import codec

GREETING = (
    b'0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,'
    b'"maxPayload":1000000}'
)


def test_the_greeting_of_the_protocols_own_example_is_read() -> None:
    found = codec.greeting(GREETING)
    assert (found.sid, found.upgrades) == ("lv_VI97HAXpY6yYWAAAC", ("websocket",))
    assert (found.silence_s, found.max_payload) == (45, 1_000_000)


@pytest.mark.parametrize("wrong", [b"0", b"0[]", b'0{"sid":"x"}', b"0null", b"\xff", b"hello"])
def test_what_is_no_greeting_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        codec.greeting(wrong)


def test_a_payload_is_parted_at_its_separators() -> None:
    """The example of the Engine.IO protocol: `4hello`, `2`, `4world`; and a binary packet in base64."""
    assert codec.packets(b"4hello\x1e2\x1e4world") == [b"4hello", b"2", b"4world"]
    first, second = codec.packets(b"4hello\x1ebAQIDBA==")
    assert (first, second) == (b"4hello", bytearray(b"\x01\x02\x03\x04"))
    assert isinstance(second, bytearray)
    assert codec.packets(b"") == []
    assert len(codec.packets(b"\x1e".join([b"4x"] * 500))) == 500, "a server may say more than 16 packets at once"


@pytest.mark.parametrize("wrong", [b"4a\x1e\x1e4b", b"\xff\xfe", b"x"])
def test_what_is_no_payload_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        codec.packets(wrong)


@given(
    namespace=st.sampled_from(["/", "/school", "/100%"]),
    kind=st.sampled_from(["ping", "track_order"]),
    number=st.integers(0, 10**9),
)
def test_the_form_of_an_event_is_what_the_library_would_write(namespace: str, kind: str, number: int) -> None:
    ours = codec.event_form(namespace) % (number, kind.encode(), b'"timestamp":17,', number)
    data = [kind, {"timestamp": 17, "sequenceId": number}]
    theirs = Reference(codec.EVENT, data, namespace=namespace, id=number).encode()
    assert ours == b"4" + theirs.encode()


def test_packets_of_the_protocols_own_examples() -> None:
    assert codec.encoded(codec.CONNECT, "/") == b"40"
    assert codec.encoded(codec.CONNECT, "/admin", {"token": "123"}) == b'40/admin,{"token":"123"}'
    assert codec.encoded(codec.DISCONNECT, "/admin") == b"41/admin,"
    assert codec.encoded(codec.ACK, "/", [], 12) == b"4312[]"
    event = codec.Packet(encoded_packet='2/admin,456["foo",{"a":1}]')
    assert (event.packet_type, event.namespace, event.id, event.data) == (
        codec.EVENT, "/admin", 456, ["foo", {"a": 1}],
    )  # fmt: skip
    ack = codec.Packet(encoded_packet="3456[]")
    assert (ack.packet_type, ack.id, ack.data) == (codec.ACK, 456, [])
    refused = codec.Packet(encoded_packet='4{"message":"Not authorized"}')
    assert (refused.packet_type, refused.data) == (codec.REFUSED, {"message": "Not authorized"})


def test_a_binary_event_is_whole_with_its_attachments() -> None:
    event = codec.Packet(encoded_packet='51-["baz",{"_placeholder":true,"num":0}]')
    assert (event.packet_type, event.attachment_count) == (codec.BINARY_EVENT, 1)
    assert event.add_attachment(b"\x01\x02")
    assert event.data == ["baz", b"\x01\x02"]


def test_a_post_takes_what_a_server_accepts() -> None:
    assert codec.batch([b"4x"] * 40, 1000) == 16, "python-engineio refuses more"
    assert codec.batch([b"4" * 10] * 5, 31) == 2, "two and their separator are 21 bytes, three would be 32"
    assert codec.batch([b"4" * 100], 10) == 1, "what is too large alone is for the server to refuse"
