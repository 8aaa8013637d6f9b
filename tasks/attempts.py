"""Keeps one record for each go at measuring a run: when it was, and which target it found before and after."""

from __future__ import annotations

from datetime import UTC, datetime

from deployments.config import RunConfig, Target
from storage.records import Attempt
from storage.runs import RunFolder
from tasks.identity import identify


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


def end(folder: RunFolder, config: RunConfig, target: Target, number: int) -> None:
    """Note which target is there now that attempt `number` has measured."""
    attempt = numbered(folder, number)
    if attempt:
        identity, notes = identify(config, target)
        said = (*attempt.notes, *_said(notes, "after"))
        folder.write_attempt(attempt.model_copy(update={"identity_after": identity, "notes": said}))


def judged(folder: RunFolder) -> tuple[Attempt, ...]:
    """Every attempt, the last one with the moment of its first judgement."""
    attempts = folder.attempts()
    if not attempts or attempts[-1].judged:
        return attempts
    last = attempts[-1].model_copy(update={"judged": datetime.now(UTC)})
    folder.write_attempt(last)
    return (*attempts[:-1], last)


def numbered(folder: RunFolder, number: int) -> Attempt | None:
    """The record of one attempt, if there is one."""
    return next((attempt for attempt in folder.attempts() if attempt.number == number), None)


def _said(notes: tuple[str, ...], when: str) -> tuple[str, ...]:
    return tuple(f"{when} measuring, {note}" for note in notes)
