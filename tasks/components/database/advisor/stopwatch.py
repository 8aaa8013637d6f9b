"""Times the reads of a workload on a copy, within a total time; what cannot be timed is named."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import geometric_mean

from tasks.components.database.advisor.choose import Weighted
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.records import PlanError
from tasks.components.database.advisor.rehearsal import Rehearsal

STATEMENT_S, LEAST_S = 20.0, 5.0
"""Time limits of one run."""

_LATE = "statement timeout"
_SHORT_MS, _QUICK_MS, _SLOW_MS = 20.0, 200.0, 1_000.0
_VARIANTS = 3
_ONCE = 1 / 10
"""Share of the time in which each statement shall have been timed once: slow ones are run with fewer variants."""

_OVER = "the time for the rehearsal was over"


@dataclass(frozen=True, slots=True)
class Seen:
    """A statement's milliseconds, its plans' indexes, and what they put at risk: a factor of its time."""

    ms: float
    indexes: frozenset[str]
    risk: float = 1.0


@dataclass
class Stopwatch:
    """Times statements on a copy until `seconds` are over."""

    copy: Rehearsal
    texts: Mapping[str, Sequence[Filled]]
    statements: Mapping[str, Weighted]
    seconds: float
    unproved: dict[str, str] = field(default_factory=dict)
    """Statements that were not timed, and why."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self._end = time.monotonic() + self.seconds

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._end

    def failed(self, statement: str) -> bool:
        """Whether a statement cannot be timed at all, for another reason than that the time is over."""
        return self.unproved.get(statement, _OVER) != _OVER

    def shortest_first(self) -> list[str]:
        """The statements that can be timed, short ones first: most are timed then when the time is over."""
        known = [one for one in self.texts if not self.failed(one)]
        return sorted(known, key=lambda one: (self.statements[one].mean_ms, one))

    def time(self, statements: Iterable[str]) -> dict[str, Seen]:
        """Each statement's time: the geometric mean over its variants."""
        found = {}
        for one in statements:
            if self.over:
                self.unproved.setdefault(one, _OVER)
                continue
            try:
                runs = [self._run(text, one) for text in self._texts(one)]
            except PlanError as error:
                self.unproved[one] = str(error)
                continue
            used = frozenset[str]().union(*(run.indexes for run in runs))
            risk = geometric_mean(run.risk for run in runs)
            found[one] = Seen(geometric_mean(max(run.ms, 1e-3) for run in runs), used, risk)
        return found

    def _texts(self, statement: str) -> list[str]:
        """Variants that can be run: fewer of a slow statement."""
        texts = [one.text for one in self.texts[statement] if one.whole]
        if not texts:
            raise PlanError("not all of its parameters are known")
        mean_ms = self.statements[statement].mean_ms
        mine_ms = 1e3 * _ONCE * self.seconds / len(self.texts)
        each_ms = mean_ms * (_repeats(mean_ms) + _warmed(mean_ms))
        return texts[: max(1, min(_VARIANTS, int(mine_ms / max(each_ms, 1e-3))))]

    def _run(self, text: str, statement: str) -> Seen:
        """One text's least milliseconds; a run that is cut off took at least its time limit, and counts with that."""
        mean_ms = self.statements[statement].mean_ms
        timeout = min(STATEMENT_S, max(LEAST_S, 4 * mean_ms / 1e3))
        try:
            timing = self.copy.run(text, timeout_s=timeout, repeat=_repeats(mean_ms), warm=_warmed(mean_ms))
        except PlanError as error:
            if _LATE not in str(error):
                raise
            return Seen(timeout * 1e3, frozenset())
        return Seen(timing.least_ms, timing.indexes, 1 + timing.risk)


def _repeats(mean_ms: float) -> int:
    """Runs that are timed: processor time hardly varies."""
    return 3 if mean_ms < _SHORT_MS else 2 if mean_ms < _QUICK_MS else 1


def _warmed(mean_ms: float) -> bool:
    """Whether a run before them warms the cache."""
    return mean_ms < _SLOW_MS
