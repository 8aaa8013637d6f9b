"""With how many values a statement is timed: a short one with all, others with as many as there is time for."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.components.database.advisor.choose import Weighted
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.rehearsal import Timing
from tasks.components.database.advisor.stopwatch import Stopwatch

TEXTS = [Filled(f"SELECT {number}", whole=True) for number in range(3)]


class Copy:
    """Counts the milliseconds that runs of a statement of `mean_ms` take."""

    def __init__(self, mean_ms: float) -> None:
        self.mean_ms, self.spent_ms = mean_ms, 0.0
        self.texts: set[str] = set()

    def run(self, text: str, *, timeout_s: float, repeat: int, warm: bool) -> Timing:
        self.texts.add(text)
        self.spent_ms += self.mean_ms * (repeat + warm)
        return Timing(self.mean_ms, 1, repeat, self.mean_ms, frozenset(), 1.0, 10.0)


@pytest.mark.parametrize(("mean_ms", "variants"), [(0.0, 3), (5.0, 3), (40.0, 2), (150.0, 1), (2_000.0, 1)])
def test_slow_statements_are_timed_with_fewer_values(mean_ms: float, variants: int) -> None:
    copy: Any = Copy(mean_ms)
    names = [str(number) for number in range(30)]
    weighted = {one: Weighted(one, mean_ms, 1, frozenset()) for one in names}
    watch = Stopwatch(copy, dict.fromkeys(names, TEXTS), weighted, seconds=90.0)
    assert len(watch.time(names)) == len(names)
    assert len(copy.texts) == variants
    assert variants == 1 or copy.spent_ms <= 90_000 / 10
