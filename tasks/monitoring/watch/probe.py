"""What a probe is, and the thread that asks it at its pace for as long as the watch lives.

A target that does not answer is asked again every few seconds, whatever its pace: what is back is seen within
`RETRY_S` and the time of a look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from storage.errors import NotMeasuredError
from storage.records import Measurement, Window
from tasks.monitoring.watch.board import Board

RETRY_S = 5.0
"""Seconds between two looks at a target that does not answer, at most."""

GRACE_S = 2.0
"""A look that takes so much longer than its probe says hangs."""

Figures = Mapping[str, Mapping[tuple[str, ...], float]]


@dataclass(frozen=True)
class Looked:
    """What one look found; `problem` is why the target did not answer, empty where it did."""

    measurements: Sequence[Measurement] = ()
    figures: Figures = field(default_factory=dict)
    problem: str = ""


class Probe(Protocol):
    """Looks at one target. A look that raises `NotMeasuredError` found no answer."""

    @property
    def target(self) -> str:
        """Whom it looks at."""

    @property
    def every_s(self) -> float:
        """Seconds between two looks."""

    @property
    def limit_s(self) -> float:
        """How long a look may take."""

    def look(self, now: float) -> Looked:
        """Look once, at `now` in monotonic seconds."""

    def back(self) -> None:
        """The target answers again: what was gathered before the outage does not count any more."""

    def close(self) -> None:
        """Close what is open; a look that runs in another thread is woken by it or by its own limit."""


class Runner:
    """The thread of one probe."""

    def __init__(self, probe: Probe, board: Board, describe: Callable[[BaseException], str]) -> None:
        self.probe = probe
        self.error: str = ""
        """Why it ended by a mistake of its own; empty while it did not."""
        self._board = board
        self._describe = describe
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{probe.target}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns at once."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait until the look of this moment has ended, for so long at most."""
        self._thread.join(seconds)

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                up = self._look(time.monotonic())
                every = self.probe.every_s if up else min(self.probe.every_s, RETRY_S)
                due = max(due + every, time.monotonic())
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to: `Watch.wait` does it
            self.error = self._describe(error)
        finally:
            self.probe.close()

    def _look(self, now: float) -> bool:
        """One look; whether the target answered."""
        self._board.begins(self.probe.target, now + self.probe.limit_s + GRACE_S)
        try:
            looked = self.probe.look(now)
        except NotMeasuredError as error:
            looked = Looked(problem=str(error))
        self._board.put(looked.measurements)
        self._board.show(looked.figures)
        if self._board.ended(self.probe.target, looked.problem):
            self.probe.back()
        return not looked.problem


def window(seconds: float) -> Window:
    """The last so many seconds."""
    end = datetime.now(UTC)
    return Window(start=end - timedelta(seconds=seconds), end=end)
