"""The application's reads of the window with their shapes, and the words that all findings on them share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding
from tasks.components.database.advise.shape import Shape, shape
from tasks.components.database.measure import statement_figures
from tasks.components.database.statements import label

HIGH_SHARE, MEDIUM_SHARE = 0.20, 0.05
"""Shares of the database time of the window from which a rewrite weighs."""

MOST_STATEMENTS = 300
"""Statements that are looked at, those that took the most time first."""

BUSY_SHARE = 0.01
"""Of one processor over the window: below that nothing is won."""


@dataclass(frozen=True)
class Reading:
    """One SELECT of the application: its row of `statements`, its shape, and its share of the time."""

    row: Row
    shape: Shape
    share: float

    @property
    def calls(self) -> int:
        """Calls within the window."""
        return int(self.row["calls"])

    @property
    def mean_ms(self) -> float:
        """Milliseconds a call."""
        return float(self.row["total_ms"]) / self.calls

    @property
    def rows_a_call(self) -> float:
        """Rows that a call returned."""
        return float(self.row["rows"]) / self.calls

    @property
    def blocks_a_call(self) -> float:
        """Blocks of 8 kB that a call asked for."""
        return float(self.row["blocks_hit"] + self.row["blocks_read"]) / self.calls

    @property
    def name(self) -> str:
        """How measurements call it."""
        return label(self.row["queryid"], self.row["text"])

    @property
    def cost(self) -> str:
        """What it cost, for a sentence."""
        return (
            f"{self.calls} calls took {self.row['total_ms']:.0f} ms ({self.share:.0%} of the database time of the "
            f"window), {self.rows_a_call:,.1f} rows and {self.blocks_a_call:,.0f} blocks a call"
        )


def readings(case: Case) -> Iterator[Reading]:
    """SELECTs that the application sent within the window, those of the most time first."""
    rows = [row for row in case.data.rows("statements") if not row["own"] and row["calls"] > 0]
    total = sum(row["total_ms"] for row in rows)
    for row in rows[:MOST_STATEMENTS]:
        found = shape(row["text"]) if row["text"] else None
        if found is not None and case.tables_of(found):
            yield Reading(row, found, row["total_ms"] / total if total else 0.0)


def weight(case: Case, reading: Reading) -> Level:
    """By its mean against the limits of a read, and by its share of the time where that keeps the server busy."""
    limits = case.threshold("database.query.p95")
    slow = limits is not None and reading.mean_ms > limits.fair
    busy = reading.row["total_ms"] >= BUSY_SHARE * 1000 * case.data.window.seconds
    if reading.share >= HIGH_SHARE and slow:
        return Level.HIGH
    return Level.MEDIUM if slow or (busy and reading.share >= MEDIUM_SHARE) else Level.LOW


def evidence(case: Case, *found: Reading) -> tuple[Measurement, ...]:
    """Calls, total and mean of some statements."""
    return tuple(one for reading in found for one in statement_figures(case.data, reading.row))


def rewrite(
    case: Case, kind: str, reading: Reading, *, title: str, detail: str, summary: str, impact: Level | None = None
) -> Finding:
    """A finding on one statement: the remedy is a change of the application, so it has no command to run here."""
    weighs = impact or weight(case, reading)
    return finding(
        kind,
        reading.row["queryid"],
        title=title,
        detail=f"{detail} {reading.cost}. Role: {reading.row['user'] or 'unknown'}. Statement: {reading.name}.",
        severity=Severity.INFO if weighs is Level.LOW else Severity.WARNING,
        impact=weighs,
        effort=Level.MEDIUM,
        evidence=evidence(case, reading),
        remedy=Remedy(summary=summary),
    )
