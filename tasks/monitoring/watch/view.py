"""The watch on a terminal: a table that renews itself, and below it what happened; without a TTY a line now and then.

No figure stands without its unit, its samples and the limit that it is held against; what is not measured says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from storage.records import Threshold
from tasks.monitoring.watch.alarm import Alarm
from tasks.monitoring.watch.board import Board, Known, Target
from tasks.monitoring.watch.rules import PARTS
from tasks.report.figures import figure, seconds
from tasks.report.text import ascii_text, one_line, shorten

RENEW_S = 2.0
PLAIN_EVERY_S = 30.0
_LINES = 8
_COLOURS = {"critical": "bold red", "warning": "yellow", "ok": "green", "down": "bold red", "pending": "yellow"}


class View:
    """Shows a board; `say` adds a line, from any thread."""

    def __init__(
        self, board: Board, alarm: Alarm, thresholds: Sequence[Threshold], console: Console | None = None
    ) -> None:
        self._board, self._alarm = board, alarm
        self._thresholds = thresholds
        self._console = console or Console(stderr=True, highlight=False)
        self._unicode = self._console.encoding.startswith("utf")
        self._overflow: Literal["ellipsis", "crop"] = "ellipsis" if self._unicode else "crop"
        self._lines: list[tuple[str, str]] = []
        self._live: Live | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._renew, name="watch-view", daemon=True)

    @property
    def live(self) -> bool:
        """Whether there is a table that someone sees."""
        return self._live is not None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self._screen(), console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._live is not None:
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """One line with the time of day in UTC."""
        line = f"{datetime.now(UTC):%H:%M:%S} {one_line(text)}"
        with self._lock:
            if self._live is None:
                self._console.print(Text(line if self._unicode else ascii_text(line)), soft_wrap=True)
                return
            self._lines = [*self._lines, (line, _COLOURS.get(style, ""))][-_LINES:]

    def _renew(self) -> None:
        every = RENEW_S if self._live is not None else PLAIN_EVERY_S
        while not self._stop.wait(every):
            if self._live is not None:
                self._live.update(self._screen(), refresh=True)
            else:
                self.say(self.plain())

    def plain(self) -> str:
        """Everything in one line: targets, metrics, alerts."""
        now = time.monotonic()
        down = [PARTS[name] for name, one in self._board.targets().items() if one.answers(now) is False]
        parts = [f"{metric} {value}" for metric, value, _, _ in self._rows() if value]
        parts += [f"no answer: {', '.join(down)}"] if down else []
        firing = self._alarm.firing
        return " · ".join([*parts, f"firing: {', '.join(firing)}" if firing else "no alert"])

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Metric, value, samples and window, limits; the value is empty where nothing was measured."""
        known = self._board.known()
        for threshold in self._thresholds:
            if (found := known.get(threshold.metric)) is not None:
                yield threshold.metric, *_cells(threshold, found)

    def _text(self, text: str, style: str = "") -> Text:
        """Text that this terminal can show."""
        plain = text if self._unicode else ascii_text(text)
        return Text(plain, style=style, no_wrap=True, overflow=self._overflow)

    def _screen(self) -> Group:
        now = time.monotonic()
        targets = Text("  ").join(self._text(*_target(one, now)) for one in self._board.targets().values())
        table = Table(box=None, pad_edge=False)
        for title, right in (("metric", False), ("now", True), ("samples", True), ("alert", False), ("", False)):
            justify: Literal["left", "right"] = "right" if right else "left"
            table.add_column(title, justify=justify, no_wrap=True, overflow=self._overflow)
        states = self._states()
        for metric, value, evidence, limits in self._rows():
            state = states.get(metric, "ok" if limits and value else "")
            table.add_row(
                metric, value or "not measured", evidence, limits, Text(state, style=_COLOURS.get(state, ""))
            )
        with self._lock:
            lines = [Text(line, style=style, no_wrap=True, overflow="ellipsis") for line, style in self._lines]
        return Group(targets, table, *lines)

    def _states(self) -> dict[str, str]:
        """How each metric's worst rule stands."""
        found: dict[str, str] = {}
        for rule in reversed(self._alarm.rules):
            if rule.threshold is None:
                continue
            if rule.name in self._alarm.firing:
                found[rule.threshold.metric] = rule.severity
            elif self._alarm.pending(rule.name):
                found.setdefault(rule.threshold.metric, "pending")
        return found


def _cells(threshold: Threshold, found: Known) -> tuple[str, str, str]:
    measurement = found.measurement
    over = "" if measurement.window is None else f" in {seconds(measurement.window.seconds)}"
    limits = [
        f"{'>' if above else '<'} {figure(level.limit, threshold.unit)}" for _, level, above in threshold.alerts
    ]
    if measurement.value is None:
        return "", shorten(measurement.note.removeprefix("no data: "), 60), " or ".join(limits)
    return figure(measurement.value, threshold.unit), f"n = {measurement.n}{over}", " or ".join(limits)


def _target(one: Target, now: float) -> tuple[str, str]:
    """A target in a few words, and their colour."""
    state = {True: "ok", False: "down", None: ""}[one.answers(now)]
    sign = {"ok": "✓", "down": "✗"}.get(state, "?")
    since = f" {seconds(round(now - one.since))}" if state == "down" else ""
    return f"{sign} {one.name}{since}", _COLOURS.get(state, "")
