"""Rows of test data for journeys, from a CSV file or a list: in order, at random, or each row once."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from storage.errors import NotMeasuredError

Mode = Literal["sequential", "random", "once"]
"""`sequential` from the first row on, and again from the start; `random` with repetition; `once` each row once, then
no further journey begins."""

MODES = ("sequential", "random", "once")


class UsedUpError(Exception):
    """Every row of a feeder whose rows serve once has been drawn: it ends its journey, which is no failure."""


class Feeder:
    """Rows to draw; several processes of one load never draw the same row of a `sequential` or `once` feeder.

    `name` is what messages call it.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], mode: Mode, name: str) -> None:
        if mode not in MODES:
            raise NotMeasuredError(f"{name}: mode {mode!r} is unknown: use {', '.join(MODES)}")
        if not rows:
            raise NotMeasuredError(f"{name} has no rows: a journey needs one")
        self.rows = rows
        self.mode = mode
        self.name = name
        self._next = 0
        self._step = 1

    def share(self, number: int, of: int) -> None:
        """Draw as share `number` of `of` processes: every `of`-th row, from row `number` on."""
        if self.mode != "random" and of > len(self.rows):
            raise NotMeasuredError(f"{self.name} has {len(self.rows)} rows for {of} shards: each needs one")
        self._next, self._step = number, of
        self._first = number

    _first = 0

    def draw(self, rng: random.Random) -> Mapping[str, Any]:
        """The next row; `UsedUpError` where there is none."""
        if self.mode == "random":
            return self.rows[rng.randrange(len(self.rows))]
        if self._next >= len(self.rows):
            if self.mode == "once":
                raise UsedUpError(f"every row of {self.name} was used")
            self._next = self._first
        row = self.rows[self._next]
        self._next += self._step
        return row


def from_csv(path: str | Path, mode: Mode = "sequential") -> Feeder:
    """Rows of a CSV file whose first line names the columns; a relative path begins at the scenario's own folder.

    `NotMeasuredError` where the file cannot be read, or a row has not as many fields as the first line.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NotMeasuredError(f"the data file {path} cannot be read: {error}") from None
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise NotMeasuredError(f"the data file {path}: row {number} has not as many fields as the header row")
    return Feeder(rows, mode, f"the data file {path}")


def from_rows(rows: Sequence[Mapping[str, Any]], mode: Mode = "sequential") -> Feeder:
    """Rows of a list."""
    return Feeder(list(rows), mode, "a list of rows")
