"""Keeps one record for each go at measuring a run: when it was, and which target it found before and after."""

from __future__ import annotations

from datetime import datetime

from deployments.config import RunConfig, Target
from storage.clock import Clock, current_clock
from storage.records import Attempt
from storage.runs import RunFolder
from tasks.identity import identify

SLEWED_S = 1.0
"""A clock that is this far from where it began was set, not slewed: NTP slews by 0.5 ms a second at most."""


def begin(
    folder: RunFolder,
    config: RunConfig,
    target: Target,
    number: int,
    *,
    opened: datetime,
    waited_s: float,
    flow_run: str | None = None,
) -> None:
    """Note that attempt `number`, whose flow began at `opened` and queued for `waited_s`, starts to measure."""
    identity, notes = identify(config, target)
    attempt = Attempt(number=number, flow_run=flow_run, opened=opened, waited_s=waited_s, identity=identity)
    folder.write_attempt(attempt.model_copy(update={"notes": _said(notes, "before")}))


def end(folder: RunFolder, config: RunConfig, target: Target, number: int, clock: Clock) -> None:
    """Note which target is there now that attempt `number`, which began with `clock`, has measured."""
    attempt = numbered(folder, number)
    if attempt:
        identity, notes = identify(config, target)
        said = (*attempt.notes, *_said(notes, "after"), *_clock_set(clock))
        folder.write_attempt(attempt.model_copy(update={"identity_after": identity, "notes": said}))


def judged(folder: RunFolder) -> tuple[Attempt, ...]:
    """Every attempt, the last one with the moment of its first judgement."""
    attempts = folder.attempts()
    if not attempts or attempts[-1].judged:
        return attempts
    last = attempts[-1].model_copy(update={"judged": current_clock().now()})
    folder.write_attempt(last)
    return (*attempts[:-1], last)


def numbered(folder: RunFolder, number: int) -> Attempt | None:
    """The record of one attempt, if there is one."""
    return next((attempt for attempt in folder.attempts() if attempt.number == number), None)


def _clock_set(clock: Clock) -> list[str]:
    seconds = clock.set_by().total_seconds()
    if abs(seconds) < SLEWED_S:
        return []
    told = "the times of this run go on from its start, those that servers tell may differ"
    return [f"while measuring, the clock of this machine was set by {seconds:+.0f} s: {told}"]


def _said(notes: tuple[str, ...], when: str) -> tuple[str, ...]:
    return tuple(f"{when} measuring, {note}" for note in notes)
