"""What an index is predicted to do to a timed read: never below what a read takes besides the server's work."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tasks.components.database.advise.outlook import _of_read, floor_of

RNG = np.random.default_rng(2)
QUICK = RNG.lognormal(np.log(0.8), 0.6, 500)
SLOW = RNG.lognormal(np.log(60), 0.2, 500)
FLOOR = floor_of([(QUICK, None)])


def p95(values: npt.NDArray[np.float64]) -> float:
    return float(np.percentile(values, 95))


def test_a_read_that_becomes_quick_has_the_tail_of_quick_reads() -> None:
    value, (low, high) = _of_read(SLOW, 1e-4, FLOOR, keeps=0.5)
    assert value == pytest.approx(p95(QUICK), rel=0.02)
    assert low < float(np.median(QUICK)) < value < high


def test_a_read_that_gains_a_third_keeps_its_own_tail() -> None:
    value, (low, high) = _of_read(SLOW, 0.67, FLOOR, keeps=0.8)
    assert value == pytest.approx(0.67 * p95(SLOW), rel=0.02)
    assert low < value < high < p95(SLOW) * 1.2


def test_a_read_that_an_index_hurts_becomes_slower() -> None:
    value, (low, high) = _of_read(QUICK, 1.3, FLOOR, keeps=0.8)
    assert value == pytest.approx(1.3 * p95(QUICK), rel=0.02)
    assert low < value < high


def test_where_all_reads_are_slow_the_servers_work_on_the_quickest_is_no_floor() -> None:
    floor = floor_of([(QUICK + 50, 50.0)])
    assert floor.tail == pytest.approx(FLOOR.tail, rel=0.02)
    value, (low, high) = _of_read(SLOW, 1e-4, floor, keeps=0.5)
    assert low < value < high
    assert value == pytest.approx(p95(QUICK), rel=0.02)


def test_a_read_with_a_tail_of_its_own_does_not_raise_the_floor() -> None:
    slow = [(QUICK + work, float(work)) for work in (3, 5, 7)]
    floor = floor_of([*slow, (RNG.lognormal(np.log(3), 0.9, 500), 2.5)])
    assert floor.tail == pytest.approx(FLOOR.tail, rel=0.05)
