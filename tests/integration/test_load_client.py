"""The load client against stock httpx: the same server, the same calls, the same answers and the same requests."""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http_clients import Bench, Reply, answer, normal, told


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


examples = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "PURGE"])
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
NAMES = st.from_regex(r"X-[A-Za-z]{1,8}", fullmatch=True)
VALUES = st.from_regex(r"[!-~]([ -~]{0,10}[!-~])?", fullmatch=True)
PARAMS = st.dictionaries(
    TEXT,
    st.one_of(TEXT, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False), st.lists(TEXT)),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PATHS = st.one_of(
    st.from_regex(r"/[a-z0-9./_~%-]{0,20}(\?[a-z0-9=&+%.-]{0,10})?", fullmatch=True),
    st.lists(TEXT, max_size=3).map(lambda parts: "/" + "/".join(parts)),
)


@examples
@given(
    method=METHODS,
    path=PATHS,
    params=st.none() | PARAMS,
    headers=st.none() | st.dictionaries(NAMES, VALUES, max_size=3),
    standing=st.none() | st.dictionaries(NAMES, VALUES, max_size=3),
    every=st.none() | PARAMS,
)
def test_any_request_is_the_same_on_the_wire(bench: Bench, standing: Any, every: Any, **call: Any) -> None:
    method, path = call.pop("method"), call.pop("path")
    bench.reset(any=answer(200, b"x"))
    stock, ours = bench.both(method, path, client={"headers": standing, "params": every}, calls=2, **call)
    assert ours == stock


@examples
@given(
    method=METHODS,
    body=st.one_of(
        st.fixed_dictionaries({"json": JSON}),
        st.fixed_dictionaries({"content": st.binary(max_size=50) | TEXT}),
        st.fixed_dictionaries({"data": PARAMS}),
        st.fixed_dictionaries({"data": PARAMS, "files": st.just({"f": ("a.txt", b"abc", "text/plain")})}),
    ),
    kind=st.sampled_from([None, {"Content-Type": "application/x-own"}, [("X-A", "1"), ("X-A", "2")]]),
)
def test_any_body_is_the_same_on_the_wire(bench: Bench, method: str, body: Any, kind: Any) -> None:
    bench.reset(any=answer(200, b"x"))
    if "files" in body:  # with a boundary that does not change from one client to the other
        kind = {"Content-Type": "multipart/form-data; boundary=abc"}
    stock, ours = bench.both(method, "/b", headers=kind, **body)
    assert ours == stock


@examples
@given(
    status=st.sampled_from([200, 201, 202, 204, 206, 304, 400, 404, 418, 429, 500, 503, 599]),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    body=st.binary(max_size=200),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=4),
    kind=st.sampled_from(["application/json", "text/plain; charset=latin-1", "text/html; charset=none-such", ""]),
    framing=st.sampled_from(["length", "chunked", "close"]),
    interim=st.booleans(),
)
def test_any_answer_is_read_the_same(  # noqa: PLR0917 - names of the strategies
    bench: Bench, status: int, method: str, body: bytes, headers: Any, kind: str, framing: str, interim: Any
) -> None:
    empty = status in (204, 304) or method == "HEAD"
    fields = [*headers, ("Content-Type", kind), ("Link", '<http://a/b>; rel="next"')]
    lines = [f"HTTP/1.1 {status} So", *(f"{name}: {value}" for name, value in fields)]
    sent = b"" if empty else body
    if framing == "length" and status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked" and not empty:
        lines.append("Transfer-Encoding: chunked")
        half = len(body) // 2
        parts = [part for part in (body[:half], body[half:]) if part]
        sent = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: 1\r\n\r\n"
    elif framing == "close" and not empty:
        lines.append("Connection: close")
    before = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" if interim else b""
    raw = before + "\r\n".join(lines).encode() + b"\r\n\r\n" + sent

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if framing == "close" and not empty:
            writer.close()

    bench.reset(any=reply)
    stock, ours = bench.both(method, "/a", calls=2)
    assert ours == stock


