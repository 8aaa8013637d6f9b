"""Planned faults strike exact shares, by route."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.local.app.faults import PLAN, Faults, InjectedDropError, InjectedError, due

ROUTE = "GET /orders/{orderId}"


@given(st.integers(0, 100), st.integers(0, 400))
def test_a_share_strikes_exactly_its_part_of_all(percent: int, events: int) -> None:
    assert sum(due(percent / 100, nth) for nth in range(1, events + 1)) == percent * events // 100


async def strike(faults: Faults, route: str, times: int) -> list[str]:
    seen = []
    for _ in range(times):
        try:
            await faults.strike(route)
        except InjectedError:
            seen.append("error")
        except InjectedDropError:
            seen.append("drop")
        else:
            seen.append("answer")
    return seen


@pytest.mark.asyncio
async def test_every_fourth_request_of_the_named_route_fails() -> None:
    faults = Faults(f'{{"{ROUTE}": {{"errorShare": 0.25}}}}')
    assert await strike(faults, ROUTE, 8) == ["answer", "answer", "answer", "error"] * 2
    assert await strike(faults, "GET /orders", 4) == ["answer"] * 4


@pytest.mark.asyncio
async def test_the_star_strikes_what_is_not_named() -> None:
    faults = Faults(f'{{"*": {{"dropShare": 1}}, "{ROUTE}": {{}}}}')
    assert await strike(faults, "GET /health", 2) == ["drop", "drop"]
    assert await strike(faults, ROUTE, 2) == ["answer", "answer"]


@pytest.mark.asyncio
async def test_latency_is_added() -> None:
    faults = Faults(f'{{"{ROUTE}": {{"latencyMs": 30}}}}')
    start = time.monotonic()
    await faults.strike(ROUTE)
    assert time.monotonic() - start >= 0.029


@pytest.mark.asyncio
async def test_another_plan_starts_its_shares_anew() -> None:
    plan = PLAN.validate_json(f'{{"{ROUTE}": {{"errorShare": 0.5}}}}')
    faults = Faults()
    faults.replace(plan)
    assert await strike(faults, ROUTE, 1) == ["answer"]
    faults.replace(plan)
    assert await strike(faults, ROUTE, 2) == ["answer", "error"]


def test_a_websocket_that_drops_all_refuses_its_handshakes() -> None:
    assert Faults('{"WS /ws": {"dropShare": 1}}').refuses("WS /ws")
    assert not Faults('{"WS /ws": {"dropShare": 0.5}}').refuses("WS /ws")
    assert not Faults().refuses("WS /ws")


def test_routes_that_do_not_exist_are_named() -> None:
    plan = PLAN.validate_json('{"GET /nope": {}, "*": {}, "WS /ws": {}, "GET /health": {}}')
    assert Faults().unknown(plan, ["GET /health"]) == ["GET /nope"]


@pytest.mark.parametrize(
    "fault", ['{"errorShare": 1.1}', '{"latencyMs": -1}', '{"latency": 5}', '{"dropShare": "x"}']
)
def test_a_plan_that_cannot_be_is_refused(fault: str) -> None:
    with pytest.raises(ValidationError):
        Faults(f'{{"*": {fault}}}')
