"""Which failing checks somebody answers for. A waiver never turns "no data" into anything, and never hides.

What a waiver may not do: outlive its day, hold for more than `MOST_DAYS`, cover all critical findings at once (one by
its id is possible), or cover doubts about the evidence itself (untrusted load, two targets, missing limits).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

from storage.records import GateCheck, GateVerdict, Waiver, WaiverState, WaiverUse

MOST_DAYS = 92
"""A waiver is for a while: a quarter of a year at most, seen from the day of the run."""


def in_force(waivers: Sequence[Waiver], on: date) -> dict[str, Waiver]:
    """The waivers that hold on a day, by what they are for; of several the one that ends last."""
    current = [one for one in waivers if not _refusal(one, on, ())]
    return {one.check: one for one in sorted(current, key=lambda one: one.until)}


def waived(check: GateCheck, current: Mapping[str, Waiver], protected: Collection[str]) -> GateCheck:
    """The check, marked where it fails and somebody answers for it."""
    waiver = current.get(check.id)
    if waiver is None or check.verdict is not GateVerdict.FAIL or check.id in protected:
        return check
    return check.model_copy(update={"waived": said(waiver)})


def said(waiver: Waiver) -> str:
    """Who answers for it, until when, and why."""
    return f"waived by {waiver.owner} until {waiver.until}: {waiver.reason}"


def uses(
    waivers: Sequence[Waiver],
    on: date,
    checks: Sequence[GateCheck],
    findings: Collection[str],
    protected: Collection[str],
) -> tuple[WaiverUse, ...]:
    """What became of each waiver; `findings` are the ids of the critical ones, `protected` checks that have none."""
    verdicts = {check.id: check.verdict for check in checks}
    return tuple(_use(one, on, verdicts, findings, protected) for one in waivers)


def sentence(use: WaiverUse) -> str:
    """The line that every report has of a waiver."""
    return f"Waiver of {use.waiver.check} ({said(use.waiver)}) {use.state.value.replace('_', ' ')}: {use.why}"


def _use(
    one: Waiver,
    on: date,
    verdicts: Mapping[str, GateVerdict],
    findings: Collection[str],
    protected: Collection[str],
) -> WaiverUse:
    if refusal := _refusal(one, on, protected):
        state = WaiverState.EXPIRED if one.until < on else WaiverState.REFUSED
        return WaiverUse(waiver=one, state=state, why=refusal)
    if one.check in findings:
        return WaiverUse(waiver=one, state=WaiverState.HONOURED, why="the finding is there and does not count")
    verdict = verdicts.get(one.check)
    if verdict is GateVerdict.FAIL:
        return WaiverUse(waiver=one, state=WaiverState.HONOURED, why="the check fails and does not count")
    if verdict is GateVerdict.NO_DATA:
        return WaiverUse(waiver=one, state=WaiverState.REFUSED, why="what was not measured cannot be waived")
    why = "the check passes" if verdict else "this run has no such check or critical finding"
    return WaiverUse(waiver=one, state=WaiverState.NOT_NEEDED, why=f"{why}: remove it")


def _refusal(one: Waiver, on: date, protected: Collection[str]) -> str:
    if one.until < on:
        return f"it ended on {one.until}, before the day of the run, {on}"
    if one.until > on + timedelta(days=MOST_DAYS):
        return f"it would hold until {one.until}: more than {MOST_DAYS} days from the run are no waiver"
    if one.check in protected:
        return f"{one.check} cannot be waived"
    return ""
