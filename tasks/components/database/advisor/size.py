"""How large an index will be: pages and height from rows, widths and duplicates, without building it.

B-trees follow nbtsort.c of PostgreSQL 13 to 18: leaves filled to the fillfactor, equal keys merged into posting lists
of 6 bytes a row (deduplication), upper levels filled to 70 %. The other methods are rough models, and called so.

All of it is arithmetic on what `pg_stats` says; see `advisor.widths` for how that is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PAGE = 8192
MAX_LEVEL = 8

_ITEM = 4
_TUPLE_HEADER = 8
_BITMAP = 8
_TID = 6
_ALIGN = 8
_USABLE = PAGE - 24 - 16
_UPPER_FILL = 0.70
_POSTING = PAGE // 10 // _ALIGN * _ALIGN - _ITEM
"""The largest posting list that CREATE INDEX makes: a tenth of a page."""

_FEW = 12
"""Up to this many rows a key the number of rows is taken as spread around its mean (Poisson)."""

_NEVER = 1e-6

_OFFSETS = 2048
"""Row numbers of a page in GIN's packed row addresses (11 bits)."""

_BYTES_AN_ELEMENT = 12.0
_GIN_FILL = 0.6
"""How full GIN's pages are after they were split by batch after batch of a build; measured 0.5 to 0.7."""

_REVMAP = 1360
"""Ranges that one page of BRIN's map holds."""

_HASH_ITEM = 20
_HASH_FILL = 0.75
_UNCOMPRESSED = 508
"""Values above this width are compressed in an index (TOAST_INDEX_TARGET)."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an index, by the statistics of its values.

    `width` is the mean of the values that are not NULL, as a table stores them, in bytes; `align` their alignment,
    `fixed` whether all are equally wide. `nulls` is the share of NULLs, `distinct` the number of different values,
    `common` the shares of the most common ones, all shares of all rows of the index. Of arrays and texts for search,
    `entries` is how many elements a value has, and `elements` how many different ones; 0 where that is not known.
    """

    width: float
    align: int = 4
    fixed: bool = True
    nulls: float = 0.0
    distinct: float = 1.0
    common: tuple[float, ...] = ()
    entries: float = 0.0
    elements: float = 0.0


@dataclass(frozen=True, slots=True)
class Size:
    """An estimate: pages of 8192 bytes, and the level of a B-tree's root (0 for a single leaf)."""

    pages: int
    level: int = 0

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return self.pages * PAGE


