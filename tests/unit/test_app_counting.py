"""The application's own counts: what was answered, how, and what was not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from deployments.local.app.cache import family
from deployments.local.app.counting import CacheCounters, Counters, Counting
from deployments.local.app.http import not_found


class Answering:
    """An endpoint that answers a status, fails, leaves in the middle, or never answers."""

    def __init__(self, status: int = 200, *, fails: bool = False, breaks: bool = False, waits: bool = False) -> None:
        self._status = status
        self._fails = fails
        self._breaks = breaks
        self._waits = waits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if self._waits:
            await asyncio.sleep(60)
        if self._fails:
            raise ZeroDivisionError("a defect")
        if self._breaks:
            scope["broken"] = True
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def counting(counters: Counters) -> Counting:
    routes = [
        Route("/orders/{orderId}", Answering(), methods=["GET"]),
        Route("/orders", Answering(201), methods=["POST"]),
        Route("/defect", Answering(fails=True), methods=["GET"]),
        Route("/broken", Answering(breaks=True), methods=["GET"]),
        Route("/waiting", Answering(waits=True), methods=["GET"]),
        Route("/__platform__/counters", Answering(), methods=["GET"]),
    ]
    return Counting(Router(routes, redirect_slashes=False, default=not_found), counters)


async def ask(app: Counting, method: str, path: str) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return sent


@pytest.mark.asyncio
async def test_requests_are_counted_by_method_template_and_status() -> None:
    counters = Counters()
    app = counting(counters)
    for path in ("/orders/1", "/orders/2", "/nope", "/also/nope", "/__platform__/counters"):
        await ask(app, "GET", path)
    await ask(app, "POST", "/orders")
    await ask(app, "DELETE", "/orders")
    await ask(app, "BREW", "/orders")
    assert counters.requests == {
        ("GET", "/orders/{orderId}", 200): 2,
        ("GET", "<unmatched>", 404): 2,
        ("POST", "/orders", 201): 1,
        ("DELETE", "/orders", 405): 1,
        ("OTHER", "/orders", 405): 1,
    }
    assert counters.totals() == {"received": 7, "answered": 7, "unanswered": 0, "inFlight": 0}


@pytest.mark.asyncio
async def test_a_failing_handler_is_a_counted_500() -> None:
    counters = Counters()
    with pytest.raises(ZeroDivisionError):
        await ask(counting(counters), "GET", "/defect")
    assert counters.requests == {("GET", "/defect", 500): 1}
    assert counters.totals()["unanswered"] == 0


@pytest.mark.asyncio
async def test_a_broken_answer_is_none() -> None:
    counters = Counters()
    await ask(counting(counters), "GET", "/broken")
    assert counters.totals() == {"received": 1, "answered": 0, "unanswered": 1, "inFlight": 0}
    assert counters.broken() == [{"method": "GET", "route": "/broken", "count": 1}]


@pytest.mark.asyncio
async def test_a_cancelled_request_is_unanswered_and_a_waiting_one_in_flight() -> None:
    counters = Counters()
    task = asyncio.create_task(ask(counting(counters), "GET", "/waiting"))
    await asyncio.sleep(0.01)
    assert counters.totals()["inFlight"] == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counters.totals() == {"received": 1, "answered": 0, "unanswered": 1, "inFlight": 0}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("rfid_card:RFID-1", "rfid_card"),
        ("payment_analytics:weekly:all:1", "payment_analytics"),
        ("plain", "plain"),
    ],
)
def test_a_family_is_a_keys_first_part(key: str, name: str) -> None:
    assert family(key) == name


def test_families_hold_all_that_was_touched() -> None:
    counters = CacheCounters()
    counters.hits["a"] += 2
    counters.writes["b"] += 1
    assert counters.families() == {
        "a": {"hits": 2, "misses": 0, "writes": 0},
        "b": {"hits": 0, "misses": 0, "writes": 1},
    }
