"""The parts of the load client that need no network: names, heads, headers, parameters."""

from __future__ import annotations

import asyncio

import h11
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.errors import NotMeasuredError
from tasks.load.client.client import Engine
from tasks.load.client.exchange import failure, name_of
from tasks.load.client.request import check_fields, encode_form, encode_json, with_query
from tasks.load.client.response import Head
from tasks.load.recording.samples import ERRORS
from tasks.load.wire.http import BadAnswer, HeadScanner, Scanner


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "GET /"),
        ("/api/v1/menus/daily", "GET /api/v1/menus/daily"),
        ("/orders/17?full=1", "GET /orders/{id}"),
        ("/orders/5ce0e9a5-6f7e-4c2b-8a3f-0d6a2b1c9e11/pay", "GET /orders/{id}/pay"),
        ("/cards/04A2B3C4D5E6F708", "GET /cards/{id}"),
        ("/users/V1StGXR8_Z5jdHi6B-myT", "GET /users/{id}"),
        ("/rfid/verify-delivery", "GET /rfid/verify-delivery"),
        ("/a-rather-long-name-without-digits", "GET /a-rather-long-name-without-digits"),
        ("/v2/x", "GET /v2/x"),
    ],
)
def test_a_name_leaves_identifiers_open(path: str, name: str) -> None:
    assert name_of("GET", path) == name


def test_every_kind_of_error_is_an_exception_of_httpx() -> None:
    request = httpx.Request("GET", "http://user:secret@h.test/x?token=secret")
    for kind in ERRORS:
        made = failure(kind, request)
        assert isinstance(made, httpx.TransportError)
        assert made.request is request
        assert "secret" not in str(made)


HEADS = st.lists(
    st.tuples(
        st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,8}", fullmatch=True),
        st.binary(max_size=8),
        st.sampled_from([b"", b" ", b"\t", b"  "]),
    ),
    max_size=4,
)


@given(HEADS, st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 404 ", b"HTTP/1.0 599", b"HTTP/1.1 201 \xff\x80"]))
@example([(b"X", b"\r\n", b"")], b"HTTP/1.1 200 OK")
def test_heads_are_read_as_h11_reads_them(fields: list[tuple[bytes, bytes, bytes]], first: bytes) -> None:
    lines = [first, *(name + b":" + blank + value for name, value, blank in fields)]
    head = b"\r\n".join(lines)
    early_end = b"\r\n\r\n" in head + b"\r\n"  # the scanner never hands over what follows it
    bare = b"\n" in head.replace(b"\r\n", b"")  # lines that end without CR are h11's leniency alone
    if early_end or bare or any(name.lower() in FRAMING for name, *_ in fields):  # framing is the scanner's
        return
    try:
        expected = by_h11(head)
    except h11.RemoteProtocolError:
        with pytest.raises(BadAnswer):
            Head(head)
    else:
        read = Head(head)
        assert (read.status, read.reason, read.fields) == expected


FRAMING = (b"content-length", b"transfer-encoding")


def by_h11(head: bytes) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.receive_data(head + b"\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Response)
    return event.status_code, bytes(event.reason), [(bytes(n), bytes(v)) for n, v in event.headers.raw_items()]


def test_a_head_says_what_is_special_about_it() -> None:
    plain = Head(b"HTTP/1.1 200 OK\r\nLocation: /x\r\nX-Set-Cookie: 1")
    assert not plain.special, "a location matters to a redirect alone"
    assert Head(b"HTTP/1.1 302 Found\r\nlocation: /x").redirects
    assert Head(b"HTTP/1.1 200 OK\r\nSET-COOKIE: a=1").sets_cookie
    assert Head(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip").encoded
    assert Head(b"HTTP/1.1 200 OK\r\nX: a\r\n\tb").fields == [(b"X", b"a b")]


def test_a_head_asked_for_alone_has_no_body_and_teaches_others_nothing() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-Own: head\r\nContent-Length: 5\r\n\r\n"
    for _ in range(2):
        scanner = HeadScanner()
        scanner.reset(keep_body=True)
        assert scanner.feed(raw)
        assert (scanner.size, scanner.keep_alive) == (0, True)
        usual = Scanner()
        usual.reset(keep_body=True)
        assert not usual.feed(raw), "the body of an answer to GET is still to come"
        assert usual.feed(b"hello")
        assert bytes(usual.body) == b"hello"
    closing = HeadScanner()
    closing.reset(keep_body=True)
    assert closing.feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert not closing.keep_alive


@pytest.mark.parametrize("field", [(b"X\n", b"1"), (b"", b"1"), (b"X", b"a\r\nY: 1"), (b"X", b" a"), (b"X", b"\x00")])
def test_what_would_break_a_request_is_refused_without_its_value(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(httpx.LocalProtocolError) as caught:
        check_fields([(b"Fine", b"yes indeed"), field])
    assert field[1] == b"1" or field[1].decode() not in str(caught.value)


PRIMITIVES = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.floats())


@given(st.dictionaries(st.text(max_size=5), PRIMITIVES | st.lists(PRIMITIVES, max_size=3), min_size=1, max_size=4))
def test_parameters_and_forms_are_written_as_httpx_writes_them(values: dict[str, object]) -> None:
    request = httpx.Request("POST", "http://h.test/x", params=values, data=values)  # type: ignore[arg-type]
    assert with_query("/x", values) == request.url.raw_path.decode()
    assert encode_form(values) == request.content


def test_what_httpx_has_to_write_itself_is_left_to_it() -> None:
    assert with_query("/x?a=1", {"b": 1}) is None
    assert with_query("/x", {}) is None
    assert with_query("/x", {"a": object()}) is None
    assert with_query("/ü", {"a": 1}) is None


@given(st.recursive(PRIMITIVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_json_is_written_as_httpx_writes_it(value: object) -> None:
    try:
        expected = httpx.Request("POST", "http://h.test/", json=[value]).content
    except ValueError:  # NaN has no place in JSON
        with pytest.raises(ValueError, match="JSON compliant"):
            encode_json([value])
    else:
        assert encode_json([value]).encode() == expected


def test_a_file_of_authorities_that_is_none_is_named(tmp_path: object) -> None:
    async def made() -> None:
        engine = Engine(allow={"h.test"}, ca_file=f"{tmp_path}/none.pem")
        try:
            with pytest.raises(NotMeasuredError, match=r"none\.pem"):
                engine.new_context()
        finally:
            engine.close()

    asyncio.run(made())
