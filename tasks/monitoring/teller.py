"""Tells who waits for a run elsewhere how it goes, on standard error."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from tasks.monitoring.live import PLAIN_EVERY_S
from tasks.report.text import one_line, shorten


class Teller:
    """Says on standard error how a run goes: on a terminal in a line of its own, else a plain line every 10 s."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._status: Status | None = None
        self._state = ""
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("waiting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def say(self, text: str) -> None:
        """One line that stays, with the time."""
        self._console.print(f"{datetime.now(UTC):%H:%M:%S} {one_line(text)}")

    def state(self, state: str) -> None:
        """Say in which state the run is, where that is another one than before."""
        if state != self._state:
            self._state = state
            self.say(state)

    def progress(self, text: str) -> None:
        """Show how far the run is."""
        if self._status:
            self._status.update(shorten(text, 200))
        elif time.monotonic() - self._told >= PLAIN_EVERY_S:
            self._told = time.monotonic()
            self.say(text)