@examples
@given(
    encodings=st.lists(st.sampled_from(["gzip", "deflate", "raw-deflate", "identity", "br", "GZIP"]), max_size=2),
    body=st.binary(max_size=300),
    broken=st.booleans(),
)
def test_encoded_content_is_decoded_the_same(bench: Bench, encodings: list[str], body: bytes, broken: Any) -> None:
    coded = body
    for encoding in encodings:
        coded = coded_by(encoding, coded)
    if broken:
        coded = coded[: len(coded) // 2] + b"!" + coded[len(coded) // 2 :]
    name = ", ".join(encoding.replace("raw-", "") for encoding in encodings)
    bench.reset(any=answer(200, coded, ("Content-Encoding", name), ("Content-Type", "text/plain")))
    stock, ours = bench.both("GET", "/z")
    assert ours == stock


def coded_by(encoding: str, body: bytes) -> bytes:
    if encoding in ("gzip", "GZIP"):
        return gzip.compress(body)
    if encoding == "deflate":
        return zlib.compress(body)
    if encoding == "raw-deflate":
        squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return squeezer.compress(body) + squeezer.flush()
    return body


@examples
@given(
    status=st.sampled_from([300, 301, 302, 303, 304, 307, 308]),
    method=METHODS,
    location=st.sampled_from(
        ["/end", "end", "../end", "?q=1", "//127.0.0.1:{port}/end", "http://127.0.0.1:{port}/end#part",
         "http://localhost:{port}/end", "/start", "http://", "ftp://127.0.0.1/x", "http://a:b/", "", "/é"]
    ),
    follow=st.booleans(),
    body=st.sampled_from([{}, {"json": {"a": 1}}, {"content": b"raw"}, {"data": {"a": "b"}}]),
    setting=st.sampled_from(["", "trail=1; Path=/"]),
)  # fmt: skip
def test_redirects_are_followed_the_same(  # noqa: PLR0917 - names of the strategies
    bench: Bench, status: int, method: str, location: str, follow: Any, body: Any, setting: str
) -> None:
    where = location.format(port=bench.server.port)
    fields = [("Location", where), ("Set-Cookie", setting)] if setting else [("Location", where)]
    bench.reset(start=answer(status, b"moved", *fields), any=answer(200, b"end"))
    stock, ours = bench.both(
        method,
        "/start",
        follow_redirects=follow,
        client={"headers": {"Authorization": "secret"}, "max_redirects": 3},
        **body,
    )
    assert ours == stock


COOKIES = st.builds(
    lambda name, value, extras: "; ".join([f"{name}={value}", *extras]),
    st.sampled_from(["a", "b"]),
    st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True),
    st.lists(
        st.sampled_from(
            ["Path=/", "Path=/in", "Domain=127.0.0.1", "Domain=other.test", "Max-Age=0", "Max-Age=100", "HttpOnly",
             "Secure", "Expires=Wed, 21 Oct 2015 07:28:00 GMT", "SameSite=Lax"]
        ),
        max_size=3,
    ),
)  # fmt: skip


@examples
@given(
    first=st.lists(COOKIES, max_size=2),
    second=st.lists(COOKIES, max_size=2),
    own=st.dictionaries(st.sampled_from(["a", "c"]), st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=2),
    header=st.sampled_from([None, {"Cookie": "mine=1"}]),
    paths=st.lists(st.sampled_from(["/in/x", "/out", "/in"]), min_size=3, max_size=4),
)
def test_cookies_are_kept_and_sent_the_same(bench: Bench, **case: Any) -> None:
    replies: list[Reply] = [
        answer(200, b"1", *(("Set-Cookie", one) for one in case["first"])),
        answer(200, b"2", *(("Set-Cookie", one) for one in case["second"])),
        answer(200, b"3"),
    ]

    async def journey(client: httpx.AsyncClient) -> Any:
        async with client:
            client.cookies.update(case["own"])
            seen = [await told(client, "GET", path, {"headers": case["header"]}) for path in case["paths"]]
            client.cookies.delete("a")
            seen.append(await told(client, "POST", "/in/last", {}))
            client.cookies = {"fresh": "1"}
            return [*seen, await told(client, "GET", "/in/x", {})]

    seen = []
    for make in (bench.stock, bench.ours):
        bench.reset(any=list(replies))
        seen.append((bench.run(journey(make())), [normal(one) for one in bench.server.asked]))
    assert seen[1] == seen[0]


