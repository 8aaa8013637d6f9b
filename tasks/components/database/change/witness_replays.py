"""The second witness: replays of the same reads with the same values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasks.components.database.change.gain import FASTER, SLOWER, Gain, per_cent
from tasks.components.database.change.records import Figures, Replay

JITTER_MS = 0.5
"""Differences of a replay's median below it are not looked at."""


def _replayed(before: Iterable[Replay], after: Iterable[Replay]) -> list[tuple[Replay, Replay]]:
    """The reads that were replayed with the same text on both sides and ended on one of them at least."""
    later = {(one.id, one.digest): one for one in after}
    pairs = [(one, later[one.id, one.digest]) for one in before if (one.id, one.digest) in later]
    return [pair for pair in pairs if not (pair[0].late and pair[1].late)]


def slower(before: Iterable[Replay], after: Iterable[Replay]) -> Iterator[str]:
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


def gain(before: Figures, after: Figures, index: str | None) -> Gain | None:
    """What the reads gained whose plan uses the index now (None: any read); of others it is the machine's doing."""
    pairs = _replayed(before.replays, after.replays)
    total = sum(then.calls * then.median_ms for then, _ in pairs)
    if total <= 0:
        return None
    owing = [(then, now) for then, now in pairs if index is None or index in now.indexes]
    gained = sum(then.calls * (then.median_ms - now.median_ms) for then, now in owing)
    improved = sum(
        now.median_ms < FASTER * then.median_ms and (now.high_ms < then.low_ms or then.late) for then, now in owing
    )
    words = f"{improved} of {len(pairs)} replayed reads became faster, all together gained {per_cent(gained / total)}"
    return Gain(gained / total, improved, words)
