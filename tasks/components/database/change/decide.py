"""Whether a change stays, by written rules: what was measured before, what after, one verdict with its reasons. Pure.

Two witnesses speak. *Windows* compare each statement's mean time over real work; statements that cannot use the table
are the control group, by whose drift the others are corrected. *Replays* compare the same reads with the same values.
A gain counts where the index can have brought it: the read's plan uses it. A change stays where one witness proves a
gain and neither shows a material regression; docs/database-changes.md tells the rules in words.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.components.database.change.records import Figures, Kind, Replay, Span, Verdict, Work

CALLS = 10
"""A statement is compared where it was called so often in both windows."""

SLOWER = 1.2
"""A regression takes more than this times as long."""

FASTER = 0.8
"""An improvement takes less than this times as long."""

DEVIATIONS = 3.0
"""How many standard errors a difference of means must exceed."""

MATERIAL = 0.005
"""A regression costs at least this share of the time of all statements of the window before."""

WAL_MATERIAL = 100_000
"""Growth of WAL below so many bytes a second (8.6 GB a day) is not looked at."""

JITTER_MS = 0.5
"""Differences of a replay's median below it are not looked at."""

CONTROLS = 3
"""So many statements of the control group tell the drift; fewer tell nothing."""

DOUBT = 2.0
"""A regression by less than this in one window is doubted where there is a proven gain, and measured once more."""

DRIFT = 1.5
"""A control group that became slower or faster by more than this makes the windows incomparable."""

_SHOWN = 3


@dataclass(frozen=True)
class Rules:
    """What an environment asks of a change; see `deployments.changes.ChangeSettings`."""

    min_gain: float = 0.1
    max_wal_growth: float = 0.5
    keep_unproven: bool = False


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


def decide(kind: Kind, name: str, before: Figures, after: Figures, rules: Rules) -> Verdict:
    """Keep or undo the index `name` that was built or removed between `before` and `after`."""
    slower = _slower_work(before.span, after.span)
    worse = [*(words for _, words in slower), *_slower_replays(before.replays, after.replays)]
    if kind is Kind.CREATE:
        worse += _wal(before.span, after.span, rules.max_wal_growth)
    index = name if kind is Kind.CREATE else None
    gains = [gain for gain in (_gain_of_work(before, after, index), _gain_of_replays(before, after, index)) if gain]
    best = max((gain.share for gain in gains), default=None)
    proof = max(gains, key=lambda gain: (gain.improved > 0, gain.share), default=None)
    proven = proof is not None and proof.improved > 0 and proof.share >= rules.min_gain
    unused = _unused(name, after) if kind is Kind.CREATE else None
    if worse:
        mild = len(worse) == len(slower) and max(ratio for ratio, _ in slower) < DOUBT
        useful = proven and not unused and kind is Kind.CREATE
        return Verdict(keep=False, reasons=tuple(worse), gain=best, doubtful=mild and useful)
    if proof is None:
        return _unproven(rules)
    if kind is Kind.DROP:
        return Verdict(keep=True, reasons=("no statement became slower without it",), gain=best)
    if unused:
        return Verdict(keep=False, reasons=(unused,), gain=best)
    if proven:
        return Verdict(keep=True, reasons=(proof.words,), gain=proof.share)
    return Verdict(
        keep=False,
        reasons=(f"too little gain: {_share(best or 0.0)} of {_share(rules.min_gain)} that are asked for",),
        gain=best,
    )


@dataclass(frozen=True)
class _Gain:
    share: float
    improved: int
    words: str


def _unproven(rules: Rules) -> Verdict:
    words = f"nothing that uses the table ran {CALLS} times before and after, and no read could be replayed"
    if rules.keep_unproven:
        return Verdict(keep=True, reasons=(f"unproven, kept because keep_unproven allows it: {words}",))
    return Verdict(keep=False, reasons=(f"unproven: {words}",))


