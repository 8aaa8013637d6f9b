"""Which indexes could help a statement: candidates from what it asks of each table. Pure.

A B-tree serves equality on its leading keys, then one range or one order. So the keys are: what is known before the
table is read (filters, and joins for the inner side of a nested loop), then a range, or an order. Whether a candidate
helps is the planner's word, and the clock's; here is only decided what is worth asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations

from tasks.components.database.advisor.catalog import Catalog, Existing, Table
from tasks.components.database.advisor.records import Index, Key, quoted
from tasks.components.database.advisor.uses import Sort, Use

MOST_KEYS = 4
MOST_FOR_USE = 24
SMALL_ROWS = 1_000
"""Tables below so many rows need no index: they fit into a few pages."""

_MOST_INCLUDED = 6
_MOST_INCLUDED_BYTES = 96
_MOST_KEY_BYTES = 400
_ORDERED = 0.9
_BRIN_BYTES = 8 * 2**20
_RARE = 0.3
_JSON = "jsonb"
_WIDE = frozenset({"json", "jsonb", "xml", "bytea", "tsvector", "point", "polygon", "box", "circle"})


def candidates(uses: Iterable[Use], catalog: Catalog) -> list[Index]:
    """Indexes worth asking the planner about, those of fewer keys first; none that is there already."""
    found: dict[Index, None] = {}
    for use in uses:
        if use.table.rows < SMALL_ROWS or use.table.partly_foreign:
            continue
        own = [one for one in _of_use(use, catalog) if _sensible(one, use.table)]
        found.update(dict.fromkeys(own[:MOST_FOR_USE]))
    return [one for one in found if not is_there(one, _table(one, catalog))]


def covering(index: Index, use: Use) -> Index | None:
    """The same index with what else the block needs of the table, where that is little; None where it is not."""
    keys = {key.column for key in index.keys}
    if use.star or index.method != "btree" or None in keys or index.include:
        return None
    rest = sorted(name for name in use.selected - keys if name in use.table.columns)
    columns = [use.table.columns[name] for name in rest]
    if not rest or len(rest) > _MOST_INCLUDED or sum(one.width for one in columns) > _MOST_INCLUDED_BYTES:
        return None
    if any(_base(one.type) in _WIDE for one in columns):
        return None
    return Index(index.schema, index.table, index.keys, tuple(rest), predicate=index.predicate)


def is_there(index: Index, table: Table | None) -> bool:
    """Whether an index of the table does all that this one would: its keys begin with these ones."""
    if table is None:
        return False
    wanted = [_shown(key) for key in index.keys]
    return any(_serves(one, index, wanted) for one in table.indexes)


def _serves(one: Existing, index: Index, wanted: Sequence[str]) -> bool:
    if not one.valid or one.method != index.method or (one.predicate or None) != (index.predicate or None):
        return False
    if (
        one.unique
        and len(one.keys) <= len(wanted)
        and list(one.keys) == wanted[: len(one.keys)]
        and not index.include
    ):
        return True  # one row at most: further keys tell nothing
    has = {*one.keys, *one.included}
    return list(one.keys[: len(wanted)]) == wanted and all(quoted(name) in has for name in index.include)


def _shown(key: Key) -> str:
    """A key as pg_get_indexdef shows it."""
    text = quoted(key.column) if key.column is not None else key.expression
    return text + (" DESC" if key.descending else "")


def could_serve(index: Index, use: Use) -> bool:
    """Whether a block could use the index at all: by its first key, or since all that the block needs is in it."""
    if use.table.full_name != (index.schema, index.table):
        return False
    first = index.keys[0]
    if first.column is None:
        return first.expression in {*use.expressions, *(name.strip("()") for name in use.contains)}
    wanted = {*use.equal, *use.listed, *use.joined, *use.ranged, *use.prefixed, *use.infixed, *use.contains}
    wanted |= {*use.either, *use.nulls, *use.groups, *use.extremes, *(one.column for one in use.sorts)}
    covers = not use.star and use.selected <= {*index.columns, *index.include}
    return first.column in wanted or covers


# --- one table in one block ---


def _of_use(use: Use, catalog: Catalog) -> Iterator[Index]:
    table = use.table
    known = _by_selectivity(
        table, {*use.equal, *use.listed, *(c for c, how in use.nulls.items() if how == "IS NULL")}
    )
    joins = _by_selectivity(table, use.joined - set(known))
    ranges = _by_selectivity(table, (use.ranged | use.prefixed) - set(known))
    yield from _partial(use, known, joins, ranges)
    yield from (_index(table, keys) for keys in _key_lists(use, known, joins, ranges))
    yield from (_sorted(table, known[:2], use.sorts) for _ in use.sorts[:1])
    yield from _special(use, catalog, known, joins)


def _key_lists(
    use: Use, known: Sequence[str], joins: Sequence[str], ranges: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Lists of plain columns, likely ones first."""
    equal = tuple(known[:3])
    for size in range(1, len(equal) + 1):
        yield from permutations(equal, size) if size < 3 else (equal,)  # noqa: PLR2004 - three have six orders
    for ranged in ranges[:3]:
        yield (ranged,)
        yield from ((*equal[:size], ranged) for size in range(1, len(equal) + 1))
        yield from ((one, ranged) for one in equal[1:])
    for join in joins[:4]:
        yield (join,)
        for one in equal[:2]:
            yield (join, one)
            yield (one, join)
        if len(equal) > 1:
            yield (join, *equal[:2])
        for ranged in ranges[:2]:
            yield (join, ranged)
            yield from ((one, join, ranged) for one in equal[:1])
    if len(joins) > 1:
        yield tuple(joins[:2])
        yield tuple(reversed(joins[:2]))
    if use.groups:
        yield from ((*equal[:2], *use.groups), use.groups)
    for extreme in sorted(use.extremes):
        yield (*equal[:2], extreme)
    yield from ((one,) for one in sorted(use.either))


