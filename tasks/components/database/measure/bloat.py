"""Bloat of tables and B-trees, estimated from the planner's statistics: no page is read for it.

What rows should take: a header of 24 bytes (a null bitmap of 8 more where a column may be null), the mean widths of
the columns that are not null, each padded to 8 where it is a fixed type of 8, a line pointer of 4, on pages of which
24 bytes are header; for a B-tree 8 bytes of header, the key padded to 8, a pointer of 4, pages filled to 90 %. A
deduplicated B-tree is smaller than that, so its bloat is underestimated. Nothing is said where a width is unknown, or
more than a fifth of the rows changed since the last analyze.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.config import RunConfig
from storage.records import Measurement, Unit
from tasks.components.database.measure.data import Data

FLOOR_PAGES = 128
"""Smaller ones are all rounding."""

STALE = 0.2
SHOWN = 50
PAGE = 8192
_ALIGN = 8


def padded(size: float) -> float:
    """Rounded up to what PostgreSQL aligns a row or an index entry to."""
    return math.ceil(size / _ALIGN) * _ALIGN


def table_pages(rows: float, columns: Sequence[Mapping[str, Any]], fill: float = 1.0) -> float | None:
    """Pages that so many rows of these columns take; None where a width is unknown."""
    if not columns or any(column["width"] is None for column in columns):
        return None
    header = 24.0 + (8.0 if not all(column["not_null"] for column in columns) else 0.0)
    widths = (_width(column) * (1 - (column["nulls"] or 0.0)) for column in columns)
    each = padded(header + sum(widths)) + 4
    return rows * each / ((PAGE - 24) * fill)


def _width(column: Mapping[str, Any]) -> float:
    """A column with the padding before it, on average: 8 bytes begin at a multiple of 8, 4 at one of 4."""
    width = float(column["width"])
    return width + {8.0: 2.0, 4.0: 0.5, 16.0: 0.0}.get(width, 0.5)


def btree_pages(entries: float, widths: Sequence[float]) -> float:
    """Pages of a B-tree of so many entries with keys of these mean widths, all of them distinct."""
    each = padded(8 + sum(widths)) + 4
    return entries * each / ((PAGE - 40) * 0.9)


def bloat(data: Data, _: RunConfig) -> list[Measurement]:
    """Share of the pages that the estimate does not need, tables first, those that waste most at the head."""
    return [*_tables(data), *_indexes(data)]


def _columns(data: Data) -> dict[tuple[str, str], dict[str, Mapping[str, Any]]]:
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in data.rows("columns"):
        found.setdefault((row["schema"], row["table"]), {})[row["name"]] = row
    return found


def _fill(row: Mapping[str, Any]) -> float:
    options = dict(option.partition("=")[::2] for option in row["options"] or ())
    return float(options.get("fillfactor", 100)) / 100


def _is_stale(row: Mapping[str, Any]) -> bool:
    return bool((row["modified_since_analyze"] or 0) > STALE * (row["live"] or row["estimated_rows"] or 0))


def _tables(data: Data) -> list[Measurement]:
    columns, found = _columns(data), []
    for row in data.rows("tables"):
        rows, size = float(row["live"] or row["estimated_rows"] or 0), row["bytes"] or 0
        if row["kind"] not in {"r", "m"} or size < FLOOR_PAGES * PAGE or rows <= 0 or _is_stale(row):
            continue
        needed = table_pages(rows, list(columns.get((row["schema"], row["name"]), {}).values()), _fill(row))
        if needed is not None:
            labels = {"table": f"{row['schema']}.{row['name']}"}
            found.append((size, _share(data, "database.table.bloat", size / PAGE, needed, labels)))
    return _worst(found)


def _indexes(data: Data) -> list[Measurement]:
    columns, found = _columns(data), []
    stale = {row["oid"] for row in data.rows("tables") if _is_stale(row)}
    for row in data.rows("indexes"):
        entries, size = row["entries"] or 0, row["bytes"] or 0
        if row["method"] != "btree" or size < FLOOR_PAGES * PAGE or entries <= 0 or row["table_oid"] in stale:
            continue
        own = columns.get((row["schema"], row["table"]), {})
        keys = [own.get(name.strip('"'), {}).get("width") for name in (*row["columns"], *row["included"])]
        widths = [float(width) for width in keys if width is not None]
        if len(widths) == len(keys):
            labels = {"index": f"{row['schema']}.{row['name']}"}
            needed = btree_pages(entries, widths)
            found.append((size, _share(data, "database.index.bloat", size / PAGE, needed, labels)))
    return _worst(found)


def _share(data: Data, metric: str, pages: float, needed: float, labels: Mapping[str, str]) -> Measurement:
    source = "estimate at the window's end: 1 − pages that the rows need by their mean widths ÷ pages of the file"
    value = min(1.0, max(0.0, 1 - needed / pages))
    return data.measurement(metric, value, Unit.RATIO, max(1, int(pages)), source, labels=labels)


def _worst(found: Sequence[tuple[int, Measurement]]) -> list[Measurement]:
    ordered = sorted(found, key=lambda pair: -pair[0] * (pair[1].value or 0))
    return [one for _, one in ordered[:SHOWN]]
