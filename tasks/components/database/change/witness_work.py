"""The first witness: windows of real work, statement by statement, drift of the machine taken off. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.components.database.change.gain import FASTER, SLOWER, Gain, per_cent
from tasks.components.database.change.records import Figures, Span, Work

CALLS = 10
"""A statement is compared where it was called so often in both windows."""

DEVIATIONS = 3.0
"""How many standard errors a difference of means must exceed."""

MATERIAL = 0.005
"""A regression costs at least this share of the time of all statements of the window before."""

WAL_MATERIAL = 100_000
"""Growth of WAL below so many bytes a second (8.6 GB a day) is not looked at."""

CONTROLS = 3
"""So many statements of the control group tell the drift; fewer tell nothing."""

DRIFT = 1.5
"""A control group that became slower or faster by more than this makes the windows incomparable."""

_SHOWN = 3


@dataclass(frozen=True)
class _Pair:
    before: Work
    after: Work

    def ratio(self, drift: float) -> float:
        return self.after.mean_ms / drift / self.before.mean_ms if self.before.mean_ms > 0 else math.inf

    def gain_ms(self, drift: float) -> float:
        """Time that one call gained on average; negative where it lost."""
        return self.before.mean_ms - self.after.mean_ms / drift

    @property
    def noise_ms(self) -> float:
        """The standard error of the difference of both means, times `DEVIATIONS`."""
        return DEVIATIONS * math.hypot(*(one.sd_ms / math.sqrt(one.calls) for one in (self.before, self.after)))

    def is_better(self, drift: float) -> bool:
        return self.ratio(drift) < FASTER and self.gain_ms(drift) > self.noise_ms

    def is_worse(self, drift: float, total_ms: float) -> bool:
        lost = -self.gain_ms(drift)
        material = lost * self.before.calls >= MATERIAL * total_ms
        return self.ratio(drift) > SLOWER and lost > self.noise_ms and material


def drift(before: Span, after: Span) -> float | None:
    """How many times slower the control group became; 1 where it tells nothing, None where it is beyond `DRIFT`."""
    found = [pair.ratio(1.0) for pair in _pairs(before, after, touching=False) if pair.before.mean_ms > 0]
    if len(found) < CONTROLS:
        return 1.0
    middle = statistics.median(found)
    return middle if 1 / DRIFT <= middle <= DRIFT else None


def _pairs(before: Span, after: Span, *, touching: bool) -> list[_Pair]:
    """The statements that were called often enough in both windows."""
    later = {work.id: work for work in after.work}
    return [
        _Pair(one, later[one.id])
        for one in before.work
        if one.touches is touching and one.id in later and min(one.calls, later[one.id].calls) >= CALLS
    ]


def slower(before: Span | None, after: Span | None) -> list[tuple[float, str]]:
    """The worst statements that became slower: how many times as long each takes, with its words."""
    if before is None or after is None or (by := drift(before, after)) is None:
        return []
    total = sum(work.total_ms for work in before.work)
    found = [pair for pair in _pairs(before, after, touching=True) if pair.is_worse(by, total)]
    worst = sorted(found, key=lambda one: -one.ratio(by))[:_SHOWN]
    return [(pair.ratio(by), _slower_words(pair, by)) for pair in worst]


def _slower_words(pair: _Pair, by: float) -> str:
    what = "write" if pair.before.writes else "statement"
    return (
        f"slower: {what} {pair.before.shown} takes {pair.ratio(by):.2f} times as long "
        f"({pair.before.mean_ms:.3g} → {pair.after.mean_ms:.3g} ms, {pair.after.calls} calls)"
    )


def gain(before: Figures, after: Figures, index: str | None) -> Gain | None:
    """What statements gained that may owe it to the index; of all others it is the machine's doing."""
    then, now = before.span, after.span
    if then is None or now is None or (by := drift(then, now)) is None:
        return None
    pairs = _pairs(then, now, touching=True)
    total = sum(pair.before.total_ms for pair in pairs)
    if total <= 0:
        return None
    owing = [pair for pair in pairs if pair.before.writes or _may_owe(pair, after, index)]
    gained = sum(pair.gain_ms(by) * pair.before.calls for pair in owing)
    improved = sum(pair.is_better(by) for pair in owing)
    words = (
        f"{improved} of {len(pairs)} statements on the table became faster in real work, "
        f"all together gained {per_cent(gained / total)} of their time"
    )
    return Gain(gained / total, improved, words)


def _may_owe(pair: _Pair, after: Figures, index: str | None) -> bool:
    """Whether a read can have used the index: real work scanned it, and where the read was replayed its plan did."""
    if index is None:
        return True
    if after.span is None or not after.span.scans:
        return False
    _, _, queryid = pair.before.id.partition("/")
    replays = [one for one in after.replays if one.id.partition("/")[0] == queryid.partition("/")[0]]
    return not replays or any(index in one.indexes for one in replays)


def wal_growth(before: Span | None, after: Span | None, limit: float) -> Iterator[str]:
    """Write cost over all writes of the windows, as often as they were called before."""
    if before is None or after is None:
        return
    pairs = [pair for touching in (True, False) for pair in _pairs(before, after, touching=touching)]
    writes = [pair for pair in pairs if pair.before.writes]
    then = sum(pair.before.wal_bytes for pair in writes)
    now = sum(pair.after.wal_bytes / pair.after.calls * pair.before.calls for pair in writes)
    a_second = (now - then) / max(before.window.seconds, 1.0)
    if then > 0 and now / then - 1 > limit and a_second > WAL_MATERIAL:
        yield f"the same writes make {per_cent(now / then - 1)} more WAL, {per_cent(limit)} are allowed"
