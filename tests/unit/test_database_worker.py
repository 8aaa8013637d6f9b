"""The plan of the timed reads: how many, when, with which values."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from deployments.config import ValueRange
from tasks.load.database.worker import draw, schedule


def generator(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a load plan, not a secret


@pytest.mark.parametrize(("rate", "duration", "expected"), [(10, 60, 600), (5, 3, 15), (0.5, 60, 30), (20, 0.5, 10)])
def test_the_number_of_reads_is_rate_times_duration(rate: float, duration: float, expected: int) -> None:
    plan = schedule(rate, duration)
    assert len(plan) == expected
    assert np.all(np.diff(plan.offsets_ns) > 0)
    assert plan.offsets_ns[-1] < duration * 1e9


def test_the_first_second_is_warm_up() -> None:
    plan = schedule(10, 60)
    assert plan.names == ("warmup", "steady")
    assert int((plan.phase == 0).sum()) == 10


def test_values_are_drawn_within_their_range_and_reproducibly() -> None:
    values = {"id": ValueRange(template="order-{n}", first=5, last=9)}
    one = generator(1)
    drawn = {draw(values, one)["id"] for _ in range(200)}
    assert drawn == {f"order-{n}" for n in range(5, 10)}
    assert draw(values, generator(3)) == draw(values, generator(3))


def test_hot_values_are_small_numbers() -> None:
    values = {"id": ValueRange(template="{n}", first=1, last=1000, hot=3.0)}
    one = generator(1)
    numbers = [int(draw(values, one)["id"]) for _ in range(2000)]
    # P(n ≤ 125) = P(u³ ≤ 1/8) = 1/2
    assert np.mean([number <= 125 for number in numbers]) == pytest.approx(0.5, abs=0.04)
    assert max(numbers) <= 1000
