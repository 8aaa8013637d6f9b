"""How values are written: one way everywhere, always with the unit, and `not measured` where there is none."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from storage.records import GateCheck, Unit
from tasks.judge.score import truncated

NOT_MEASURED = "not measured"
SIGNS = {"<": "<", ">": ">", ">=": "≥", "==": "="}
_MOST_DIGITS = 9
_KIB = 1024.0


def figure(value: float | None, unit: Unit, *, unlike: float | None = None) -> str:
    """A value with its unit, to three significant digits.

    Where that would make it look like `unlike` (a limit that it misses by little) it gets more digits.
    """
    if value is None:
        return NOT_MEASURED
    if unit is Unit.RATIO and unlike is None:
        unlike = 1.0  # 99.99 % are not 100 %
    text = _written(value, unit, 0)
    if unlike is None or value == unlike:
        return text
    other = _written(unlike, unit, 0)
    for more in range(1, _MOST_DIGITS):
        if text != other:
            break
        text = _written(value, unit, more)
    return text


def check_value(check: GateCheck) -> str:
    """The value of a gate's check, never written as the limit that it is not."""
    return figure(check.value, check.unit, unlike=check.limit)


def check_limit(check: GateCheck) -> str:
    """The limit of a gate's check with its comparison, such as `< 200 ms`."""
    return f"{SIGNS[check.comparison]} {figure(check.limit, check.unit)}"


def margin(check: GateCheck) -> str:
    """How far a value lies from its limit, in words; empty where there is no such distance."""
    if check.value is None or check.limit == 0 or check.unit is Unit.COUNT:
        return ""
    if check.unit is Unit.SCORE:
        distance = _counted(abs(check.value - check.limit), "point")
    elif check.unit is Unit.RATIO:
        distance = _counted(abs(check.value - check.limit) * 100, "percentage point")
    else:
        distance = f"{number(abs(check.value - check.limit) / check.limit * 100)} %"
    if check.value == check.limit:
        return "exactly the limit"
    return f"{distance} {'above' if check.value > check.limit else 'below'}"


def _counted(value: float, unit: str) -> str:
    shown = number(value)
    return f"{shown} {unit}" if shown == "1" else f"{shown} {unit}s"


def number(value: float, more: int = 0) -> str:
    """Three significant digits (and `more`), thousands apart, no trailing zeros; whole numbers from 100 on."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) + more
    text = f"{value:,.{min(digits, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: int) -> str:
    """A count with thousands apart."""
    return f"{value:,}"


def share(value: float) -> str:
    """A ratio as per cent."""
    return figure(value, Unit.RATIO)


def moment(when: datetime) -> str:
    """A time in UTC to the second, with its zone."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def seconds(value: float) -> str:
    """A length of time in seconds, or in days where it is longer than two."""
    days = value / 86_400
    return f"{number(days)} days" if days > 2 else f"{number(value)} s"  # noqa: PLR2004 - two days


def _written(value: float, unit: Unit, more: int) -> str:
    if unit is Unit.SCORE:
        return number(value, more) if more else truncated(value)
    if unit is Unit.RATIO:
        return f"{number(value * 100, more)} %"
    if unit is Unit.BYTES:
        return _bytes(value, more)
    if unit in {Unit.USD_PER_MONTH, Unit.USD}:
        when = " a month" if unit is Unit.USD_PER_MONTH else ""
        return f"{'-' if value < 0 else ''}${abs(value):,.2f}{when}"
    if unit is Unit.COUNT and float(value).is_integer():
        return f"{value:,.0f}"
    suffix = {Unit.MS: " ms", Unit.PER_SECOND: "/s", Unit.MB: " MB"}.get(unit, "")
    return f"{number(value, more)}{suffix}"


def _bytes(value: float, more: int) -> str:
    for name in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < _KIB:
            return f"{number(value, more)} {name}"
        value /= _KIB
    return f"{number(value, more)} TiB"
