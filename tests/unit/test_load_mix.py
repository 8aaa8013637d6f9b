"""Requests: drawn values in their places, encoded for where they stand, the mix by weight, one seed one load."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from deployments.config import Endpoint, ValueRange
from storage.errors import NotMeasuredError
from tasks.load.mix import Mix, Request, draw, endpoint_plan
from tasks.load.wire.address import parse

ADDRESS = parse("http://example.test:8080/base/", variable="URL")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a load plan, not a secret


def render(endpoint: Endpoint, headers: dict[str, str] | None = None, url: str | None = None, **values: str) -> bytes:
    ranges = {name: ValueRange(template=template) for name, template in values.items()}
    address = ADDRESS if url is None else parse(url, variable="URL")
    return Request(endpoint_plan(endpoint), ranges, address, headers or {}).render(seeded(1))


def test_a_get_as_the_wire_carries_it() -> None:
    endpoint = Endpoint(path="/orders/{id}", query={"schoolId": "{school}", "limit": "20"})
    assert render(endpoint, {"accept": "application/json"}, id="o{n}", school="s {n}&x") == (
        b"GET /base/orders/o1?schoolId=s%201%26x&limit=20 HTTP/1.1\r\n"
        b"Host: example.test:8080\r\nUser-Agent: hasivu-perf\r\naccept: application/json\r\n\r\n"
    )


def test_a_body_is_json_whatever_a_value_holds() -> None:
    body: dict[str, Any] = {"card": "{card}", "list": [{"again": "{card}", "n": 1}]}
    raw = render(Endpoint(method="POST", path="/verify", body=body), card='"\\é{n}')
    head, _, sent = raw.partition(b"\r\n\r\n")
    assert json.loads(sent) == {"card": '"\\é1', "list": [{"again": '"\\é1', "n": 1}]}
    assert f"Content-Length: {len(sent)}".encode() in head
    assert b"Content-Type: application/json" in head


def test_a_value_cannot_break_out_of_its_place() -> None:
    raw = render(Endpoint(path="/x/{id}"), id="../a?b#c\r\nX: y{n}")
    assert raw.startswith(b"GET /base/x/..%2Fa%3Fb%23c%0D%0AX%3A%20y1 HTTP/1.1\r\n")


def test_the_address_says_host_and_credentials() -> None:
    raw = render(Endpoint(path="/"), url="https://us%40er:pa%3Ass@[::1]/")
    assert b"Host: [::1]\r\n" in raw
    assert b"Authorization: Basic dXNAZXI6cGE6c3M=\r\n" in raw  # us@er:pa:ss
    assert b"Host: example.test\r\n" in render(Endpoint(path="/"), url="http://example.test:80")


@pytest.mark.parametrize("headers", [{"a b": "c"}, {"a": "b\r\nc: d"}, {"Content-Length": "3"}])
def test_headers_that_would_break_a_request_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(NotMeasuredError, match="header"):
        render(Endpoint(path="/"), headers)


def test_a_missing_value_names_its_endpoint() -> None:
    with pytest.raises(NotMeasuredError, match=r"GET /orders/\{id\}: no values for id"):
        render(Endpoint(path="/orders/{id}"))


def test_draws_fill_their_range_and_hot_ones_lean_to_small_numbers() -> None:
    rng = seeded(2)
    even = [int(draw(ValueRange(template="{n}", first=5, last=14), rng)) for _ in range(5000)]
    assert (min(even), max(even)) == (5, 14)
    hot = [int(draw(ValueRange(template="{n}", first=1, last=1000, hot=3.0), rng)) for _ in range(5000)]
    # u³ ≤ 1/8 for half of all u: half of the draws lie in the first eighth.
    assert sum(n <= 125 for n in hot) / 5000 == pytest.approx(0.5, abs=0.03)


def test_the_mix_keeps_its_weights_and_its_seed() -> None:
    mix, again = Mix([1, 2, 7], seeded(3)), Mix([1, 2, 7], seeded(3))
    many = [mix.choose() for _ in range(20_000)]
    assert many == [again.choose() for _ in range(20_000)]
    assert [many.count(n) / 20_000 for n in range(3)] == pytest.approx([0.1, 0.2, 0.7], abs=0.015)


def test_bodies_of_answers_are_judged() -> None:
    plan = endpoint_plan(Endpoint(path="/"), expect_body=r'"success"\s*:\s*true')
    request = Request(plan, {}, ADDRESS, {})
    assert request.accepts(b'{"success": true}')
    assert not request.accepts(b'{"success": false}')
    assert Request(endpoint_plan(Endpoint(path="/")), {}, ADDRESS, {}).accepts(b"")


def test_a_client_of_its_own_is_given_the_same_request_in_parts() -> None:
    endpoint = Endpoint(method="POST", path="/orders/{id}", query={"school": "{school}"}, body={"again": "{id}"})
    ranges = {"id": ValueRange(template="o {n}", last=9), "school": ValueRange(template="s{n}", last=9)}
    request = Request(endpoint_plan(endpoint), ranges, ADDRESS, {})
    whole, (method, target, body) = request.render(seeded(3)), request.parts(seeded(3))
    assert body is not None
    assert whole.startswith(f"{method} {target} HTTP/1.1\r\n".encode())
    assert whole.endswith(b"\r\n\r\n" + body)
