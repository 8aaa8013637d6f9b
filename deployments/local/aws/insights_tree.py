"""The tree of a Logs Insights query: commands, and the expressions within them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, or a span of time in ms (`1h`)."""

    value: float | str
    kind: Literal["number", "string", "span"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the log events, such as `@duration` or `record.metrics.durationMs`."""

    name: str


@dataclass(frozen=True, slots=True)
class Star:
    """The `*` of `count(*)`."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an aggregate."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and what joins them."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Like:
    """`field like /regex/` or `field like "part"`: `pattern` searches the text."""

    operand: Node
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class In:
    """`field in ["a", "b"]`."""

    operand: Node
    values: tuple[Constant, ...]


Node = Constant | Field | Star | Call | Binary | Not | Like | In


@dataclass(frozen=True, slots=True)
class Named:
    """An expression with its name in the result: the alias, or the text as it was written."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Filter:
    """`filter condition`."""

    condition: Node


@dataclass(frozen=True, slots=True)
class Stats:
    """`stats aggregates by keys`."""

    aggregates: tuple[Named, ...]
    keys: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """`fields …` (adds to what is shown) or `display …` (replaces it)."""

    columns: tuple[Named, ...]
    only: bool


@dataclass(frozen=True, slots=True)
class Sort:
    """`sort field desc, …`."""

    keys: tuple[tuple[Named, bool], ...]  # with: descending


@dataclass(frozen=True, slots=True)
class Limit:
    """`limit n`."""

    count: int


Command = Filter | Stats | Fields | Sort | Limit


@dataclass(slots=True)
class Query:
    """A whole query; `prefixes` are those of SOURCE logGroups(namePrefix: […])."""

    commands: list[Command] = field(default_factory=list)
    prefixes: tuple[str, ...] = ()
