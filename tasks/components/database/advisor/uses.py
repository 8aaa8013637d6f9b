"""What a statement asks of tables: the records that `advisor.statement` fills. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.components.database.advisor.catalog import Table

ANY = "= any"
"""The operator of a parameter that is an array of values, of which a column equals one."""

EQUAL = frozenset({"="})
RANGES = frozenset({"<", "<=", ">", ">="})
CONTAINS = frozenset({"@>", "?", "?|", "?&", "&&", "@@", "@?"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a `$n` is compared with: a column and the operator that stands between ("=", "<", ">", "~~" …)."""

    table: Table
    column: str
    operator: str
    expression: str | None = None
    """Where not the column itself is compared but an expression of it, e.g. lower(email): that."""


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of an ORDER BY; `nulls_first` None is the order's default."""

    column: str
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(slots=True)
class Use:
    """What one query block asks of one table.

    `equal` maps columns that equal something known before the table is read to that as SQL where it is a literal
    (None otherwise); `joined` are columns that equal a column of another relation; `listed` equal one of several
    values; `contains` are columns under @>, &&, @@ and their like; `expressions` maps expressions that are filtered
    to "=" or "<". `sorts` is filled where the whole order is of this table, `groups` likewise. `either` holds columns
    filtered within an OR. `selected` are columns that the block needs, `star` marks all of them; `assigned` are those
    that an UPDATE sets.
    """

    table: Table
    equal: dict[str, str | None] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    joined: set[str] = field(default_factory=set)
    ranged: set[str] = field(default_factory=set)
    prefixed: set[str] = field(default_factory=set)
    infixed: set[str] = field(default_factory=set)
    contains: dict[str, str] = field(default_factory=dict)
    either: set[str] = field(default_factory=set)
    nulls: dict[str, str] = field(default_factory=dict)
    expressions: dict[str, str] = field(default_factory=dict)
    sorts: tuple[Sort, ...] = ()
    groups: tuple[str, ...] = ()
    extremes: set[str] = field(default_factory=set)
    selected: set[str] = field(default_factory=set)
    star: bool = False
    limited: bool = False
    written: bool = False
    assigned: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement taken apart: what it asks of tables, and what its parameters are compared with, by number."""

    uses: tuple[Use, ...]
    parameters: Mapping[int, Parameter]
