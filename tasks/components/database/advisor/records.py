"""What the parts of the advisor hand to each other: indexes that could be, plans, and how a what-if is asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from postgast import scan

OWN_PREFIX = "hasivu_perf_"
"""How the name of every index of this project begins: nothing else is ever dropped."""

_NAME_BYTES = 63
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_UNRESERVED = 1
"""libpg_query's keyword_kind: 0 no keyword, 1 one that may be a name; names need quotation marks from 2 on."""


class PlanError(Exception):
    """A statement or an index that the planner does not take; the text is one line without values."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an index: an expression, or the `column` that it is; `nulls_first` None is the order's default."""

    expression: str
    column: str | None = None
    descending: bool = False
    nulls_first: bool | None = None
    opclass: str | None = None

    @property
    def sql(self) -> str:
        """The key as CREATE INDEX takes it."""
        text = quoted(self.column) if self.column is not None else f"({self.expression})"
        text += f" {self.opclass}" if self.opclass else ""
        text += " DESC" if self.descending else ""
        if self.nulls_first is not None:
            text += " NULLS FIRST" if self.nulls_first else " NULLS LAST"
        return text


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is, or could be."""

    schema: str
    table: str
    keys: tuple[Key, ...]
    include: tuple[str, ...] = ()
    method: str = "btree"
    predicate: str | None = None
    unique: bool = False

    def definition(self, name: str | None = None, *, concurrently: bool = False) -> str:
        """The CREATE INDEX statement; `name` instead of its own."""
        words = ["CREATE", "UNIQUE INDEX" if self.unique else "INDEX"]
        words += ["CONCURRENTLY"] if concurrently else []
        words += [quoted(name or self.name), "ON", f"{quoted(self.schema)}.{quoted(self.table)}"]
        words += ["USING", self.method, f"({', '.join(key.sql for key in self.keys)})"]
        words += [f"INCLUDE ({', '.join(quoted(column) for column in self.include)})"] if self.include else []
        words += [f"WHERE {self.predicate}"] if self.predicate else []
        return " ".join(words)

    @property
    def columns(self) -> tuple[str | None, ...]:
        """The columns of the keys; None stands for an expression."""
        return tuple(key.column for key in self.keys)

    @property
    def name(self) -> str:
        """A name that follows from what the index is: the same index has the same name everywhere."""
        parts = (self.schema, self.table, self.keys, self.include, self.method, self.predicate, self.unique)
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
        columns = [key.column or "expr" for key in self.keys]
        readable = re.sub(r"[^a-z0-9]+", "_", "_".join([self.table, *columns]).lower())
        return f"{OWN_PREFIX}{readable[: _NAME_BYTES - len(OWN_PREFIX) - len(digest) - 1]}_{digest}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan by EXPLAIN: its cost in the planner's unit, its tree, and the names of the indexes that it uses."""

    cost: float
    root: Mapping[str, Any]
    indexes: frozenset[str]


class WhatIf(Protocol):
    """Plans statements as if indexes existed or did not; one session, many questions."""

    how: str
    """What answered, as evidence shows it: "planner twin", "HypoPG"."""

    def plan(self, text: str, *, hidden: Collection[str] = ()) -> Plan:
        """Plan one statement with every added index and without those named in `hidden`; raises PlanError."""

    def types(self, text: str) -> list[str]:
        """The types of a text's parameters, by number; raises PlanError."""

    def add(self, index: Index) -> int:
        """Make the index exist for the planner and return its estimated bytes; raises PlanError."""

    def remove(self, index: Index) -> None:
        """Forget an added index."""


@lru_cache(maxsize=4096)
def quoted(name: str) -> str:
    """A name as an SQL identifier, in quotation marks where it needs them: keywords do (`order`, `user`)."""
    plain = _PLAIN.fullmatch(name) is not None and scan(name).tokens[0].keyword_kind <= _UNRESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'
