"""Estimated sizes of indexes against indexes that were really built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tasks.components.database.advisor.records import Index, Key
from tasks.components.database.advisor.twin import Twin
from tests.advisor_sales import session
from tests.databases import Database, database

ROWS = 200_000
TABLE = f"""
CREATE TABLE shapes AS SELECT
  n AS id,
  n * 7919::bigint % 1000003 AS big,
  gen_random_uuid() AS uid,
  md5(n::text) AS hex,
  substr(md5(n::text) || md5((n + 1)::text), 1, hashint4(n) & 31 | 3) AS varied,
  n % 37 AS few,
  (hashint4(n) & 2147483647) % 5000 AS customer,
  timestamptz '2026-01-01' + n * interval '13 s' AS at,
  ((hashint4(n + 1) & 2147483647) % 1000000 / 100.0)::numeric(10, 2) AS amount,
  n % 3 = 0 AS flag,
  CASE WHEN hashint4(n + 2) % 10 < 3 THEN NULL ELSE (hashint4(n + 3) & 2147483647) % 1000 END AS gaps,
  'user' || (hashint4(n + 4) & 2147483647) % 20000 || '@example.com' AS email,
  (ARRAY['pending', 'paid', 'shipped', 'done'])[1 + (n % 7) / 2] AS status,
  date '2026-01-01' - (hashint4(n + 5) & 2147483647) % 900 AS day,
  (hashint4(n + 6) & 2147483647) % 90000 AS pairs,
  ((hashint4(n + 7) & 2147483647) / 2147483647.0)::float8 AS ratio,
  (power((hashint4(n + 8) & 2147483647) / 2147483647.0, 4) * 50000)::integer AS skewed
FROM generate_series(1, {ROWS}) n ORDER BY hashint4(n + 9)"""
SHAPES = (
    "id",
    "big",
    "uid",
    "hex",
    "varied",
    "few",
    "customer",
    "at",
    "amount",
    "flag",
    "gaps",
    "email",
    "status",
    "day",
    "pairs",
    "ratio",
    "skewed",
    "customer, at",
    "status, customer",
    "gaps, few",
    "skewed, day",
    "email, status, day",
    "customer INCLUDE amount",
    "customer, day INCLUDE email",
    "at WHERE status = 'done'",
    "email WHERE flag",
    "(lower(email))",
    "(date_trunc('day', at AT TIME ZONE 'UTC'))",
)


def index(shape: str) -> Index:
    """`keys INCLUDE columns WHERE predicate`; a key in parentheses is an expression."""
    shape, _, predicate = shape.partition(" WHERE ")
    keys, _, include = shape.partition(" INCLUDE ")
    parts = (keys,) if keys.startswith("(") else tuple(keys.split(", "))
    return Index(
        "public",
        "shapes",
        tuple(Key(part[1:-1]) if part[0] == "(" else Key(part, part) for part in parts),
        include=tuple(include.split(", ")) if include else (),
        predicate=predicate or None,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        started.run(TABLE, "VACUUM (ANALYZE) shapes", "CREATE TABLE empty (id integer, tags integer[])")
        yield started


@pytest.fixture(scope="module")
def twin(server: Database) -> Iterator[Twin]:
    with session(server.analysis) as source, Twin.of(source) as made:
        yield made


@pytest.fixture(scope="module")
def real(server: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '128MB'")
        yield connection


@pytest.mark.parametrize("shape", SHAPES)
def test_a_btree_is_estimated_within_30_percent(twin: Twin, real: psycopg.Connection[Any], shape: str) -> None:
    one = index(shape)
    estimated = twin.add(one)
    twin.remove(one)
    real.execute(one.definition().encode())
    row = real.execute("SELECT pg_relation_size(%s::regclass)", (one.name,)).fetchone()
    real.execute(f"DROP INDEX {one.name}".encode())
    assert row is not None
    assert estimated == pytest.approx(row[0], rel=0.3)


def test_an_index_of_an_empty_table_is_small(twin: Twin) -> None:
    for one in (
        Index("public", "empty", (Key("id", "id"),)),
        Index("public", "empty", (Key("tags", "tags"),), method="gin"),
        Index("public", "empty", (Key("id", "id"),), method="brin"),
        Index("public", "empty", (Key("id", "id"),), method="hash"),
    ):
        assert 0 < twin.add(one) < 400_000


def test_a_brin_index_is_a_few_pages(twin: Twin) -> None:
    assert twin.add(Index("public", "shapes", (Key("id", "id"),), method="brin")) < 100_000
