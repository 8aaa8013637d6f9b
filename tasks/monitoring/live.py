"""The live view of a run on standard error: one row per component on a terminal, else a plain line every 10 s."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deployments.config import RunConfig
from storage.records import ComponentId
from tasks.load.search import search_plan
from tasks.progress import Progress
from tasks.report.text import one_line

PLAIN_EVERY_S = 10.0
_SEARCH = 0.25
_TITLES = ("component", "elapsed", "rate", "p95", "failed", "")
_NARROW = 56


class LiveView:
    """Shows the latest sign of life of each component; call it with each `Progress`, from any thread."""

    def __init__(self, components: Sequence[str], console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._latest: dict[str, Progress | None] = dict.fromkeys(components)
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """One line of its own, beside the rows."""
        self._console.print(Text(one_line(text)), soft_wrap=True)

    def __call__(self, progress: Progress) -> None:
        """Take one sign of life."""
        with self._lock:
            self._latest[progress.component] = progress
            if self._live:
                self._live.update(self._table())
            elif time.monotonic() - self._told >= PLAIN_EVERY_S:
                self._told = time.monotonic()
                self.say("  ".join(plain(one) for one in self._latest.values() if one))

    def _table(self) -> Table:
        """Columns that fit whole, for half a figure would be another one; what is told last takes the rest."""
        titles = _TITLES if self._console.width >= _NARROW else ("component", "elapsed", "p95")
        table = Table(box=None, pad_edge=False, expand=True)
        for title in titles:
            justify: Literal["left", "right"] = "left" if title in ("component", "") else "right"
            table.add_column(title, justify=justify, no_wrap=True, overflow="crop", ratio=None if title else 1)
        for component, one in self._latest.items():
            cells = dict(
                zip(_TITLES, (component, *(_cells(one) if one else ("waiting", "", "", "", ""))), strict=True)
            )
            table.add_row(*(Text(one_line(cells[title])) for title in titles))  # text, in which no markup is read
        return table


def _cells(one: Progress) -> tuple[str, str, str, str, str]:
    return (
        f"{one.elapsed_s:.0f}/{one.total_s:.0f} s",
        "" if one.rate is None else f"{one.rate:.0f}/s",
        "" if one.p95_ms is None else f"{one.p95_ms:.1f} ms",
        "" if one.failed is None else str(one.failed),
        one.message,
    )


def told(parts: dict[str, str]) -> Callable[[Progress], None]:
    """A watcher that keeps the latest sign of life of each component in `parts`, as a few words."""

    def keep(one: Progress) -> None:
        parts[one.component] = plain(one)

    return keep


def planned_seconds(config: RunConfig) -> float:
    """About how long a run measures: its load, and after it the searches of readers and API."""
    load = config.environment.load
    readers = _SEARCH * load.duration_s if ComponentId.RFID in config.components else 0.0
    asked = load.search if ComponentId.API in config.components else None
    return load.duration_s + readers + (0.0 if asked is None else search_plan(asked, load).seconds)


def plain(one: Progress) -> str:
    """One component in a few words: `api 20/60 s 10/s p95 31.2 ms`."""
    elapsed, rate, p95, failed, _ = _cells(one)
    words = [one.component, elapsed, rate, f"p95 {p95}" if p95 else "", f"{failed} failed" if one.failed else ""]
    return " ".join(word for word in words if word)


def to_terminal(text: str) -> None:
    """The answer, on standard output."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()
