"""The stored tables as rows, and how a measurement over the window is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.records import Measurement, Unit, Window
from tasks.components.base import Samples
from tasks.components.database.schemas import SCHEMAS

CACHE_BLOCKS = 100
"""Fewer blocks tell nothing of a cache."""

_SIZE = re.compile(r"(\d+)(B|kB|MB|GB|TB)")
_UNITS = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_TIME = re.compile(r"(\d+)(us|ms|s|min|h|d)?")
_TIMES = {"us": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6, "d": 8.64e7}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Data:
    """The stored tables as rows, the facts as a mapping, and the window."""

    samples: Samples
    window: Window
    facts: Mapping[str, str]
    _read: dict[str, Rows] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, samples: Samples) -> Data:
        """Take the facts out of the samples."""
        facts = {row["name"]: row["value"] for row in _rows(samples, "facts")}
        return cls(samples, samples.collected.window, facts)

    def rows(self, name: str) -> Rows:
        """Rows of one table, to be read and not changed; none where it was not collected."""
        if name not in self._read:
            self._read[name] = _rows(self.samples, name)
        return self._read[name]

    def number(self, name: str) -> float | None:
        """A fact as a number, None where it is unknown."""
        try:
            return float(self.facts.get(name, ""))
        except ValueError:
            return None

    def bytes(self, name: str) -> float | None:
        """A setting of memory or of WAL in bytes; None where it is unknown, or no size ("-1")."""
        found = _SIZE.fullmatch(self.facts.get(name, ""))
        return float(found[1]) * _UNITS[found[2]] if found else None

    def milliseconds(self, name: str) -> float | None:
        """A setting of time in milliseconds; None where it is unknown."""
        found = _TIME.fullmatch(self.facts.get(name, ""))
        return float(found[1]) * _TIMES[found[2] or "ms"] if found else None

    def delta(self, name: str) -> float | None:
        """What a counter of the server added within the window; None where it could not be read at both ends."""
        return next((row["delta"] for row in self.rows("counters") if row["name"] == name), None)

    def measurement(
        self, metric: str, value: float | None, unit: Unit, n: int, source: str, **other: Any
    ) -> Measurement:
        """A measurement over the window."""
        return Measurement(metric=metric, value=value, unit=unit, n=n, source=source, window=self.window, **other)


def _rows(samples: Samples, name: str) -> Rows:
    """Rows of a stored table; a column that its version did not have yet is null."""
    table = samples.tables.get(name)
    if table is None:
        return []
    later = dict.fromkeys(SCHEMAS[name].names) if name in SCHEMAS else {}
    return [{**later, **row} for row in table.to_pylist()]


def none(data: Data, metric: str, unit: Unit, source: str, note: str) -> Measurement:
    """The plain statement that a metric was not measured, and why."""
    return data.measurement(metric, None, unit, 0, source, note=note)
