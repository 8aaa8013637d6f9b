"""How Logs Insights writes a value of its results: always a text."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from deployments.local.aws.insights_frame import Kind

JAVA_SMALL, JAVA_LARGE = 1e-3, 1e7
"""Beyond these the service writes numbers with an exponent, as Java writes a double: 1.04E8."""

DECIMALS = 4
"""Insights rounds what it shows to four decimals."""


def show(kind: Kind, value: Any) -> str | None:
    """A value as Insights writes it: times in UTC, numbers as Java writes doubles but whole ones without `.0`."""
    if kind == "string":
        return None if value is None else str(value)
    if kind == "boolean":
        return "1" if value else "0"
    number = float(value)
    if math.isnan(number):
        return None
    if kind == "time":
        return f"{datetime.fromtimestamp(number // 1000, UTC):%Y-%m-%d %H:%M:%S}.{int(number) % 1000:03d}"
    return _show_number(number)


def _show_number(number: float) -> str:
    if abs(number) >= JAVA_LARGE:
        mantissa, exponent = f"{number:.15E}".split("E")
        digits = mantissa.rstrip("0")
        return f"{digits}0E{int(exponent)}" if digits.endswith(".") else f"{digits}E{int(exponent)}"
    if number == int(number):
        return str(int(number))
    if 0 < abs(number) < JAVA_SMALL:
        return repr(number).upper().replace("E-0", "E-")
    return f"{number:.{DECIMALS}f}".rstrip("0")
