"""Whether a change stays, by written rules: what was measured before, what after, one verdict with its reasons. Pure.

Two witnesses speak. *Windows* compare each statement's mean time over real work; statements that cannot use the table
are the control group, by whose drift the others are corrected. *Replays* compare the same reads with the same values.
A gain counts where the index can have brought it: the read's plan uses it. A change stays where one witness proves a
gain and neither shows a material regression; docs/database-changes.md tells the rules in words.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.components.database.change import witness_replays, witness_work
from tasks.components.database.change.gain import per_cent
from tasks.components.database.change.records import Figures, Kind, Verdict
from tasks.components.database.change.witness_work import CALLS

DOUBT = 2.0
"""A regression by less than this in one window is doubted where there is a proven gain, and measured once more."""


@dataclass(frozen=True)
class Rules:
    """What an environment asks of a change; see `deployments.changes.ChangeSettings`."""

    min_gain: float = 0.1
    max_wal_growth: float = 0.5
    keep_unproven: bool = False


def decide(kind: Kind, name: str, before: Figures, after: Figures, rules: Rules) -> Verdict:
    """Keep or undo the index `name` that was built or removed between `before` and `after`."""
    slower = witness_work.slower(before.span, after.span)
    worse = [*(words for _, words in slower), *witness_replays.slower(before.replays, after.replays)]
    if kind is Kind.CREATE:
        worse += witness_work.wal_growth(before.span, after.span, rules.max_wal_growth)
    index = name if kind is Kind.CREATE else None
    gains = [
        gain for gain in (witness_work.gain(before, after, index), witness_replays.gain(before, after, index)) if gain
    ]
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
        reasons=(f"too little gain: {per_cent(best or 0.0)} of {per_cent(rules.min_gain)} that are asked for",),
        gain=best,
    )


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
