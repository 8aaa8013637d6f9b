"""The scanner of answers: framing by RFC 9112, however the bytes are cut; what breaks it has its kind."""

from __future__ import annotations

import random
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.load.wire.http import BODY_LIMIT, HEAD_LIMIT, BadAnswer, Scanner

COUNTED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + COUNTED
EMPTY = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"
ZERO = b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:0\r\n\r\n"


def scan(data: bytes, cuts: list[int]) -> Scanner:
    scanner = Scanner()
    scanner.reset(keep_body=True)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    whole = [scanner.feed(piece) for piece in pieces]
    assert whole == [False] * (len(pieces) - 1) + [True]
    return scanner


@given(st.lists(st.integers(0, 400), max_size=12))
@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (COUNTED, 200, b"hello world"),
        (CHUNKED, 201, b"hello world"),
        (INTERIM, 200, b"hello world"),
        (EMPTY, 204, b""),
        (ZERO, 200, b""),
    ],
)
def test_an_answer_is_found_however_it_is_cut(data: bytes, status: int, body: bytes, cuts: list[int]) -> None:
    scanner = scan(data, cuts)
    assert (scanner.status, bytes(scanner.body), scanner.size, scanner.keep_alive) == (status, body, len(body), True)


def test_byte_by_byte() -> None:
    for data in (COUNTED, CHUNKED, INTERIM, EMPTY, ZERO):
        scan(data, list(range(len(data))))


def test_a_scanner_is_used_again_for_the_next_answer() -> None:
    scanner = Scanner()
    for data in (CHUNKED, COUNTED, EMPTY, CHUNKED):
        scanner.reset(keep_body=False)
        assert scanner.feed(data)
        assert scanner.body == b""


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: upgrade, Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_whether_a_connection_may_be_used_again(head: bytes, keeps: bool) -> None:  # noqa: FBT001
    scanner = Scanner()
    assert scanner.feed(head + b"Content-Length: 2\r\n\r\nok")
    assert scanner.keep_alive is keeps


def test_bytes_after_an_answer_spoil_the_connection_not_the_answer() -> None:
    for data in (COUNTED, CHUNKED, EMPTY):
        scanner = Scanner()
        assert scanner.feed(data + b"HTTP/1.1 200 OK")
        assert not scanner.keep_alive


def test_a_body_without_length_ends_with_the_connection() -> None:
    scanner = Scanner()
    assert not scanner.end()
    assert not scanner.feed(b"HTTP/1.1 200 OK\r\n\r\nsome")
    assert not scanner.feed(b"thing")
    assert scanner.end()
    assert scanner.size == 9
    assert not scanner.keep_alive


def test_a_counted_body_does_not_end_with_the_connection() -> None:
    scanner = Scanner()
    assert not scanner.feed(COUNTED[:-1])
    assert not scanner.end()


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/3.7 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\rX",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 300,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
    ],
)
def test_what_breaks_the_protocol(data: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        Scanner().feed(data)
    assert caught.value.kind.startswith("bad_")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD_LIMIT,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD_LIMIT + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (BODY_LIMIT + 1),
    ],
)
def test_what_is_too_large(data: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        Scanner().feed(data)
    assert caught.value.kind in ("head_too_large", "body_too_large")


def test_endless_small_chunks_are_bounded() -> None:
    scanner = Scanner()
    scanner.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    for _ in range(BODY_LIMIT // 65536):
        scanner.feed(chunk)
    with pytest.raises(BadAnswer, match="too_large"):
        scanner.feed(chunk)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_make_it_fail_otherwise(data: bytes, cuts: list[int]) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\n"):
        scanner = Scanner()
        whole = start + data
        edges = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
        with suppress(BadAnswer):  # the one error that it may raise
            for begin, end in pairwise(edges):
                if scanner.feed(whole[begin:end]):
                    break


def test_a_head_that_was_read_before_frames_each_answer_as_the_first_time() -> None:
    """Known heads take a shorter way; whole, cut, too long and with another body they must end alike."""
    head = b"HTTP/1.1 203 OK\r\nContent-Length: 4\r\nX-Test: known\r\n\r\n"
    scanner = Scanner()
    for keep in (True, False, True):
        scanner.reset(keep_body=keep)
        assert scanner.feed(head + b"body")
        assert (scanner.status, scanner.size, scanner.keep_alive) == (203, 4, True)
        assert scanner.head == head[:-4]
        assert bytes(scanner.body) == (b"body" if keep else b"")
    scanner.reset(keep_body=True)
    assert not scanner.feed(head + b"bo")
    assert scanner.feed(b"dy")
    assert bytes(scanner.body) == b"body"
    scanner.reset(keep_body=True)
    assert not scanner.feed(head[:20])
    assert scanner.feed(head[20:] + b"body")
    scanner.reset(keep_body=True)
    assert scanner.feed(head + b"body and what nobody asked for")
    assert bytes(scanner.body) == b"body"
    assert not scanner.keep_alive


def test_an_answer_owes_nothing_to_the_one_before_it() -> None:
    """What a connection learned from one answer must not colour the next, whichever way each of them is read."""
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Next: a\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Next: a\r\n\r\nBODY",
        b"HTTP/1.1 404 No\r\nContent-Length: 2\r\nX-Next: b\r\n\r\nno",
        b"HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\nX-Next: c\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Next: a\r\n\r\nlate",
        b"HTTP/1.1 204 Nothing\r\nX-Next: d\r\n\r\n",
    ]

    def seen(scanner: Scanner, data: bytes, *, cut: int, keep: bool) -> tuple[object, ...]:
        scanner.reset(keep_body=keep)
        pieces = [piece for piece in (data[:cut], data[cut:]) if piece]
        assert [scanner.feed(piece) for piece in pieces][-1]
        return scanner.status, scanner.size, scanner.head, bytes(scanner.body), scanner.keep_alive

    kept = Scanner()
    chance = random.Random(7)  # noqa: S311 - a test
    for _ in range(400):
        data, keep = chance.choice(answers), chance.random() < 0.7
        cut = chance.choice([0, 0, 10, len(data) - 1])
        body = {b"a": data[-4:], b"b": b"no", b"c": b"abc", b"d": b""}[data.partition(b"X-Next: ")[2][:1]]
        found = seen(kept, data, cut=cut, keep=keep)
        assert found == seen(Scanner(), data, cut=cut, keep=keep)
        assert found[3] == (body if keep else b"")
