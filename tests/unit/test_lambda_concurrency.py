"""Concurrency plans against an event simulation: single requests, environments that start, stay warm and expire."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest

from tasks.components.lambda_functions.concurrency import Size, SnapStart, monthly_dollars, plan
from tasks.components.lambda_functions.cost import Prices, prices
from tasks.components.lambda_functions.erlang import KEEP_ALIVE_S, erlang_b, flow

DAY = 1440


def region(name: str = "ap-south-1") -> Prices:
    found = prices(name)
    assert found is not None
    return found


def bell() -> list[float]:
    """A quiet day with three lunches: 600 swipes in a minute."""
    minutes = [0.2] * DAY
    for at in (630, 750, 795):
        minutes[at : at + 2] = [600, 120]
    return minutes


def daily() -> list[float]:
    return [200 * math.exp(-(((m - 780) / 120) ** 2)) + (20 if 480 < m < 960 else 0.3) for m in range(DAY)]


@dataclass
class Simulated:
    requests: float = 0
    spilled: float = 0
    cold: float = 0
    on_demand_s: float = 0


def simulate(minutes: Sequence[float], duration: float, init: float, ready: int, cycles: int) -> Simulated:
    """One request after the other; the first cycle warms up and is not counted. Per cycle."""
    rng, seen = Random(1), Simulated()  # noqa: S311 - test data
    ends: list[tuple[float, bool]] = []
    idle: list[float] = []
    busy = 0
    for cycle in range(cycles + 1):
        for number, count in enumerate(minutes):
            start = (cycle * len(minutes) + number) * 60.0
            now = start + (rng.expovariate(count / 60) if count else 60)
            while now < start + 60:
                while ends and ends[0][0] <= now:
                    end, provisioned = heapq.heappop(ends)
                    busy -= provisioned
                    if not provisioned:
                        idle.append(end)
                held, cold = duration, False
                if busy < ready:
                    busy += 1
                    heapq.heappush(ends, (now + duration, True))
                else:
                    while idle and now - idle[0] > KEEP_ALIVE_S:
                        idle.pop(0)
                    cold = not idle
                    if idle:
                        idle.pop()
                    held += init * cold
                    heapq.heappush(ends, (now + held, False))
                    seen.spilled += cycle > 0
                    seen.on_demand_s += held * (cycle > 0)
                seen.requests += cycle > 0
                seen.cold += cold and cycle > 0
                now += rng.expovariate(count / 60)
    return Simulated(*(part / cycles for part in (seen.requests, seen.spilled, seen.cold, seen.on_demand_s)))


def simulated_dollars(
    one: Simulated, price: Prices, *, minutes: int, ready: int, duration: float, gb: float = 0.5
) -> float:
    """From the price table, by hand: a month of 730 hours."""
    periods = 730 * 60 / minutes
    served = (one.requests - one.spilled) * duration
    standing = ready * minutes * 60
    each = one.on_demand_s * price.duration[0] + served * price.provisioned_duration + standing * price.provisioned
    return periods * (each * gb + one.requests * price.request)


CASES = {"steady": ([120.0] * 120, 20), "daily": (daily(), 3), "bell": (bell(), 12)}


@pytest.mark.parametrize("ready", [0, 2, 8])
@pytest.mark.parametrize(("duration", "init"), [(0.12, 0.6), (0.4, 2.5)])
@pytest.mark.parametrize("name", CASES)
def test_cost_is_that_of_the_simulation(name: str, duration: float, init: float, ready: int) -> None:
    minutes, cycles = CASES[name]
    one = simulate(minutes, duration, init, ready, cycles)
    # The draw of a simulation differs from its mean: both are priced at the mean number of requests.
    drawn = one.requests / sum(minutes)
    gone = flow(minutes, duration, init, ready)
    price = region()
    ours = monthly_dollars(
        gone, np.full(len(minutes), ready), duration_s=duration, init_s=init, memory_gb=0.5, prices=price
    )
    one.requests, one.spilled, one.on_demand_s = one.requests / drawn, one.spilled / drawn, one.on_demand_s / drawn
    assert ours == pytest.approx(
        simulated_dollars(one, price, minutes=len(minutes), ready=ready, duration=duration), rel=0.01
    )
    assert float(gone.cold.sum()) == pytest.approx(one.cold, rel=0.25, abs=4)


def test_erlang_s_formula_gives_the_values_of_the_tables() -> None:
    # Erlang B tables: 10 servers at 5 erlangs lose 1.84 %, 1 server at 1 erlang half.
    assert erlang_b(1, 1.0) == pytest.approx(0.5)
    assert erlang_b(10, 5.0) == pytest.approx(0.01838, rel=1e-3)


def test_steady_traffic_needs_nothing() -> None:
    found = plan(20.0, 100, 600, 512, region())
    assert not found.needed
    assert found.chosen.name == "do nothing"
    assert found.verdict.startswith("none needed")


def test_a_bell_that_rings_deserves_a_schedule() -> None:
    found = plan(bell(), 400, 2500, 512, region())
    assert found.needed
    assert found.chosen.hours == (10, 12, 13)
    assert found.chosen.cold_share <= found.target
    always = next(one for one in found.options if one.name == "provisioned")
    assert found.chosen.dollars < 0.4 * always.dollars
    nothing = next(one for one in found.options if one.name == "do nothing")
    assert found.chosen.per_avoided == pytest.approx(
        (found.chosen.dollars - nothing.dollars) / (nothing.cold_starts - found.chosen.cold_starts)
    )


def test_hourly_means_hide_the_bell() -> None:
    minutes = np.array(bell())
    hourly = np.repeat(minutes.reshape(24, 60).mean(axis=1), 60)
    assert (
        plan(hourly.tolist(), 400, 2500, 512, region()).peak < plan(minutes.tolist(), 400, 2500, 512, region()).peak
    )


@pytest.mark.parametrize(("name", "utilisation"), [("us-east-1", 0.600), ("ap-south-1", 0.729)])
def test_break_even_is_that_of_the_region(name: str, utilisation: float) -> None:
    assert plan(1.0, 100, 500, 512, region(name)).break_even == pytest.approx(utilisation, abs=0.001)


def test_all_ways_are_priced_and_ranked_by_dollars_for_a_cold_start() -> None:
    found = plan(
        daily(), 400, 2500, 512, region(), snapstart=SnapStart(300), size=Size(1769, 150, 1200), account_limit=5
    )
    names = {one.name for one in found.options}
    assert {"do nothing", "provisioned", "keep-warm ping", "SnapStart", "1769 MB"} <= names
    ranked = [one.per_avoided for one in found.options if one.per_avoided is not None]
    assert ranked == sorted(ranked)
    assert any("account" in risk for risk in found.risks)


def test_no_traffic_costs_nothing_and_needs_nothing() -> None:
    found = plan([0.0] * DAY, 100, 500, 512, region())
    assert (found.needed, found.chosen.dollars) == (False, 0.0)


@pytest.mark.parametrize(
    ("arrivals", "duration", "memory"),
    [(-1.0, 100, 512), (1.0, 0, 512), (1.0, 100, 0), (math.nan, 100, 512), ([1.0, math.inf], 100, 512)],
)
def test_what_cannot_be_is_refused(arrivals: float, duration: float, memory: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        plan(arrivals, duration, 500, memory, region())
