"""Reads EXPLAIN's JSON: which tables are read by a filter that no index serves, and in which order rows are wanted.

The filter is PostgreSQL's own deparsed expression, so its shape is regular: `((t.a = $1) AND (t.b > $2))`. What is
not of that shape is left out rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]

_PASSING = frozenset({"Limit", "Sort", "Incremental Sort", "Gather", "Gather Merge", "Result", "LockRows", "Unique"})
"""Nodes that hand the rows of their child on, so that an order wanted above holds for the scan below."""

_JOINING = frozenset({"Nested Loop", "Hash Join"})
"""Joins that keep the order of their outer side (a nested loop does; a hash join can become one)."""

_JOINS = ("Hash Cond", "Merge Cond", "Join Filter")
_COLUMN = r'(?:(?P<alias>"(?:[^"]|"")+"|\w+)\.)?(?P<column>"(?:[^"]|"")+"|[a-z_]\w*)'
_COMPARED = re.compile(rf"^\(*{_COLUMN}\)*(?:::(?:text|bpchar))? (?P<operator>=|<|>|<=|>=) (?P<value>.+)$", re.DOTALL)
_SORTED = re.compile(rf"^{_COLUMN}(?P<order>(?: DESC| ASC| NULLS FIRST| NULLS LAST)*)$")


@dataclass(frozen=True)
class Scan:
    """One scan whose rows are thrown away by a filter.

    `equal` and `ranged` are columns that the filter compares with values; `order` are pairs of column and direction
    ("" or " DESC" …) that the nodes above want; `limited` tells that only the first rows of that order are taken.
    """

    schema: str
    table: str
    method: str
    index: str | None
    backward: bool
    filter: str
    rows: float
    equal: tuple[str, ...]
    ranged: tuple[str, ...]
    order: tuple[tuple[str, str], ...]
    limited: bool


def scans(plan: Node) -> Iterator[Scan]:
    """Scans with a filter and without an index condition, anywhere in a plan."""
    yield from _walk(plan, order=(), limited=False)


def whole_reads(plan: Node, table: str, above: str = "") -> Iterator[str]:
    """For each sequential scan of a table: its filter and the join conditions above it, as one text.

    Columns are written with the scan's alias: only those of this scan are kept.
    """
    joined = " ".join([above, *(str(plan[name]) for name in _JOINS if name in plan)])
    if plan["Node Type"] == "Seq Scan" and plan.get("Relation Name") == table:
        alias = plan.get("Alias", table)
        texts = f"{joined} {plan.get('Filter', '')}"
        yield " ".join(re.findall(rf'(?<![\w"])"?{re.escape(alias)}"?\.("[^"]+"|\w+)', texts))
    for child in plan.get("Plans", ()):
        yield from whole_reads(child, table, joined)


def _walk(node: Node, *, order: Sequence[str], limited: bool) -> Iterator[Scan]:
    kind = node["Node Type"]
    if "Filter" in node and "Relation Name" in node and "Index Cond" not in node and kind != "Bitmap Heap Scan":
        yield _scan(node, order, limited=limited)
    for child in node.get("Plans", ()):
        passes = kind in _PASSING or (kind in _JOINING and child.get("Parent Relationship") == "Outer")
        below = node.get("Sort Key", order) if passes else ()
        yield from _walk(child, order=below, limited=passes and (limited or kind == "Limit"))


def _scan(node: Node, order: Sequence[str], *, limited: bool) -> Scan:
    alias = node.get("Alias", node["Relation Name"])
    equal, ranged = _compared(node["Filter"], alias)
    return Scan(
        schema=node.get("Schema", "public"),
        table=node["Relation Name"],
        method=node["Node Type"],
        index=node.get("Index Name"),
        backward=node.get("Scan Direction") == "Backward",
        filter=node["Filter"],
        rows=float(node.get("Plan Rows", 0)),
        equal=equal,
        ranged=ranged,
        order=_ordered(order, alias),
        limited=limited,
    )


def conjuncts(expression: str) -> list[str]:
    """The parts of a filter that must all hold: split at AND outside brackets and quotes; an OR is one part."""
    inner = _unwrapped(expression)
    parts, depth, start, quote, position = [], 0, 0, "", 0
    while position < len(inner):
        character = inner[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif depth == 0 and inner.startswith(" AND ", position):
            parts.append(inner[start:position])
            start = position + 5
        position += 1
    return [_unwrapped(part.strip()) for part in (*parts, inner[start:])]


def _unwrapped(text: str) -> str:
    """Without brackets that enclose the whole."""
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1]
    return text


def _closing(text: str) -> int:
    """Where the bracket that opens the text closes; -1 where it does not."""
    depth, quote = 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return position
    return -1


def _compared(expression: str, alias: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns that a filter compares with values: by equality (`= ANY` too), and by range."""
    equal: dict[str, None] = {}
    ranged: dict[str, None] = {}
    for part in conjuncts(expression):
        found = _COMPARED.match(part)
        if not found or not _of(found["alias"], alias) or _names_column(found["value"], alias):
            continue
        (equal if found["operator"] == "=" else ranged)[_plain(found["column"])] = None
    return tuple(equal), tuple(column for column in ranged if column not in equal)


def _of(found: str | None, alias: str) -> bool:
    return found is None or _plain(found) == alias


def _names_column(value: str, alias: str) -> bool:
    """Whether the other side of a comparison is a column of the same table, which no index condition can use."""
    return bool(re.search(rf'(?<![\w"])"?{re.escape(alias)}"?\.', re.sub(r"'(?:[^']|'')*'", "", value)))


def _ordered(keys: Sequence[str], alias: str) -> tuple[tuple[str, str], ...]:
    """Sort keys as columns of the scanned table, up to the first that is something else."""
    found: list[tuple[str, str]] = []
    for key in keys:
        match = _SORTED.match(key)
        if not match or not _of(match["alias"], alias):
            break
        found.append((_plain(match["column"]), match["order"]))
    return tuple(found)


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
