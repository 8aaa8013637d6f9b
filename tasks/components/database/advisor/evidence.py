"""Recommendations with all that speaks for them, as they are printed. No values of the database are in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.components.database.advisor.catalog import Catalog, Existing, Table
from tasks.components.database.advisor.records import OWN_PREFIX, quoted


@dataclass(frozen=True, slots=True)
class Effect:
    """What indexes do to one statement: planner's cost, and milliseconds measured on a copy (None: not run)."""

    statement: str
    text: str
    calls: float
    mean_ms: float
    cost_before: float
    cost_after: float
    measured_before_ms: float | None = None
    measured_after_ms: float | None = None

    @property
    def factor(self) -> float:
        """How many times faster, by the clock where it was timed."""
        if self.measured_before_ms and self.measured_after_ms:
            return self.measured_before_ms / self.measured_after_ms
        return self.cost_before / self.cost_after if self.cost_after else 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why, how large, how sure."""

    table: str
    reason: str
    helps: tuple[Effect, ...]
    hurts: tuple[Effect, ...]
    plans: tuple[str, ...]
    bytes: int
    size_is: str
    wal_growth: float
    slows: dict[str, float]
    tested: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One change: `sql` makes it, `drop` undoes it."""

    sql: str
    drop: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Redundant:
    """An index that nobody needs: `sql` drops it, `undo` brings it back."""

    sql: str
    undo: str
    reason: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Advice:
    """All recommendations, the best first, and what the advice stands on."""

    recommendations: tuple[Recommendation, ...]
    redundant: tuple[Redundant, ...] = ()
    statements: int = 0
    planned: int = 0
    not_planned: dict[str, str] = field(default_factory=dict)
    not_kept: dict[str, str] = field(default_factory=dict)
    how: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `hasivu-perf advise --json` prints it."""
        return asdict(self)


def redundant(catalog: Catalog) -> list[Redundant]:
    """Indexes that another one contains; never one that is unique, a constraint's, or a replica identity."""
    return [found for table in catalog.tables.values() for one in table.indexes for found in _redundant(one, table)]


def _redundant(one: Existing, table: Table) -> list[Redundant]:
    if one.unique or one.constraint or not one.valid:
        return []
    for other in table.indexes:
        if other is one or not other.valid or other.method != one.method or other.predicate != one.predicate:
            continue
        begins = other.keys[: len(one.keys)] == one.keys
        covers = set(one.included) <= {*other.included, *other.keys}
        same = begins and len(other.keys) == len(one.keys) and set(other.included) == set(one.included)
        if not begins or not covers or one.method not in {"btree", "hash"}:
            continue
        if same and not (other.unique or other.constraint) and (other.bytes, other.name) > (one.bytes, one.name):
            continue  # of two twins the later one by name goes
        what = "the same as" if same else "the beginning of"
        return [
            Redundant(
                f"DROP INDEX CONCURRENTLY {quoted(table.schema)}.{quoted(one.name)}",
                one.definition.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1),
                f"{one.name} is {what} {other.name}",
                one.bytes,
            )
        ]
    return []


def own(name: str) -> bool:
    """Whether an index is one of this project's."""
    return name.startswith(OWN_PREFIX)
