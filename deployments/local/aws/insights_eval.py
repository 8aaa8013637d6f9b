"""What a Logs Insights query computes: expressions over columns, groups and their aggregates.

Percentiles interpolate linearly between the two closest ranks, as `aggregate` does for CloudWatch, so that both
paths to one corpus can be compared. A comparison with a missing field is false, and so is its opposite `!=`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.local.aws.insights_frame import Column, Frame, missing
from deployments.local.aws.insights_show import show
from deployments.local.aws.insights_syntax import malformed
from deployments.local.aws.insights_tree import (
    Binary,
    Call,
    Command,
    Constant,
    Field,
    Fields,
    Filter,
    In,
    Like,
    Limit,
    Named,
    Node,
    Not,
    Query,
    Sort,
    Star,
    Stats,
)

DEFAULT_LIMIT = 10_000

_Bools = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a query as field and text, and how many events passed its filters."""

    rows: list[list[tuple[str, str]]]
    matched: int


def run(query: Query, frame: Frame, limit: int | None = None) -> Answer:
    """Execute the commands in order over `frame`."""
    shown: list[str] = []
    matched = frame.length
    limited = limit is not None
    aggregated = False
    for command in query.commands:
        if isinstance(command, Stats):
            frame, aggregated = _stats(command, frame), True
            shown = [each.name for each in (*command.keys, *command.aggregates)]
        elif isinstance(command, Fields):
            for named in command.columns:
                frame.columns[named.name] = _value(named.node, frame)
            names = [named.name for named in command.columns]
            shown = names if command.only else [*shown, *(name for name in names if name not in shown)]
        else:
            limited = limited or isinstance(command, Limit)
            frame = _narrow(command, frame)
            matched = frame.length if isinstance(command, Filter) and not aggregated else matched
    most = limit if limit is not None else frame.length if limited else DEFAULT_LIMIT
    if not aggregated:
        shown = [*(shown or ["@timestamp", "@message"]), "@ptr"]
    return Answer(_rows(frame.take(np.arange(min(most, frame.length))), shown), matched)


def _narrow(command: Command, frame: Frame) -> Frame:
    if isinstance(command, Filter):
        return frame.take(_condition(command.condition, frame))
    if isinstance(command, Limit):
        return frame.take(np.arange(min(command.count, frame.length)))
    if not isinstance(command, Sort):
        raise malformed(f"{type(command).__name__} is not emulated here")
    order = np.arange(frame.length)
    for named, descending in reversed(command.keys):
        column = frame.columns[named.name] if named.name in frame.columns else _value(named.node, frame)
        order = order[_sorted(column.take(order), descending=descending)]
    return frame.take(order)


def _sorted(column: Column, *, descending: bool) -> npt.NDArray[np.int64]:
    """A stable order of the rows; rows without the value come last."""
    present = column.present()
    having, lacking = np.flatnonzero(present), np.flatnonzero(~present)
    values = column.values[having]
    ranks = np.unique(values.astype(str) if column.kind == "string" else values, return_inverse=True)[1]
    return np.concatenate([having[np.argsort(-ranks if descending else ranks, kind="stable")], lacking])


# --- expressions over rows --------------------------------------------------------------------------------------


def _condition(node: Node, frame: Frame) -> _Bools:
    column = _value(node, frame)
    if column.kind != "boolean":
        raise malformed("filter takes a condition")
    return column.values


def _value(node: Node, frame: Frame) -> Column:
    match node:
        case Field():
            column = frame.column(node.name)
        case Constant():
            column = _literal(node, frame.length)
        case Not():
            column = Column("boolean", ~_condition(node.operand, frame))
        case Like():
            texts = _texts(_value(node.operand, frame))
            found = (text is not None and node.pattern.search(text) is not None for text in texts)
            column = Column("boolean", np.fromiter(found, np.bool_, frame.length))
        case In():
            operand = _value(node.operand, frame)
            each = [_compare("=", operand, _literal(value, frame.length)) for value in node.values]
            column = Column("boolean", np.logical_or.reduce(each))
        case Binary():
            column = _binary(node, lambda operand: _value(operand, frame))
        case Call():
            column = _call(node, frame)
        case Star():
            raise malformed("* stands for no value")
    return column


