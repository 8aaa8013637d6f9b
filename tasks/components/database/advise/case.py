"""What every check reasons over: rows, measurements and settings, with the words that findings share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from deployments.config import RunConfig
from storage.records import ComponentId, Finding, Measurement, Threshold
from tasks.components.base import Samples
from tasks.components.database.advise.shape import Shape
from tasks.components.database.measure import Data, index_figures, table_figures

NOT_TESTED = "not what-if tested: planner and run time after the change are unknown"
"""Said of every proposed index that no what-if has tried."""

_PLAIN = re.compile(r"^[a-z_][a-z0-9_$]*$")
_RESERVED = frozenset(
    {
        *(
            "all",
            "analyse",
            "analyze",
            "and",
            "any",
            "array",
            "as",
            "asc",
            "both",
            "case",
            "cast",
            "check",
            "collate",
        ),
        *("column", "constraint", "create", "default", "desc", "distinct", "do", "else", "end", "except", "false"),
        *("fetch", "for", "foreign", "from", "grant", "group", "having", "in", "into", "limit", "not", "null"),
        *("offset", "on", "only", "or", "order", "primary", "references", "select", "some", "table", "then", "to"),
        *("trailing", "true", "union", "unique", "user", "using", "when", "where", "window", "with"),
    }
)
_NAME_BYTES = 63

Row = Mapping[str, Any]
Name = tuple[str, str]
"""Schema and name of a table."""


@dataclass(frozen=True)
class Case:
    """One collection with its measurements."""

    data: Data
    measurements: Sequence[Measurement]
    config: RunConfig

    @classmethod
    def of(cls, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> Case:
        """The case of some samples."""
        return cls(Data.of(samples), measurements, config)

    @cached_property
    def tables(self) -> dict[int, Row]:
        """Tables by oid."""
        return {row["oid"]: row for row in self.data.rows("tables")}

    @cached_property
    def indexes(self) -> list[Row]:
        """All indexes."""
        return list(self.data.rows("indexes"))

    @cached_property
    def by_name(self) -> dict[tuple[str, str], Row]:
        """Tables by schema and name."""
        return {(row["schema"], row["name"]): row for row in self.tables.values()}

    @cached_property
    def columns(self) -> dict[Name, dict[str, Row]]:
        """Columns by table and name; none where they could not be read."""
        found: dict[Name, dict[str, Row]] = {}
        for row in self.data.rows("columns"):
            found.setdefault((row["schema"], row["table"]), {})[row["name"]] = row
        return found

    @cached_property
    def _named(self) -> dict[str, list[Name]]:
        """Tables by their bare name."""
        found: dict[str, list[Name]] = {}
        for one in self.by_name:
            found.setdefault(one[1], []).append(one)
        return found

    def tables_of(self, shape: Shape) -> tuple[tuple[str, Name], ...]:
        """Aliases and tables of a statement; a name without a schema is `public`'s, else the only one so called."""
        found = []
        for alias, (schema, name) in shape.tables:
            named = [(schema, name)] if schema else self._named.get(name, [])
            chosen = ("public", name) if ("public", name) in named else named[0] if len(named) == 1 else None
            if chosen in self.by_name and chosen is not None:
                found.append((alias, chosen))
        return tuple(found)

    def owner(self, shape: Shape, alias: str | None, column: str) -> Name | None:
        """The table of a statement whose column that is; None where it is none of them, or not one alone."""
        found = {
            name
            for known, name in self.tables_of(shape)
            if alias in {None, known, name[1]} and column in self.columns.get(name, {})
        }
        return found.pop() if len(found) == 1 else None

    def rows_of(self, name: Name) -> float:
        """Estimated rows of a table; 0 where it is not known."""
        table = self.by_name.get(name) or {}
        return max(float(table.get("estimated_rows") or 0), float(table.get("live") or 0))

    @cached_property
    def _by_table(self) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = {}
        for row in self.indexes:
            found.setdefault(row["table_oid"], []).append(row)
        return found

    def indexes_of(self, table_oid: int) -> list[Row]:
        """Indexes of one table."""
        return self._by_table.get(table_oid, [])

    @cached_property
    def keys_by_table(self) -> dict[int, list[Row]]:
        """Foreign keys by the table that refers."""
        found: dict[int, list[Row]] = {}
        for row in self.data.rows("foreign_keys"):
            found.setdefault(row["table_oid"], []).append(row)
        return found

    def evidence(self, metrics: Iterable[str], **labels: str) -> tuple[Measurement, ...]:
        """Measurements of these names with exactly these labels, those with a value."""
        wanted = set(metrics)
        return tuple(
            found
            for found in self.measurements
            if found.metric in wanted and dict(found.labels) == labels and found.value is not None
        )

    def of_table(self, row: Row) -> tuple[Measurement, ...]:
        """What was measured of one table's size and use."""
        return tuple(table_figures(self.data, row)) if "oid" in row else ()

    def of_index(self, row: Row) -> tuple[Measurement, ...]:
        """Size and scans of one index."""
        return tuple(index_figures(self.data, row))

    def threshold(self, metric: str) -> Threshold | None:
        """The limits of a metric."""
        return next((found for found in self.config.thresholds if found.metric == metric), None)

    @property
    def since(self) -> str:
        """Since when the server's statistics count, in words."""
        moment = self.data.facts.get("statistics_since")
        return f"{moment[:16].replace('T', ' ')} UTC" if moment else "the statistics began (they were never reset)"


def qualified(row: Row) -> str:
    """`schema.name` as measurements and findings call it."""
    return f"{row['schema']}.{row['name']}"


def ident(name: str) -> str:
    """A name as SQL: quoted only where it must be."""
    if _PLAIN.match(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def relation(schema: str, name: str) -> str:
    """`schema.name` as SQL."""
    return f"{ident(schema)}.{ident(name)}"


def index_name(table: str, columns: Iterable[str], taken: Iterable[str]) -> str:
    """A free name for a new index, as PostgreSQL forms it: table, columns, `idx`."""
    names, number = set(taken), 0
    while True:
        suffix = "_idx" + (str(number) if number else "")
        stem = "_".join([table, *(re.sub(r"\W+", "", column) for column in columns)])
        name = stem.encode()[: _NAME_BYTES - len(suffix)].decode(errors="ignore") + suffix
        if name not in names:
            return name
        number += 1


def size_words(number: float | None) -> str:
    """Bytes for a person."""
    if number is None:
        return "unknown size"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1024:  # noqa: PLR2004 - the next unit
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"


def drop_index(row: Row) -> str:
    """The command that removes an index without blocking writers."""
    return f"DROP INDEX CONCURRENTLY {relation(row['schema'], row['name'])};"


def recreate_index(row: Row) -> str:
    """The command that brings a removed index back."""
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX) ", r"\1 CONCURRENTLY ", row["definition"]) + ";"


def locks(case: Case, pid: int) -> str:
    """Tables that a session was seen to hold locks on, in words."""
    held = sorted({f"{row['relation']} ({row['mode']})" for row in case.data.rows("locks") if row["pid"] == pid})
    return f" It holds locks on {', '.join(held[:8])}." if held else ""


finding = partial(Finding.of, ComponentId.DATABASE)
"""A finding of the database."""
