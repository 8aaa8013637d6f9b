"""Statements that should be written otherwise: one small file per habit, each with what it cost within the window."""

from __future__ import annotations

from collections.abc import Callable

from storage.records import Finding
from tasks.components.database.advise.case import Case
from tasks.components.database.advise.rewrites import (
    implicit_cast,
    missing_limit,
    n_plus_one,
    offset_paging,
    wide_rows,
    wrapped_column,
)

CHECKS: tuple[Callable[[Case], list[Finding]], ...] = (
    n_plus_one.check,
    missing_limit.check,
    wrapped_column.check,
    implicit_cast.check,
    wide_rows.check,
    offset_paging.check,
)
"""All of them, in the order in which their findings are listed."""
