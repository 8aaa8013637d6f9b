"""Frames in and out, held against the frames of `websockets` itself, cut at any place."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from tasks.load.websocket.wire import MAX_MESSAGE, Connection, End
from tasks.load.wire.wire import Place, Receiver


@dataclass
class Told:
    """A connection whose other end is the server side of `websockets`: what it was told, and what came of it."""

    server: ServerProtocol = field(default_factory=lambda: ServerProtocol(max_size=None))
    texts: list[bytes] = field(default_factory=list)
    binaries: list[bytes] = field(default_factory=list)
    stamps: list[tuple[int, int]] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    aborted: bool = False

    def __post_init__(self) -> None:
        self.connection = Connection(
            parse_uri("ws://h/ws"), on_open=self.opened.append, on_text=self.take, on_end=self.ends.append,
            on_binary=lambda data, _, __: self.binaries.append(data),
        )  # fmt: skip
        self.connection.start(self, Place("127.0.0.1", 80))  # type: ignore[arg-type] # a wire that only connects

    def take(self, text: bytes, stamp_ns: int, seen_ns: int) -> None:
        self.texts.append(text)
        self.stamps.append((stamp_ns, seen_ns))

    # --- the wire and its stream ---

    def connect(self, place: Place, receiver: Receiver) -> Told:
        return self

    def write(self, data: bytes) -> int:
        self.server.receive_data(data)
        return 7

    def abort(self) -> None:
        self.aborted = True

    # --- steps ---

    def greeting(self) -> bytes:
        """The server's answer to the upgrade that the connection asked for."""
        self.connection.opened(1)
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        self.server.send_response(self.server.accept(request))
        return b"".join(self.server.data_to_send())

    def open(self) -> Told:
        self.connection.received(self.greeting(), 2, 3)
        assert self.connection.open
        return self

    def heard(self) -> list[Frame]:
        """What the server got since it was asked last."""
        return [event for event in self.server.events_received() if isinstance(event, Frame)]


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=False)


