"""`SELECT *` on wide rows: columns that nobody asked for are read, sent, and forbid index-only scans."""

from __future__ import annotations

from storage.records import Finding
from tasks.components.database.advise.case import Case, Name
from tasks.components.database.advise.rewrites.reading import Reading, readings, rewrite

WIDE_BYTES, WIDE_COLUMNS = 500, 15
"""A row is wide from so many bytes on (mean, by the planner's statistics), or where they are unknown, columns."""

MANY_ROWS = 10
"""Rows a call: one wide row is no burden."""


def check(case: Case) -> list[Finding]:
    """One finding per read that takes all columns of a wide table, and at least ten rows a call."""
    return [
        _finding(case, one, wide)
        for one in readings(case)
        if one.rows_a_call >= MANY_ROWS and (wide := [name for name in _starred(case, one) if _is_wide(case, name)])
    ]


def _starred(case: Case, one: Reading) -> list[Name]:
    tables = dict(case.tables_of(one.shape))
    return [tables[alias] for alias in sorted(one.shape.star) if alias in tables]


def _width(case: Case, name: Name) -> int | None:
    widths = [row["width"] for row in case.columns.get(name, {}).values()]
    return None if not widths or None in widths else sum(widths)


def _is_wide(case: Case, name: Name) -> bool:
    width = _width(case, name)
    return len(case.columns.get(name, {})) >= WIDE_COLUMNS if width is None else width >= WIDE_BYTES


def _finding(case: Case, one: Reading, wide: list[Name]) -> Finding:
    shown = ", ".join(_words(case, name) for name in wide)
    return rewrite(
        case,
        "select_star",
        one,
        title=f"SELECT * takes all of {', '.join('.'.join(name) for name in wide)}",
        detail=f"It takes every column of {shown}.",
        summary="Name the columns that are used: less is read and sent, and a covering index becomes possible.",
    )


def _words(case: Case, name: Name) -> str:
    width, columns = _width(case, name), len(case.columns.get(name, {}))
    return f"{'.'.join(name)} ({columns} columns, {f'{width} bytes a row' if width else 'widths unknown'})"