def _literal(node: Constant, length: int) -> Column:
    if node.kind == "string":
        return Column("string", np.full(length, node.value, dtype=object))
    return Column("number", np.full(length, float(node.value)))


def _binary(node: Binary, value: Callable[[Node], Column]) -> Column:
    left, right = value(node.left), value(node.right)
    operator = node.operator
    if operator in {"and", "or"}:
        if left.kind != "boolean" or right.kind != "boolean":
            raise malformed(f"{operator} joins conditions")
        return Column("boolean", left.values & right.values if operator == "and" else left.values | right.values)
    if operator in _ARITHMETIC:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            result = _ARITHMETIC[operator](numbers(left), numbers(right))
        return Column("number", np.where(np.isfinite(result), result, np.nan))
    return Column("boolean", _compare(operator, left, right))


def _compare(operator: str, left: Column, right: Column) -> _Bools:
    if left.kind == right.kind == "string":
        both = zip(left.values, right.values, strict=True)
        compare = _TEXT_COMPARISONS[operator]
        found = (a is not None and b is not None and compare(a, b) for a, b in both)
        return np.fromiter(found, np.bool_, len(left.values))
    a, b = numbers(left), numbers(right)
    present = ~np.isnan(a) & ~np.isnan(b)
    return np.asarray(_COMPARISONS[operator](a, b), dtype=np.bool_) & present


def _call(node: Call, frame: Frame) -> Column:
    arguments = node.arguments
    if node.name == "ispresent":
        return Column("boolean", _value(arguments[0], frame).present())
    if node.name == "coalesce":
        return _coalesce([_value(each, frame) for each in arguments])
    if node.name in {"bin", "datefloor"}:
        times = frame.column("@timestamp") if node.name == "bin" else _value(arguments[0], frame)
        span = _span(arguments[-1])
        return Column("time", np.floor(numbers(times) / span) * span)
    if node.name == "tomillis":
        return Column("number", numbers(_value(arguments[0], frame)))
    if node.name in _SCALARS:
        with np.errstate(invalid="ignore"):
            return Column("number", _SCALARS[node.name](numbers(_value(arguments[0], frame))))
    raise malformed(f"{node.name} stands in stats alone")


def _span(node: Node) -> float:
    if not isinstance(node, Constant):
        raise malformed("a span of time is missing")
    return float(node.value)


def _coalesce(columns: list[Column]) -> Column:
    if all(column.kind != "string" or not column.present().any() for column in columns):
        result = numbers(columns[0]).copy()
        for column in columns[1:]:
            result = np.where(np.isnan(result), numbers(column), result)
        return Column("number", result)
    texts = [_texts(column) for column in columns]
    first = [next((text for text in row if text is not None), None) for row in zip(*texts, strict=True)]
    return Column("string", np.array(first, dtype=object) if first else np.empty(0, dtype=object))


def numbers(column: Column) -> _Floats:
    """The values as floats; texts that are no number are missing."""
    if column.kind == "string":
        return np.fromiter((_number(text) for text in column.values), np.float64, len(column.values))
    return np.asarray(column.values, dtype=np.float64)


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan


def _texts(column: Column) -> list[str | None]:
    return list(column.values) if column.kind == "string" else [show(column.kind, each) for each in column.values]


# --- stats ------------------------------------------------------------------------------------------------------


def _stats(command: Stats, frame: Frame) -> Frame:
    keys = [_value(named.node, frame) for named in command.keys]
    first, groups = _groups(keys, frame.length)
    columns = {named.name: key.take(first) for named, key in zip(command.keys, keys, strict=True)}
    for named in command.aggregates:
        columns[named.name] = _aggregate(named, frame, groups)
    return Frame(len(groups), missing(len(groups)), columns)