def _sorted(table: Table, known: Sequence[str], sorts: Sequence[Sort]) -> Index:
    """Equality, then the order with its directions; a backward scan makes all of them the other way round."""
    keys = [Key(name, name) for name in known]
    keys += [Key(one.column, one.column, one.descending, one.nulls_first) for one in sorts if one.column not in known]
    return Index(table.schema, table.name, tuple(keys[:MOST_KEYS]))


def _partial(use: Use, known: Sequence[str], joins: Sequence[str], ranges: Sequence[str]) -> Iterator[Index]:
    """Where a literal, always the same, selects few rows: only those are worth a place in the index."""
    table = use.table
    fixed = {name: value for name, value in use.equal.items() if value is not None}
    conditions = [f"{quoted(name)} = {value}" for name, value in fixed.items() if _rare(table, name)]
    conditions += [
        f"{quoted(name)} {how}"
        for name, how in use.nulls.items()
        if (table.columns[name].nulls if how == "IS NULL" else 1 - table.columns[name].nulls) < _RARE
    ]
    if not conditions:
        return
    predicate = " AND ".join(sorted(conditions))
    rest = [name for name in known if name not in fixed and name not in use.nulls]
    order = [one.column for one in use.sorts]
    for keys in ([*rest[:2], *order], [*rest[:2], *ranges[:1]], [*joins[:1], *rest[:1]], rest[:2]):
        if keys:
            yield _index(table, tuple(dict.fromkeys(keys)), predicate=predicate)


def _rare(table: Table, name: str) -> bool:
    column = table.columns[name]
    return column.distinct > 1 / _RARE


def _special(use: Use, catalog: Catalog, known: Sequence[str], joins: Sequence[str]) -> Iterator[Index]:
    """Expressions, containment, infix search, and block ranges of what lies in order."""
    table = use.table
    for sql, how in sorted(use.expressions.items()):
        yield Index(table.schema, table.name, (Key(sql),))
        if how == "=":
            yield from (Index(table.schema, table.name, (Key(sql), Key(name, name))) for name in known[:1])
            yield from (Index(table.schema, table.name, (Key(name, name), Key(sql))) for name in joins[:1])
    for name, operator in sorted(use.contains.items()):
        yield _gin(table, name, operator)
    if "pg_trgm" in catalog.extensions:
        for name in sorted(use.infixed):
            yield Index(table.schema, table.name, (Key(name, name, opclass="gin_trgm_ops"),), method="gin")
    for name in sorted(use.prefixed):
        if _base(table.columns[name].type) in {"text", "character varying"}:
            kind = "text_pattern_ops" if _base(table.columns[name].type) == "text" else "varchar_pattern_ops"
            yield Index(table.schema, table.name, (Key(name, name, opclass=kind),))
    for name in sorted(use.ranged):
        correlation = table.columns[name].correlation
        if table.bytes >= _BRIN_BYTES and correlation is not None and abs(correlation) >= _ORDERED:
            yield Index(table.schema, table.name, (Key(name, name),), method="brin")


def _gin(table: Table, name: str, operator: str) -> Index:
    column = table.columns.get(name)
    key = Key(name, name) if column is not None else Key(name.strip("()"))
    if column is not None and _base(column.type) == _JSON and operator == "@>":
        key = Key(name, name, opclass="jsonb_path_ops")
    return Index(table.schema, table.name, (key,), method="gin")


def _index(table: Table, columns: Iterable[str], *, predicate: str | None = None) -> Index:
    keys = tuple(Key(name, name) for name in dict.fromkeys(columns))
    return Index(table.schema, table.name, keys[:MOST_KEYS], predicate=predicate)


def _by_selectivity(table: Table, names: Iterable[str]) -> list[str]:
    """Columns by their number of values, most first: the first key should leave the fewest rows."""
    return sorted(names, key=lambda name: (-table.columns[name].distinct, name))


def _sensible(index: Index, table: Table) -> bool:
    """Whether a B-tree can hold the keys: no type without an order, no long texts."""
    if index.method != "btree":
        return True
    columns = [table.columns[key.column] for key in index.keys if key.column is not None]
    if sum(one.width for one in columns) > _MOST_KEY_BYTES:
        return False
    return not any(_base(one.type) in _WIDE for one in columns)


def _base(kind: str) -> str:
    return kind.partition("(")[0].strip()


def _table(index: Index, catalog: Catalog) -> Table | None:
    return catalog.tables.get((index.schema, index.table))
