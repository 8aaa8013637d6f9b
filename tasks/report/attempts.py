"""What each attempt at a run took, and what it found: the words that every rendering shows of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from storage.records import Attempt, MeasuredComponent, Report, Window
from tasks.report.figures import seconds
from tasks.report.tables import pairs
from tasks.report.words import title_list


@dataclass(frozen=True)
class Go:
    """One attempt in words: its number, what it measured, its times, and the target that it found."""

    number: str
    measured: str
    times: str
    target: str


def orchestration_s(attempt: Attempt, results: Iterable[MeasuredComponent]) -> float | None:
    """Seconds from the start of an attempt to its judgement that were neither measuring nor waiting for others.

    None where the attempt was never judged.
    """
    if attempt.judged is None:
        return None
    whole = (attempt.judged - attempt.opened).total_seconds()
    return max(0.0, whole - attempt.waited_s - measuring_s(attempt, results))


def measuring_s(attempt: Attempt, results: Iterable[MeasuredComponent]) -> float:
    """Seconds of an attempt in which at least one component was measured.

    What AWS kept of the days before counts only as far as it lies within the attempt, after its time in the queue.
    """
    began = attempt.opened + timedelta(seconds=attempt.waited_s)
    own = [result.collected.window for result in results if result.attempt == attempt.number]
    clipped = [Window(start=max(one.start, began), end=one.end) for one in own if one.end > began]
    return covered_s(clipped)


def covered_s(windows: Sequence[Window]) -> float:
    """Seconds that lie in at least one of the windows."""
    total, end = 0.0, None
    for window in sorted(windows, key=lambda one: one.start):
        start = window.start if end is None else max(window.start, end)
        if window.end > start:
            total += (window.end - start).total_seconds()
            end = window.end
    return total


def goes(report: Report) -> tuple[Go, ...]:
    """Every attempt of a run, the first one first."""
    results = [result for result in report.components if result.status == "measured"]
    return tuple(_go(attempt, results) for attempt in report.attempts)


def _go(attempt: Attempt, results: Sequence[MeasuredComponent]) -> Go:
    own = [result for result in results if result.attempt == attempt.number]
    cost = orchestration_s(attempt, own)
    measuring = measuring_s(attempt, own)
    waited = f", {seconds(attempt.waited_s)} of waiting for the environment" if attempt.waited_s >= 1 else ""
    times = (
        "ended without a judgement"
        if cost is None
        else f"{seconds(measuring)} of measuring, {seconds(cost)} of orchestration{waited}"
    )
    return Go(
        number=str(attempt.number),
        measured=title_list([result.component for result in own]) if own else "nothing that counts",
        times=f"{attempt.opened:%Y-%m-%d %H:%M:%S} UTC: {times}",
        target=pairs(attempt.identity) if attempt.identity else "did not say which build it is",
    )