def _groups(keys: list[Column], length: int) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]]]:
    """The rows of each group, in order of the group's first row; one group where there are no keys."""
    if not length:
        return np.empty(0, dtype=np.int64), []
    code = np.zeros(length, dtype=np.int64)
    for key in keys:
        inverse = _codes(key)
        code = np.unique(code * (int(inverse.max()) + 1) + inverse, return_inverse=True)[1]
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    parts.sort(key=lambda part: int(part[0]))
    return np.array([part[0] for part in parts], dtype=np.int64), parts


def _codes(key: Column) -> npt.NDArray[np.int64]:
    """A number for each row that is the same where the value is, a missing value being one of its own."""
    if key.kind != "string":
        return np.unique(key.values, return_inverse=True, equal_nan=True)[1]
    seen: dict[str | None, int] = {}
    return np.fromiter((seen.setdefault(text, len(seen)) for text in key.values), np.int64, len(key.values))


def _aggregate(named: Named, frame: Frame, groups: list[npt.NDArray[np.int64]]) -> Column:
    def value(node: Node) -> Column:
        if isinstance(node, Binary):
            return _binary(node, value)
        if isinstance(node, Constant):
            return _literal(node, len(groups))
        if not isinstance(node, Call):
            raise malformed(f"{named.name!r} mixes aggregates with fields")
        if node.name in _SCALARS:
            return Column("number", _SCALARS[node.name](numbers(value(node.arguments[0]))))
        if node.name not in _OF_GROUP and node.name not in {"count", "count_distinct", "pct", "percentile"}:
            raise malformed(f"{node.name} cannot stand beside aggregates")
        return Column("number", _aggregated(node, frame, groups))

    return value(named.node)


def _aggregated(call: Call, frame: Frame, groups: list[npt.NDArray[np.int64]]) -> _Floats:
    if call.name == "count" and (not call.arguments or isinstance(call.arguments[0], Star)):
        return np.array([float(len(rows)) for rows in groups])
    column = _value(call.arguments[0], frame)
    if call.name == "count":
        present = column.present()
        return np.array([float(np.count_nonzero(present[rows])) for rows in groups])
    if call.name == "count_distinct":
        texts = _texts(column)
        return np.array([float(len({texts[row] for row in rows if texts[row] is not None})) for rows in groups])
    values = numbers(column)
    reduce = _percentile(call) if call.name in {"pct", "percentile"} else _OF_GROUP[call.name]
    results: list[float] = []
    for rows in groups:
        having = values[rows]
        having = having[~np.isnan(having)]
        results.append(float(reduce(having)) if len(having) else math.nan)
    return np.array(results)


def _percentile(call: Call) -> Callable[[_Floats], Any]:
    percent = call.arguments[1]
    if not isinstance(percent, Constant):
        raise malformed("pct takes a percentage")
    return lambda values: np.percentile(values, float(percent.value))


_OF_GROUP: dict[str, Callable[[_Floats], Any]] = {
    "sum": np.sum,
    "avg": np.mean,
    "min": np.min,
    "max": np.max,
    "median": np.median,
}
_SCALARS: dict[str, Callable[[_Floats], _Floats]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "sqrt": np.sqrt,
}
_ARITHMETIC: dict[str, Callable[[_Floats, _Floats], _Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
}
_COMPARISONS: dict[str, Callable[[_Floats, _Floats], _Bools]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_TEXT_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": str.__eq__,
    "!=": str.__ne__,
    "<": str.__lt__,
    "<=": str.__le__,
    ">": str.__gt__,
    ">=": str.__ge__,
}


# --- results ----------------------------------------------------------------------------------------------------


def _rows(frame: Frame, shown: list[str]) -> list[list[tuple[str, str]]]:
    columns = [(name, frame.column(name)) for name in shown]
    texts = [(name, _texts(column)) for name, column in columns]
    return [
        [(name, text) for name, values in texts if (text := values[row]) is not None] for row in range(frame.length)
    ]