def _unused(name: str, after: Figures) -> str | None:
    """Why nothing uses the index; None where something does."""
    scans = after.span.scans if after.span is not None else None
    if scans or any(name in one.indexes for one in after.replays):
        return None
    looked = f"none of {len(after.replays)} replayed reads chose it"
    return f"not used: {looked}, and real work scanned it {scans or 0} times"


# --- windows ---


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


def _slower_work(before: Span | None, after: Span | None) -> list[tuple[float, str]]:
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


def _gain_of_work(before: Figures, after: Figures, index: str | None) -> _Gain | None:
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
        f"all together gained {_share(gained / total)} of their time"
    )
    return _Gain(gained / total, improved, words)


def _may_owe(pair: _Pair, after: Figures, index: str | None) -> bool:
    """Whether a read can have used the index: real work scanned it, and where the read was replayed its plan did."""
    if index is None:
        return True
    if after.span is None or not after.span.scans:
        return False
    _, _, queryid = pair.before.id.partition("/")
    replays = [one for one in after.replays if one.id.partition("/")[0] == queryid.partition("/")[0]]
    return not replays or any(index in one.indexes for one in replays)


def _wal(before: Span | None, after: Span | None, limit: float) -> Iterator[str]:
    """Write cost over all writes of the windows, as often as they were called before."""
    if before is None or after is None:
        return
    pairs = [pair for touching in (True, False) for pair in _pairs(before, after, touching=touching)]
    writes = [pair for pair in pairs if pair.before.writes]
    then = sum(pair.before.wal_bytes for pair in writes)
    now = sum(pair.after.wal_bytes / pair.after.calls * pair.before.calls for pair in writes)
    a_second = (now - then) / max(before.window.seconds, 1.0)
    if then > 0 and now / then - 1 > limit and a_second > WAL_MATERIAL:
        yield f"the same writes make {_share(now / then - 1)} more WAL, {_share(limit)} are allowed"


# --- replays ---


def _replayed(before: Iterable[Replay], after: Iterable[Replay]) -> list[tuple[Replay, Replay]]:
    """The reads that were replayed with the same text on both sides and ended on one of them at least."""
    later = {(one.id, one.digest): one for one in after}
    pairs = [(one, later[one.id, one.digest]) for one in before if (one.id, one.digest) in later]
    return [pair for pair in pairs if not (pair[0].late and pair[1].late)]


def _slower_replays(before: Iterable[Replay], after: Iterable[Replay]) -> Iterator[str]:
    """Reads whose plan changed for the worse; the same plan at another speed is the machine's doing."""
    for then, now in _replayed(before, after):
        if now.late:
            yield f"slower: read {now.shown} does not end within {now.median_ms:.0f} ms, it took {then.median_ms:.3g}"
            continue
        slower = now.median_ms > SLOWER * then.median_ms and now.median_ms - then.median_ms > JITTER_MS
        if not then.late and slower and now.low_ms > then.high_ms and now.plan != then.plan:
            yield (
                f"slower: read {now.shown} takes {now.median_ms / then.median_ms:.2f} times as long by another plan "
                f"({then.median_ms:.3g} → {now.median_ms:.3g} ms)"
            )


def _gain_of_replays(before: Figures, after: Figures, index: str | None) -> _Gain | None:
    pairs = _replayed(before.replays, after.replays)
    total = sum(then.calls * then.median_ms for then, _ in pairs)
    if total <= 0:
        return None
    owing = [(then, now) for then, now in pairs if index is None or index in now.indexes]
    gained = sum(then.calls * (then.median_ms - now.median_ms) for then, now in owing)
    improved = sum(
        now.median_ms < FASTER * then.median_ms and (now.high_ms < then.low_ms or then.late) for then, now in owing
    )
    words = f"{improved} of {len(pairs)} replayed reads became faster, all together gained {_share(gained / total)}"
    return _Gain(gained / total, improved, words)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
