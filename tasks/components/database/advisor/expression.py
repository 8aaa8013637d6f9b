"""Statistics for an index expression, derived from those of the one column it reads.

A real server has them once the index was analysed; a twin has no rows to analyse. But the column's most common
values and the bounds of its histogram are a sample of it: the expression is evaluated over them, on the scratch
server, and what comes out is given to the planner as the expression's statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, LiteralString

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

MOST_COMMON = 100
"""Most common values that are kept."""

_TWICE = 2
_BISECTIONS = 60

_COLUMNS: LiteralString = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), s.n_distinct, s.correlation
FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname AND NOT s.inherited
WHERE d.classid = 'pg_class'::regclass AND d.objid = %(index)s::oid AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = %(table)s::oid AND d.refobjsubid > 0"""

_SAMPLE: LiteralString = """
WITH stats AS (
  SELECT s.null_frac, s.most_common_vals::text::{type}[] AS common, s.most_common_freqs AS shares,
         s.histogram_bounds::text::{type}[] AS bounds
  FROM pg_stats s JOIN pg_class c ON s.tablename = c.relname
  JOIN pg_namespace n ON n.oid = c.relnamespace AND s.schemaname = n.nspname
  WHERE c.oid = %(table)s::oid AND s.attname = %(column)s AND NOT s.inherited),
sample AS (
  SELECT u.value AS {column}, u.share::float8 AS share, true AS common
  FROM stats, unnest(stats.common, stats.shares) AS u (value, share)
  UNION ALL
  SELECT u.value, (1 - null_frac - coalesce((SELECT sum(x) FROM unnest(shares) x), 0)) / cardinality(bounds), false
  FROM stats, unnest(bounds) AS u (value)
  UNION ALL
  SELECT NULL::{type}, null_frac, true FROM stats WHERE null_frac > 0),
ranked AS (
  SELECT ({expression}) AS result, share, common, row_number() OVER (ORDER BY {column}) AS place FROM sample)
SELECT result::text, sum(share), bool_or(common), count(*) FILTER (WHERE NOT common), min(place), max(place),
       avg(pg_column_size(result))::int, {number}
FROM ranked GROUP BY result ORDER BY result NULLS LAST"""

_NUMBERS = {
    "integer": "result::numeric",
    "bigint": "result::numeric",
    "smallint": "result::numeric",
    "date": "(result - date '2000-01-01')::numeric",
    "timestamp without time zone": "(extract(epoch FROM result) * 1000000)::numeric",
    "timestamp with time zone": "(extract(epoch FROM result) * 1000000)::numeric",
}
"""Types whose values lie on a grid: how a value becomes a whole number."""

_RESTORE: LiteralString = """
SELECT pg_restore_attribute_stats('schemaname', n.nspname::text, 'relname', c.relname::text,
  'attname', %(attribute)s::text, 'inherited', false, 'null_frac', %(nulls)s::real, 'avg_width', %(width)s::int,
  'n_distinct', %(distinct)s::real, 'most_common_vals', %(common)s::text[]::text,
  'most_common_freqs', %(shares)s::real[], 'histogram_bounds', %(bounds)s::text[]::text,
  'correlation', %(correlation)s::real)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(index)s::oid"""


@dataclass(frozen=True, slots=True)
class Result:
    """One value that the expression took over the sample, in the order of the values.

    `share` of the rows, whether a `common` value of the column (or NULL) gave it, by how many bounds of the histogram
    it was given (`hits`), the `places` of its column values among all, its width and, on a grid, its number.
    """

    value: str | None
    share: float
    common: bool
    hits: int
    places: tuple[int, int]
    width: int | None
    number: int | None


def derive(
    connection: Connection, rows: float, *, table: int, index: int, attribute: str, definition: str, kind: str
) -> bool:
    """Give index column `attribute` (`definition`, of type `kind`) statistics; False where none can be derived.

    That is so where the expression reads several columns, or a column without statistics.
    """
    for column, column_type, distinct, correlation in connection.execute(
        _COLUMNS, {"index": index, "table": table}
    ).fetchall():
        statement = sql.SQL(_SAMPLE).format(
            type=sql.SQL(column_type),  # format_type's own words
            column=sql.Identifier(str(column)),
            expression=sql.SQL(definition),  # pg_get_indexdef's own words
            number=sql.SQL(_NUMBERS.get(kind, "NULL::numeric")),
        )
        try:
            sample = connection.execute(statement, {"table": table, "column": column}).fetchall()
        except psycopg.Error:  # it reads another column too, or fails on a value: no statistics, as is said
            continue
        results = [_result(row) for row in sample]
        if results:
            known = statistics(results, -distinct * rows if distinct < 0 else distinct, correlation)
            connection.execute(_RESTORE, {"attribute": attribute, "index": index, **known})
            return True
    return False


def _result(row: Sequence[Any]) -> Result:
    value, share, common, hits, first, last, width, number = row
    return Result(
        value, float(share or 0), common, hits, (first, last), width, None if number is None else int(number)
    )


def statistics(results: Sequence[Result], column_distinct: float, correlation: float | None) -> dict[str, object]:
    """What pg_restore_attribute_stats takes; `column_distinct` (a number) and `correlation` are the column's.

    A value that only bounds of the histogram gave is called common where more of them gave it than chance explains.
    """
    values = [one for one in results if one.value is not None]
    nulls = math.fsum(one.share for one in results if one.value is None)
    distinct = _distinct(values, column_distinct)
    usual = sum(one.hits for one in values) / distinct
    often = [one for one in values if one.common or one.hits > usual + 2 * math.sqrt(usual) + 1]
    often = sorted(often, key=lambda one: -one.share)[:MOST_COMMON]
    chosen = {one.value for one in often}
    bounds = [one.value for one in values if one.value not in chosen for _ in range(max(one.hits, 1))]
    widths = [one.width for one in values if one.width is not None]
    return {
        "nulls": min(1.0, max(0.0, nulls)),
        "width": round(sum(widths) / len(widths)) if widths else 0,
        "distinct": distinct,
        "common": [one.value for one in often] or None,
        "shares": [one.share for one in often] or None,
        "bounds": bounds if len(bounds) >= _TWICE else None,
        "correlation": correlation if _ascending(values) else None,
    }


def _distinct(values: Sequence[Result], column_distinct: float) -> float:
    """How many different values such a sample lets expect."""
    seen = [one for one in values if one.hits > 0]
    looks = sum(one.hits for one in seen)
    others = sum(1 for one in values if one.hits == 0)
    if looks == 0:
        return float(max(1, len(values)))
    if (
        len(seen) == looks
    ):  # no bound gave a value twice: as many values as the column has, if the grid is wide enough
        return min(column_distinct, _grid(values) or math.inf)
    return min(others + _population(len(seen), looks), _grid(values) or math.inf)


def _population(seen: int, looks: int) -> float:
    """How many values there are when `looks` at random ones showed `seen` different ones."""
    low, high = float(seen), 1e9
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        if middle * -math.expm1(-looks / middle) < seen:
            low = middle
        else:
            high = middle
    return high


def _grid(values: Sequence[Result]) -> float | None:
    """How many values fit between the least and the greatest on the grid that all of them lie on."""
    numbers = sorted(one.number for one in values if one.number is not None)
    if len(numbers) < _TWICE:
        return None
    step = math.gcd(*(after - before for before, after in pairwise(numbers)))
    return (numbers[-1] - numbers[0]) / step + 1 if step else None


def _ascending(values: Sequence[Result]) -> bool:
    """Whether the expression keeps the order of its column over the sample."""
    return all(before.places[1] < after.places[0] for before, after in pairwise(values))