def fragments(message: bytes, pieces: int) -> list[bytes]:
    cuts = [len(message) * number // pieces for number in range(pieces + 1)]
    parts = [message[a:b] for a, b in pairwise(cuts)]
    return [
        frame(Opcode.CONT if number else Opcode.TEXT, part, fin=number == pieces - 1)
        for number, part in enumerate(parts)
    ]


texts = st.one_of(st.binary(max_size=40), st.sampled_from([125, 126, 127, 65535, 65536]).map(lambda n: b"x" * n))


@settings(max_examples=60, deadline=None)
@given(
    messages=st.lists(st.tuples(texts, st.integers(1, 3), st.booleans()), max_size=8),
    greeted_at_once=st.booleans(),
    data=st.data(),
)
def test_messages_come_out_whole_wherever_the_bytes_were_cut(
    messages: list[tuple[bytes, int, bool]],
    greeted_at_once: bool,  # noqa: FBT001 - hypothesis passes by name
    data: st.DataObject,
) -> None:
    told = Told()
    whole = told.greeting()
    if not greeted_at_once:
        told.connection.received(whole, 2, 3)
        whole = b""
    pings = 0
    for message, pieces, pinged in messages:
        for piece in fragments(message, pieces):
            whole += piece
            if pinged:
                whole += frame(Opcode.PING, b"%d" % pings)
                pings += 1
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        if start < stop:
            told.connection.received(whole[start:stop], 2, 3)
    assert told.texts == [message for message, _, _ in messages]
    assert told.ends == []
    assert [one.data for one in told.heard()] == [b"%d" % number for number in range(pings)], "each ping has its pong"


def test_a_message_carries_the_stamp_of_the_read_that_completed_it() -> None:
    told = Told().open()
    two = frame(Opcode.TEXT, b"first") + frame(Opcode.TEXT, b"second")
    told.connection.received(two[:-1], 100, 110)
    told.connection.received(two[-1:], 200, 220)
    assert (told.texts, told.stamps) == ([b"first", b"second"], [(100, 110), (200, 220)])
    assert told.opened == [2]
    assert told.connection.connected_ns == 1


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_what_is_sent_is_what_the_server_reads(size: int) -> None:
    told = Told().open()
    text = bytes(b"abcdefg"[number % 7] for number in range(size))
    assert told.connection.send(text) == 7
    assert told.connection.send(b"next") == 7
    got = told.heard()
    assert [(one.opcode, bytes(one.data), one.fin) for one in got] == [
        (Opcode.TEXT, text, True),
        (Opcode.TEXT, b"next", True),
    ]
    assert told.server.parser_exc is None, "masked, as the server demands"


def test_binary_messages_are_told_apart() -> None:
    told = Told().open()
    told.connection.received(frame(Opcode.BINARY, b"\x00\xff") + frame(Opcode.TEXT, b"t"), 5, 6)
    assert (told.binaries, told.texts) == ([b"\x00\xff"], [b"t"])


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (b"\x81\x85\x00\x00\x00\x00hello", "protocol"),  # masked by a server
        (b"\xc1\x00", "protocol"),  # a reserved bit
        (b"\x83\x00", "protocol"),  # an unknown opcode
        (b"\x80\x01x", "protocol"),  # a continuation of nothing
        (b"\x01\x01a\x81\x01b", "protocol"),  # a new message within a fragmented one
        (b"\x89\x7e\x01\x00" + b"p" * 256, "protocol"),  # a control frame that is too long
        (b"\x81\x7f" + (MAX_MESSAGE + 1).to_bytes(8, "big"), "too_large"),
        (b"\x81\x7f" + (1 << 62).to_bytes(8, "big"), "too_large"),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(wrong: bytes, error: str) -> None:
    told = Told().open()
    told.connection.received(frame(Opcode.TEXT, b"good") + wrong + frame(Opcode.TEXT, b"never"), 8, 9)
    assert told.texts == [b"good"]
    (end,) = told.ends
    assert (end.by, end.code, end.error) == ("lost", 1006, error)
    assert told.aborted
    told.connection.received(frame(Opcode.TEXT, b"late"), 10, 11)
    told.connection.lost(12, "reset")
    assert (told.texts, len(told.ends)) == ([b"good"], 1)


def test_a_close_frame_is_answered_and_its_code_told() -> None:
    told = Told().open()
    told.connection.received(frame(Opcode.CLOSE, Close(1012, "restart").serialize()), 8, 9)
    (end,) = told.ends
    assert (end.at_ns, end.by, end.code, end.error, end.reason) == (8, "peer", 1012, "closed", "restart")
    (reply,) = told.heard()
    assert (reply.opcode, Close.parse(bytes(reply.data)).code) == (Opcode.CLOSE, 1012)


def test_closing_waits_for_the_peer_and_still_takes_answers() -> None:
    told = Told().open()
    told.connection.close()
    assert not told.connection.open
    assert [one.opcode for one in told.heard()] == [Opcode.CLOSE]
    told.connection.received(frame(Opcode.TEXT, b"answer"), 4, 4)
    assert told.texts == [b"answer"]
    told.connection.received(b"".join(told.server.data_to_send()), 8, 9)
    assert [(end.by, end.code, end.error) for end in told.ends] == [("client", 1000, None)]


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\nx", 403, "protocol"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, "protocol"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101, "protocol"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", 0, "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, 0, "too_large"),
    ],
)
def test_an_answer_that_is_no_upgrade_is_a_failed_handshake(answer: bytes, status: int, error: str) -> None:
    told = Told()
    told.greeting()
    told.connection.received(answer, 5, 6)
    (end,) = told.ends
    assert (end.by, end.status, end.error, told.opened) == ("handshake", status, error, [])


def test_the_end_of_the_stream_is_told_by_what_went_before() -> None:
    early, later, torn = Told(), Told().open(), Told().open()
    early.greeting()
    early.connection.ended(5)
    later.connection.ended(5)
    torn.connection.lost(5, "reset")
    assert [(one.ends[0].by, one.ends[0].error) for one in (early, later, torn)] == [
        ("handshake", "closed"),
        ("lost", "closed"),
        ("lost", "reset"),
    ]


def test_an_abort_says_whose_wish_it_was() -> None:
    storm, slow, young = Told().open(), Told().open(), Told()
    storm.connection.abort(by="storm")
    slow.connection.abort("timeout")
    young.connection.abort("timeout")
    assert [(one.ends[0].by, one.ends[0].error) for one in (storm, slow, young)] == [
        ("storm", "aborted"),
        ("lost", "timeout"),
        ("handshake", "timeout"),
    ]
    assert storm.server.state is OPEN, "no close frame was sent"


def test_headers_of_the_owner_go_with_the_upgrade() -> None:
    told = Told()
    connection = Connection(
        parse_uri("ws://u:p@h/ws"), on_open=told.opened.append, on_text=told.take, on_end=told.ends.append,
        headers={"Cookie": "AWSALB=abc"},
    )  # fmt: skip
    connection.start(told, Place("127.0.0.1", 80))  # type: ignore[arg-type] # a wire that only connects
    connection.opened(1)
    (request,) = told.server.events_received()
    assert isinstance(request, Request)
    assert request.headers["Cookie"] == "AWSALB=abc"
    assert request.headers["Authorization"] == "Basic dTpw"
