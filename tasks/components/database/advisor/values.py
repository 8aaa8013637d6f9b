"""Which values stand for a parameter, by the statistics of the column that it is compared with. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.components.database.advisor.source import Name
from tasks.components.database.advisor.uses import ANY, Parameter

LISTED = 4
"""Values that a shortened list gets."""

_BEGINNING, _PART = 4, 6
"""Characters of a value that a LIKE looks for at its beginning, and within."""

_RANGES = frozenset({"<", "<=", ">", ">="})

_SHARES = (0.1, 0.4, 0.02)
"""Shares of the rows that ranges take: another one in each variant, and another one of the next column."""

_MORE = (0.7, 0.2, 0.1, 0.4, 0.02)
"""The same of further variants, in other pairs."""


@dataclass(frozen=True, slots=True)
class Values:
    """What the statistics hold of one column, as text: the most common values first, and quantiles in order."""

    type: str
    common: tuple[str, ...]
    bounds: tuple[str, ...]

    def equal(self, variant: int) -> str | None:
        """A value to look for: a common one first, then a typical one, then a rare one."""
        if variant == 0 and self.common:
            return self.common[0]
        if self.bounds:
            return self.bounds[len(self.bounds) * (2 * variant + 1) // 8 % len(self.bounds)]
        return self.common[(len(self.common) - 1) * min(variant, 2) // 2] if self.common else None

    def quantile(self, share: float) -> str | None:
        """The value below which about this share of the rows lies."""
        found = self.bounds or tuple(sorted(self.common))
        return found[min(len(found) - 1, int(share * len(found)))] if found else None


Columns = Mapping[tuple[Name, str], Values]
"""Statistics by table and column."""

Drawn = Sequence[Mapping[int, str]]
"""Rows of values that meet in the data, by parameter."""

_RARE = 2
"""The variant that is a rare value, whatever was drawn."""

_ONE_DAY = 8
"""The variant in which open ranges of one type meet at one value: ordered before a day and delivered after it."""

GUESSES = _ONE_DAY + 1
"""Variants up to the last one of a kind of its own."""


def literals(
    parameters: Mapping[int, Parameter], columns: Columns, variant: int, drawn: Drawn = ()
) -> dict[int, tuple[str, str | None]]:
    """A value and its type for each parameter whose column has statistics."""
    found: dict[int, tuple[str, str | None]] = {}
    seen: Counter[tuple[Name, str]] = Counter()
    ranged = _ranged(parameters)
    days: dict[str, str | None] = {}
    for number, one in sorted(parameters.items()):
        column = one.table.full_name, one.column
        known = columns.get(column)
        row = variant + seen[column] if one.operator == "=" else variant
        seen[column] += one.operator == "="  # the members of a list are different values
        example = drawn[row % len(drawn)].get(number) if drawn and variant != _RARE else None
        value = None
        if known is not None and example is not None:
            value = _drawn(one, [example, *(row[number] for row in drawn if number in row)], variant)
        elif known is not None and one.operator in _RANGES and variant == _ONE_DAY and len(ranged[column]) == 1:
            value = days.setdefault(known.type, known.quantile(0.5))
        elif known is not None and one.operator in _RANGES:
            share = _share(variant, list(ranged).index(column))
            value = known.quantile(_bound(one.operator[0], ranged[column], share))
        elif known is not None:
            value = _value(one, known, variant)
        if known is not None and value is not None:
            pattern = "~~" in one.operator
            kind = f"{known.type}[]" if one.operator == ANY else known.type
            found[number] = (value, None if pattern else kind)
    return found


def _drawn(one: Parameter, examples: Sequence[str], variant: int) -> str | None:
    """What values that were drawn make of a parameter, the first one before others."""
    if "~~" in one.operator:
        return _pattern(examples[0], within=variant == 0 or one.operator != "~~")
    return _array(list(dict.fromkeys(examples))[:LISTED]) if one.operator == ANY else examples[0]


def _value(one: Parameter, known: Values, variant: int) -> str | None:
    if "~~" in one.operator:
        return _pattern(known.equal(variant), within=variant == 0 or one.operator != "~~")
    if one.operator == ANY:
        return _array(known.equal(place) for place in range(LISTED))
    return known.equal(_RARE if one.operator == "<>" else variant)


def _ranged(parameters: Mapping[int, Parameter]) -> dict[tuple[Name, str], set[str]]:
    """The columns of which parameters take a range, in the order of the text, and which ends they give: "<", ">"."""
    found: dict[tuple[Name, str], set[str]] = {}
    for _, one in sorted(parameters.items()):
        if one.operator in _RANGES:
            found.setdefault((one.table.full_name, one.column), set()).add(one.operator[0])
    return found


def _share(variant: int, place: int) -> float:
    """The share of its rows that the range of a column takes, by its place among those with ranges."""
    if variant < len(_SHARES):
        return _SHARES[(variant + place) % len(_SHARES)]
    return _MORE[(variant - len(_SHARES) + 2 * place) % len(_MORE)]


def _bound(end: str, ends: Collection[str], share: float) -> float:
    """The quantile that is one end of a range which takes so much of a column's rows."""
    if len(ends) > 1:
        return 0.5 + share / 2 if end == "<" else 0.5 - share / 2
    return share if end == "<" else 1 - share


def _array(values: Iterable[str | None]) -> str | None:
    """An array's literal of some values."""
    found = dict.fromkeys(value for value in values if value is not None)
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in found)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}" if found else None


def _pattern(example: str | None, *, within: bool) -> str | None:
    """What a value that exists is found by: its beginning, or a part from within."""
    if example is None:
        return None
    middle = max(0, (len(example) - _PART) // 2)
    part = example[middle : middle + _PART] if within else example[:_BEGINNING]
    escaped = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if within else f"{escaped}%"
