"""Schedules: exact counts, places under a rate, seeds; steps of a search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.load.schedule import Jitter, Phase, arrivals, steps

JITTERS: tuple[Jitter, ...] = ("none", "uniform", "poisson")


def test_a_constant_rate_without_jitter_is_evenly_spaced() -> None:
    schedule = arrivals([Phase("steady", 100, 100, 2)], jitter="none")
    assert len(schedule) == 200
    assert set(np.diff(schedule.offsets_ns).tolist()) <= {9_999_999, 10_000_000, 10_000_001}
    assert schedule.duration_ns == 2_000_000_000


@pytest.mark.parametrize("jitter", JITTERS)
def test_a_profile_has_the_arrivals_that_its_rates_ask_for(jitter: Jitter) -> None:
    # 10 users, pace 1 s, 60 s with 15 s ramp-up: 75 in the ramp, 450 after it.
    schedule = arrivals([Phase("ramp", 0, 10, 15), Phase("steady", 10, 10, 45)], jitter=jitter, seed=1)
    assert np.bincount(schedule.phase).tolist() == [75, 450]
    assert (np.diff(schedule.offsets_ns) >= 0).all()
    assert schedule.offsets_ns[75:].min() >= 15e9
    assert schedule.offsets_ns.max() <= 60e9


def test_a_ramp_from_zero_grows_as_the_square_of_time() -> None:
    # Under r(t) = 100·t/10 the k-th arrival of 500 lies at t = 10·√(x), x its share of the area.
    schedule = arrivals([Phase("ramp", 0, 100, 10)], jitter="none")
    expected = 10 * np.sqrt((np.arange(500) + 0.5) / 500)
    assert np.allclose(schedule.offsets_ns / 1e9, expected, atol=1e-6)


def test_a_ramp_down_to_zero_mirrors_the_ramp_up() -> None:
    up = arrivals([Phase("up", 0, 50, 4)], jitter="none").offsets_ns
    down = arrivals([Phase("down", 50, 0, 4)], jitter="none").offsets_ns
    assert np.allclose(np.sort(4e9 - down), up, atol=2)


def test_one_seed_one_schedule() -> None:
    phases = [Phase("steady", 50, 50, 2)]
    first, again, other = (arrivals(phases, seed=seed).offsets_ns.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_poisson_arrivals_are_as_irregular_as_independent_users() -> None:
    gaps = np.diff(arrivals([Phase("steady", 1000, 1000, 20)], jitter="poisson", seed=4).offsets_ns)
    assert float(np.std(gaps) / np.mean(gaps)) == pytest.approx(1.0, abs=0.05)  # an exponential's is 1


@given(
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200), st.floats(0, 5)), min_size=1, max_size=5),
    st.sampled_from(JITTERS),
)
def test_rounding_is_carried_on_and_order_is_kept(rows: list[tuple[float, float, float]], jitter: Jitter) -> None:
    phases = [Phase(str(number), *row) for number, row in enumerate(rows)]
    schedule = arrivals(phases, jitter=jitter, seed=9)
    assert abs(len(schedule) - sum(phase.expected for phase in phases)) <= 0.5 + 1e-6
    assert (np.diff(schedule.offsets_ns) >= 0).all()
    assert len(schedule) == 0 or 0 <= schedule.offsets_ns[0] <= schedule.offsets_ns[-1] <= schedule.duration_ns + 1


def test_a_search_goes_through_the_target_to_the_ceiling() -> None:
    rates = steps(500, first=100, growth=1.5, ceiling=600)
    assert rates == [100, 150, 225, 337.5, 500, 600]
    assert steps(500, first=100, growth=1.5, ceiling=300) == [100, 150, 225, 300]
    assert steps(500, first=700, growth=1.5, ceiling=600) == [600]
    with pytest.raises(ValueError, match="growth"):
        steps(500, first=1, growth=1.0, ceiling=600)


@given(st.floats(1, 2000), st.floats(0.5, 500), st.floats(1.1, 3), st.floats(1, 3000))
def test_steps_ascend_and_end_at_the_ceiling(target: float, first: float, growth: float, ceiling: float) -> None:
    rates = steps(target, first=first, growth=growth, ceiling=ceiling)
    assert rates[-1] == ceiling
    assert rates == sorted(set(rates))
    assert (first < target < ceiling) <= (target in rates)