def test_a_cookie_that_expires_meanwhile_is_sent_no_more(bench: Bench) -> None:
    bench.reset(any=[answer(200, b"", ("Set-Cookie", "short=1; Max-Age=1")), answer()])

    async def journey() -> list[Any]:
        async with bench.ours() as client:
            for pause in (0.0, 0.0, 1.3):
                await asyncio.sleep(pause)
                await client.get("/x")
        return [dict(headers).get("Cookie") for _, _, headers, _ in bench.server.asked]

    assert bench.run(journey()) == [None, "short=1", None]


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({"auth": ("user", "pass")}, {}),
        ({"auth": ("user", "pass")}, {"auth": None}),
        ({}, {"auth": ("other", "pass")}),
        ({"auth": httpx.DigestAuth("user", "pass")}, {}),
        ({"headers": {"Authorization": "Bearer abc"}}, {}),
        ({"headers": {"Host": "virtual.test"}}, {}),
        ({}, {"headers": {"Host": "virtual.test"}}),
        ({}, {"headers": {"Connection": "close"}}),
        ({}, {"headers": {"Accept-Encoding": "identity", "user-agent": "own"}}),
        ({}, {"headers": {"X-Bad\n": "1"}}),
        ({}, {"headers": {"X-Bad": "1\r\nX-Smuggled: 2"}}),
        ({}, {"headers": {"X-Blank": " padded "}}),
        ({}, {"headers": {"Content-Length": "7"}}),
        ({}, {"headers": httpx.Headers([("X-A", "1"), ("X-A", "2")])}),
        ({}, {"cookies": {"per": "request"}}),
        ({}, {"extensions": {"timeout": {"read": 2.0}}}),
        ({}, {"timeout": 3.0}),
        ({}, {"timeout": None}),
        ({"default_encoding": "latin-1"}, {}),
        ({"base_url": ""}, {}),
    ],
    ids=lambda value: re.sub(r" object at 0x[0-9a-f]+", "", str(value)),  # each process collects the same names
)
@pytest.mark.filterwarnings("ignore:Setting per-request cookies")
def test_the_less_usual_is_the_same_too(bench: Bench, options: dict[str, Any], call: dict[str, Any]) -> None:
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')
    digest = isinstance(options.get("auth"), httpx.DigestAuth)
    replies: list[Reply] = [answer(401, b"", challenge), answer(200, b"in")] if digest else [answer(200, b"\xe9in")]
    bench.reset(any=replies)
    stock, ours = bench.both("POST", "/p?x=1", client=options, json={"a": 1}, **call)
    if digest:  # it holds a random number
        for seen in (stock, ours):
            assert [one[1] for one in seen[-2:]] == ["/p?x=1"] * 2
            seen[:] = [seen[0][0]["status"], seen[0][0]["content"], len(seen)]
    assert ours == stock


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pw@127.0.0.1:{port}/x",
        "ftp://127.0.0.1/x",
        "//127.0.0.1:{port}/x",
        "relative",
        "http://127.0.0.1:{port}",
        "/a/../b/./c",
        "/a%2fb?c=%zz",
        "/sp ace",
        "/x#frag",
    ],
)
def test_urls_of_every_kind_go_to_the_same_place(bench: Bench, url: str) -> None:
    bench.reset(any=answer(200, b"x"))
    where = url.format(port=bench.server.port)
    stock, ours = bench.both("GET", where, client={"base_url": f"{bench.base}/api/v1"})
    assert ours == stock
    stock, ours = bench.both(
        "GET", httpx.URL(where), client={"base_url": f"{bench.base}/api/v1/"}, params={"q": "a b"}
    )
    assert ours == stock