def btree(
    rows: float,
    keys: Sequence[Column],
    include: Sequence[Column] = (),
    *,
    deduplicates: bool = True,
    fillfactor: int = 90,
) -> Size:
    """The size of a B-tree that was just built over `rows` rows.

    `deduplicates` is False for types whose equal values can look different (numeric, float, jsonb, arrays); columns
    of INCLUDE switch it off too.
    """
    if rows < 1:
        return Size(1)
    width = tuple_width([*keys, *include])
    groups = _groups(rows, keys)
    if include or not deduplicates:
        groups = [(rows, 1.0)]
    used = math.fsum(count * _group_bytes(size, width) for count, size in groups)
    leaves = max(1, math.ceil(used / (_USABLE - PAGE * (100 - fillfactor) // 100)))
    return _with_upper_levels(leaves, tuple_width(keys))


def tuple_width(columns: Sequence[Column]) -> float:
    """Mean bytes of an index tuple, alignment included, line pointer not, over which of the columns are NULL."""
    ends: dict[tuple[float, bool, bool], float] = {(float(_TUPLE_HEADER), False, True): 1.0}
    for column in columns:
        after: dict[tuple[float, bool, bool], float] = {}
        for (offset, nulls, exact), share in ends.items():
            start = math.ceil(offset / column.align) * column.align
            filled = (start + min(column.width, _UNCOMPRESSED), nulls, exact and column.fixed)
            after[filled] = after.get(filled, 0.0) + share * (1 - column.nulls)
            empty = (offset, nulls or column.nulls > 0, exact)
            after[empty] = after.get(empty, 0.0) + share * column.nulls
        ends = {end: share for end, share in after.items() if share > _NEVER}
    return math.fsum(share * _whole(*end) for end, share in ends.items())


def _whole(offset: float, nulls: bool, exact: bool) -> float:  # noqa: FBT001 - the parts of one key
    """The tuple that ends at `offset`; where widths vary half an alignment is added on average."""
    size = offset + (_BITMAP if nulls else 0)
    return float(_aligned(size)) if exact else size + (_ALIGN - 1) / 2


def distinct_keys(rows: float, keys: Sequence[Column]) -> float:
    """Different keys to expect of columns that know nothing of each other: some combinations never come up."""
    each = [max(1.0, column.distinct + (column.nulls > 0)) for column in keys]
    combinations = math.prod(each)
    seen = combinations * -math.expm1(-rows / combinations) if len(each) > 1 else combinations
    return min(rows, max(seen, *each, 1.0))


def _groups(rows: float, keys: Sequence[Column]) -> list[tuple[float, float]]:
    """(number of keys, rows of each): NULLs and common values apart, the others alike."""
    if len(keys) > 1:
        distinct = distinct_keys(rows, keys)
        return _spread(distinct, rows / distinct)
    (key,) = keys
    shares = [key.nulls, *key.common]
    found = [(1.0, share * rows) for share in shares if share * rows >= 1]
    left = rows * max(0.0, 1 - math.fsum(shares))
    others = max(key.distinct - len(key.common), 0.0)
    if left < 1 or others < 1:
        return found or [(1.0, rows)]
    return found + _spread(min(others, left), left / min(others, left))


def _spread(count: float, mean: float) -> list[tuple[float, float]]:
    """`count` keys with `mean` rows each: where these are few, as chance spreads them (at least one each)."""
    if mean <= 1 or mean > _FEW:
        return [(count, max(mean, 1.0))]
    rate = _rate_of_mean(mean)
    shares = [math.exp(-rate) * rate**size / math.factorial(size) / -math.expm1(-rate) for size in range(1, 4 * _FEW)]
    return [(count * share, float(size)) for size, share in enumerate(shares, start=1)]


def _rate_of_mean(mean: float) -> float:
    """The rate of a Poisson distribution whose mean is `mean` once zeros are left out."""
    rate = mean
    for _ in range(60):
        rate = mean * -math.expm1(-rate)
    return max(rate, 1e-9)


def _group_bytes(size: float, width: float) -> float:
    """Bytes on leaves of one key with `size` rows, line pointers included."""
    if size < 2:  # noqa: PLR2004 - a pair is the smallest posting list
        return size * (width + _ITEM)
    capacity = max(2, int((_POSTING - width) // _TID))
    full, rest = divmod(size, capacity)
    found = full * (_aligned(width + capacity * _TID) + _ITEM)
    if rest >= 2:  # noqa: PLR2004
        found += _aligned(width + rest * _TID) + _ITEM
    elif rest > 0:
        found += rest * (width + _ITEM)
    return found


def gin(rows: float, heap_pages: float, key: Column) -> Size:
    """A rough model of a GIN index: postings as differences of 7 bits a byte, and one entry a different element.

    Where nothing is known of the elements, documents of a dozen bytes an element are assumed, half of them with one
    that no other has.
    """
    entries = key.entries or max(1.0, key.width / _BYTES_AN_ELEMENT)
    total = max(rows * entries, 1.0)
    distinct = min(key.elements or rows / 2, total)
    gap = _OFFSETS / max(rows / max(heap_pages, 1.0), 1.0) * max(rows * distinct / total, 1.0)
    posting = math.ceil(math.log2(max(gap, 2.0)) / 7)
    used = distinct * (_aligned(_TUPLE_HEADER + _BYTES_AN_ELEMENT) + _ITEM) + total * posting
    return Size(1 + max(1, math.ceil(used / (_USABLE * _GIN_FILL))))


def brin(heap_pages: float, keys: Sequence[Column], pages_per_range: int = 128) -> Size:
    """A rough model of a BRIN index of the minmax kind: one tuple of two values a range, and its map."""
    ranges = math.ceil(max(heap_pages, 1.0) / pages_per_range)
    width = _aligned(_TUPLE_HEADER + sum(2 * column.width for column in keys)) + _ITEM
    return Size(1 + math.ceil(ranges / _REVMAP) + math.ceil(ranges * width / _USABLE))


def hashed(rows: float) -> Size:
    """A rough model of a hash index: buckets three quarters full, their number a quarter of a power of two."""
    buckets = max(2.0, rows * _HASH_ITEM / (_USABLE * _HASH_FILL))
    power = 2 ** math.floor(math.log2(buckets))
    allocated = math.ceil(buckets / (power / 4)) * power / 4
    return Size(math.ceil(allocated) + 2)


def tree(rows: float, keys: Sequence[Column], *, fill: float = 0.7) -> Size:
    """A rough model of GiST, SP-GiST and others: tuples on pages that are 70 % full."""
    return _with_upper_levels(
        max(1, math.ceil(rows * (tuple_width(keys) + _ITEM) / (_USABLE * fill))), tuple_width(keys)
    )


def _with_upper_levels(leaves: int, pivot: float) -> Size:
    """Add the levels above the leaves and the meta page."""
    fanout = max(2.0, _USABLE * _UPPER_FILL / (_aligned(pivot) + _ITEM))
    pages, level, width = leaves, 0, leaves
    while width > 1 and level < MAX_LEVEL:
        width = math.ceil(width / fanout)
        pages += width
        level += 1
    return Size(pages + 1, level)


def _aligned(size: float) -> int:
    return math.ceil(size / _ALIGN) * _ALIGN
