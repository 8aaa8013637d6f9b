"""A connection's replies: whole whatever the pieces they come in, in order, and each told once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.load.redis import channel as redis_channel
from tasks.load.redis.channel import Channel


@dataclass
class Owner:
    told: list[str] = field(default_factory=list)

    def opened(self, channel: Channel) -> None:
        self.told.append("opened")

    def idle(self, channel: Channel) -> None:
        self.told.append("idle")

    def lost(self, channel: Channel, error: str) -> None:
        assert not channel.in_flight
        self.told.append(error)


@dataclass
class Exchange:
    number: int
    log: list[tuple[int, Any, int]]
    sent_ns: int = 0

    def replied(self, reply: Any, stamp_ns: int, seen_ns: int) -> None:
        assert seen_ns == stamp_ns + 1
        self.log.append((self.number, reply, stamp_ns))

    def failed(self, error: str, at_ns: int) -> None:
        self.log.append((self.number, error, at_ns))


def waiting(count: int) -> tuple[Channel, Owner, list[tuple[int, Any, int]]]:
    owner, log = Owner(), list[tuple[int, Any, int]]()
    channel = Channel(owner)
    channel.send_all(b"", [Exchange(number, log) for number in range(count)])
    return channel, owner, log


VALUES: list[bytes | int | None] = [b"value", None, b"", 7, b"\r\n$1\r\n", b"x" * 300]
REPLIES = b"$5\r\nvalue\r\n$-1\r\n$0\r\n\r\n:7\r\n$6\r\n\r\n$1\r\n\r\n$300\r\n" + b"x" * 300 + b"\r\n"


@given(st.lists(st.integers(1, len(REPLIES) - 1), max_size=12, unique=True))
def test_pieces_make_the_same_replies_stamped_by_their_last_one(cuts: list[int]) -> None:
    channel, owner, log = waiting(len(VALUES))
    edges = [0, *sorted(cuts), len(REPLIES)]
    for at, (start, end) in enumerate(pairwise(edges)):
        channel.received(REPLIES[start:end], at, at + 1)
    assert [(number, reply) for number, reply, _ in log] == list(enumerate(VALUES))
    assert log[-1][2] == len(edges) - 2
    assert owner.told == ["idle"]
    assert channel.in_flight == 0


def test_an_error_of_the_server_is_a_reply() -> None:
    channel, _, log = waiting(1)
    channel.received(b"-MOVED 1 h:2\r\n", 5, 6)
    assert isinstance(log[0][1], hiredis.ReplyError)
    assert str(log[0][1]) == "MOVED 1 h:2"


@pytest.mark.parametrize("data", [b"HTTP/1.1 400\r\n", b"$5\r\nvalue\r\n$5\r\nvalue\r\n", b"\x00\x01\r\n"])
def test_what_nobody_asked_for_ends_the_connection(data: bytes) -> None:
    channel, owner, log = waiting(1)
    channel.received(data, 5, 6)
    assert len(log) == 1
    assert owner.told[-1] == "protocol"
    channel.lost(9, "reset")
    assert owner.told.count("reset") == 0


def test_a_value_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_channel, "_REPLY_LIMIT", 1000)
    channel, owner, log = waiting(2)
    channel.received(b"$999999\r\n", 1, 2)
    for at in range(20):
        channel.received(b"x" * 100, at, at + 1)
    assert [error for _, error, _ in log] == ["too_large"] * 2
    assert owner.told == ["too_large"]


def test_a_billion_elements_are_refused_before_there_is_room_for_them() -> None:
    channel, owner, log = waiting(2)
    channel.received(b"$1\r\na\r\n", 1, 2)
    channel.received(b"*999999999\r\n", 1, 2)
    assert [error for _, error, _ in log[1:]] == ["too_large"]
    assert owner.told[-1] == "too_large"


@pytest.mark.parametrize("before", [b"", b"+OK\r\n"], ids=["alone", "behind another reply"])
def test_a_value_that_looks_like_such_a_header_is_a_value(before: bytes) -> None:
    channel, _, log = waiting(2 if before else 1)
    channel.received(before + b"$13\r\n", 1, 2)
    channel.received(b"*999999999\r\nx\r\n", 1, 2)
    assert log[-1][1] == b"*999999999\r\nx"


def test_a_lost_connection_fails_each_exchange_once_in_order() -> None:
    channel, owner, log = waiting(3)
    channel.received(b"$1\r\na\r\n", 1, 2)
    channel.lost(7, "reset")
    channel.end("timeout", 8)
    channel.received(b"$1\r\nb\r\n", 9, 10)
    assert log == [(0, b"a", 1), (1, "reset", 7), (2, "reset", 7)]
    assert owner.told == ["reset"]
