"""What an index costs those who write: time of their statements, and bytes of WAL. Estimates; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.components.database.advisor.catalog import Table
from tasks.components.database.advisor.records import Index
from tasks.components.database.advisor.uses import Parsed, Use
from tasks.components.database.advisor.workload import Statement

_RECORD_BYTES = 64
"""WAL of one B-tree insertion without its key: record header, block reference, tuple header (xloginsert.h)."""

_WIDENED = 0.02
"""Share of rows in no order that are outside what a BRIN index knows of their pages."""

_PAGE = 8192
_IMAGE = _PAGE * 9 // 10
"""A page that is written whole, without its free space: B-trees are built nine tenths full."""

_FEW_IMAGES = 0.05
"""Whole pages for each written row below which the statements were counted between checkpoints: records are all."""

_BETWEEN_CHECKPOINTS = 1.5
"""What the limit is multiplied by there: the pages that checkpoints bring make the WAL larger, and the share less."""

_LEAST_RECORD = 140
"""WAL bytes of a written row at least, its page not counted: pgbench's take 144, those of orders with lines 156."""

_LEAST_BYTES = 64 * 1024
_CALLS = 3
_ORDERED, _ORDERED_IMAGES = 0.9, 0.05

_SLOWS = {"btree": 0.08, "gin": 0.4, "brin": 0.01, "gist": 0.2, "hash": 0.06}
"""Share by which one more index slows a row's insertion; order of magnitude, refined by a rehearsal."""


def slows(
    index: Index, table: Table, statements: Sequence[Statement], parsed: Mapping[str, Parsed]
) -> dict[str, float]:
    """Share of its time that each writing statement takes longer."""
    found = {}
    for one in _recurring(statements):
        share = sum(_row_share(index, table, use, one) for use in _written(parsed.get(one.id), table))
        if share > 0:
            found[one.id] = share * _SLOWS.get(index.method, 0.2)
    return found


def wal_growth(
    index: Index, size: int, table: Table, statements: Sequence[Statement], parsed: Mapping[str, Parsed]
) -> float:
    """Share by which the workload's WAL grows with an index of `size` bytes; 0 where hardly any WAL was counted.

    All bytes are compared with all bytes, as the statements wrote them. Pages are written whole as often for the
    index as they were for the statements, fewer where its entries come in order, and none between checkpoints.
    Where the statements were counted just after checkpoints whole pages are nearly all, and any index looks cheap:
    the growth is at least two thirds of that of the records alone.
    """
    writers = _recurring(statements)
    total = sum(one.wal_bytes for one in writers)
    if total < _LEAST_BYTES:
        return 0.0
    entries = sum(
        one.rows * _row_share(index, table, use, one)
        for one in writers
        for use in _written(parsed.get(one.id), table)
    )
    added = entries * _entry_bytes(index, table)
    if between_checkpoints(statements):
        return added / total
    share = _images_per_row(writers)
    whole = min(entries * share * (_ORDERED_IMAGES if _in_order(index, table) else 1.0), size / _PAGE) * _IMAGE
    return max((added + whole) / total, added / _records(writers) / _BETWEEN_CHECKPOINTS)


def _records(writers: Sequence[Statement]) -> float:
    """WAL bytes of the records alone: pages that were written whole are full of rows for the most part."""
    images = sum(one.wal_images for one in writers) * _PAGE
    rows = sum(one.rows for one in writers if one.writes)
    return max(sum(one.wal_bytes for one in writers) - images, rows * _LEAST_RECORD)


def between_checkpoints(statements: Sequence[Statement]) -> bool:
    """Whether hardly any page was written whole while the statements were counted."""
    return _images_per_row(_recurring(statements)) < _FEW_IMAGES


def most_growth(limit: float, statements: Sequence[Statement]) -> float:
    """By what share the WAL that the statements wrote may grow so that all WAL grows by no more than the limit."""
    return limit * _BETWEEN_CHECKPOINTS if between_checkpoints(statements) else limit


def _images_per_row(writers: Sequence[Statement]) -> float:
    rows = sum(one.rows for one in writers if one.writes)
    return min(1.0, sum(one.wal_images for one in writers) / max(rows, 1.0))


def _recurring(statements: Sequence[Statement]) -> list[Statement]:
    """A load that ran once or twice says nothing of what is written from day to day."""
    return [one for one in statements if one.calls >= _CALLS]


def _entry_bytes(index: Index, table: Table) -> float:
    width = sum(table.columns[key.column].width if key.column else 16 for key in index.keys)
    width += sum(table.columns[name].width for name in index.include)
    if index.method == "brin" and not _in_order(index, table):  # else each row widens the last pages' range
        return (_RECORD_BYTES + width) * _WIDENED
    return _RECORD_BYTES + width


def _in_order(index: Index, table: Table) -> bool:
    """Whether new entries come beside each other, as those of times and sequences do."""
    column = table.columns.get(index.keys[0].column or "")
    return column is not None and abs(column.correlation or 0.0) > _ORDERED


def _row_share(index: Index, table: Table, use: Use, one: Statement) -> float:
    """How many index entries more are written for a row of a statement.

    A HOT update writes none; where the index holds a column that is set, no update of it is HOT any more, and all
    indexes of the table get an entry.
    """
    verb = one.text.lstrip(" (\n\t").split(None, 1)[0].lower()
    if verb == "delete":
        return 0.0
    if not use.assigned:
        return 1.0
    hot = table.hot_updates / table.updates if table.updates else 0.0
    touched = use.assigned & {*(key.column for key in index.keys), *index.include}
    touched |= {name for name in use.assigned if index.predicate and name in index.predicate}
    touched |= {name for name in use.assigned for key in index.keys if key.column is None and name in key.expression}
    return 1.0 + hot * len(table.indexes) if touched else 1.0 - hot


def _written(parsed: Parsed | None, table: Table) -> list[Use]:
    uses = parsed.uses if parsed is not None else ()
    return [use for use in uses if use.written and use.table.full_name == table.full_name]
