"""The stepped search as settings ask for it: its steps, its place after the load, what its figure means."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.config import build_config
from deployments.load import Load, Search
from storage.clock import Clock
from storage.records import ComponentId
from tasks.load.capacity import Capacity, Step
from tasks.load.climb import climb
from tasks.load.recording.samples import Recorder
from tasks.load.search import capacity_measurement, capacity_note, pause_before, readers_search, search_plan

LOAD: dict[str, Any] = {"users": 10, "duration_s": 60, "ramp_up_s": 10, "max_rate": 800}


def step(rate: float, *, sustained: bool, attempt: int = 1, good: int = 90, limited: bool = False) -> Step:
    return Step(
        number=1, attempt=attempt, rate=rate, planned=100, sent=100, good=good, p95_ms=20.0, error_ratio=0.1,
        achieved=rate * 0.9, late_p95_ms=0.1, cpu_share=0.1, sustained=sustained, generator_limited=limited,
        why="" if sustained else "p95 was 400 ms (limit 300 ms)", start_ns=10**18, end_ns=10**18 + 10**9,
    )  # fmt: skip


def test_steps_go_through_the_target_to_its_margin_and_never_past_max_rate() -> None:
    asked = Search(target=100, margin=1.2, step_s=2)
    assert search_plan(asked, Load(**LOAD)).rates == (40, 60, 100, 120)
    assert search_plan(asked, Load(**{**LOAD, "max_rate": 90})).rates == (40, 60, 90)
    assert search_plan(asked, Load(**LOAD)).seconds == pytest.approx(5 * 2.1), "the step that breaks runs twice"


def test_the_search_of_the_api_waits_for_that_of_the_readers() -> None:
    environment = build_config("development").environment
    alone = pause_before(environment, [ComponentId.API, ComponentId.CACHE])
    beside = pause_before(environment, [ComponentId.API, ComponentId.RFID])
    assert alone.duration_s > 0
    assert alone.expected == beside.expected == 0
    readers = readers_search(environment.rfid, environment.load).seconds
    assert beside.duration_s == pytest.approx(2 * alone.duration_s + readers)


@pytest.mark.parametrize(
    ("capacity", "told"),
    [
        (
            Capacity("limit", step(90, sustained=True), step(150, sustained=False, attempt=2), 4),
            "150/s broke twice: p95",
        ),
        (Capacity("ceiling", step(120, sustained=True), None, 4), "sustained at 120/s; a lower bound: every step"),
        (Capacity("ceiling", step(90, sustained=True), None, 3), "stopped at max_rate, below the target of 100/s"),
        (Capacity("time", step(90, sustained=True), None, 3), "ended early (time) after 3 steps"),
        (
            Capacity("limit", None, step(40, sustained=False, limited=True), 1),
            "the load generator itself was the limit",
        ),
    ],
)
def test_the_note_says_where_the_search_ended_and_why(capacity: Capacity, told: str) -> None:
    assert told in capacity_note(capacity, 100)


def test_without_a_good_answer_there_is_no_capacity() -> None:
    table = Recorder([], []).table(Clock(0))
    for capacity in (
        Capacity("limit", None, step(40, sustained=False, good=0), 1),
        Capacity("stopped", None, None, 0),
    ):
        found = capacity_measurement("api.capacity", capacity, table, 100, source="capacity search")
        assert found.value is None
        assert found.note.startswith("no data")
    found = capacity_measurement(
        "api.capacity", Capacity("limit", step(90, sustained=True), None, 1), table, 100, source="s"
    )
    assert (found.value, found.n) == (81, 100)


async def climbed(breaks: float, ended: str | None = None) -> tuple[str, list[tuple[int, int, float]]]:
    made: list[tuple[int, int, float]] = []

    async def make(number: int, attempt: int, rate: float) -> Step:
        made.append((number, attempt, rate))
        return step(rate, sustained=rate < breaks, attempt=attempt)

    return await climb([10, 20, 40], make, lambda: ended if len(made) >= 2 else None), made


@pytest.mark.asyncio
async def test_a_step_that_breaks_is_tried_once_more() -> None:
    assert await climbed(20) == ("limit", [(1, 1, 10), (2, 1, 20), (2, 2, 20)])
    assert await climbed(99) == ("ceiling", [(1, 1, 10), (2, 1, 20), (3, 1, 40)])
    assert await climbed(99, "time") == ("time", [(1, 1, 10), (2, 1, 20)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "users", "search": {"target": 5}}, "a search raises a rate of arrivals"),
        ({"model": "users", "day": "school"}, 'model = "users" has no periods of a day'),
        ({"think_s": 1}, 'think_s has a meaning with model = "users" alone'),
        ({"model": "users", "think_s": [2, 1]}, "name the shorter time first"),
        ({"model": "users", "pace_s": 0.001}, "max(pace_s, think_s) = 10000.0 requests/s is above max_rate"),
        ({"search": {"target": 5, "margin": 0.5}}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("(", r"\(").replace(")", r"\)")):
        Load(**{**LOAD, **changes})


def test_thinking_bounds_the_rate_of_users() -> None:
    load = Load(**{**LOAD, "model": "users", "think_s": [2, 4], "pace_s": 0.01})
    assert load.rate == 5, "10 users, each at most once in 2 s"
    assert Load.model_validate(load.model_dump(mode="json")) == load
