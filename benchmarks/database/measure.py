"""Times a suite's statements, and the WAL of its mix, on a server with and without indexes."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.database import rivals
from benchmarks.database.server import served
from benchmarks.database.suite import Suite
from deployments.local.postgres import ADMIN, ANALYSIS, APPLICATION, PostgresServer

RUNS = 5
SLOW_S = 1.0
"""A statement that takes longer is timed once after its warm-up."""

TIMEOUT_S = 60
TRANSACTIONS = 2_000
SLOWER = 1.2
_ROUNDS = itertools.count()
"""Each round of the mix has keys of its own: a row that was updated just now lies on a page that is full of such."""

NOISE_MS = 0.3
"""Below this difference the clock says nothing about a statement."""


@dataclass(frozen=True)
class Variant:
    """One set of indexes: milliseconds and plans by statement, bytes of the indexes, and WAL bytes of the mix."""

    ms: Mapping[str, float]
    plans: Mapping[str, str]
    bytes: int = 0
    indexes: Sequence[str] = ()
    wal: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What a suite gave, and the advice; variants are "none", "ours", "b", "c", and "half": ours within half of b's bytes."""

    suite: str
    about: str
    table_bytes: int
    variants: Mapping[str, Variant]
    advice: Mapping[str, Any]
    advice_s: float


def run(suite: Suite, *, rehearse: str = "auto") -> Result:
    """Run one suite from its empty server to the times with each set of indexes."""
    with served(suite) as server, psycopg.connect(server.url(APPLICATION), autocommit=True) as connection:
        connection.execute(f"SET statement_timeout = '{TIMEOUT_S}s'".encode())
        variants = {"none": _variant(connection, server, suite, ())}
        _fill_statistics(connection, server, suite)
        start = time.monotonic()
        advice = _advice(server.url(ANALYSIS), rehearse, suite.budget_mb)
        seconds = time.monotonic() - start
        made = {"ours": [one["sql"] for one in advice["recommendations"]]}
        made |= rivals.choices(server.url(ANALYSIS), suite.statements)
        for name, definitions in made.items():
            variants[name] = _variant(connection, server, suite, definitions)
        _fill_statistics(connection, server, suite)
        small = _advice(server.url(ANALYSIS), rehearse, variants["b"].bytes / 2e6)
        variants["half"] = _variant(connection, server, suite, [one["sql"] for one in small["recommendations"]])
        variants = {name: _again(connection, suite, one) for name, one in variants.items()}
        row = connection.execute(
            "SELECT sum(pg_table_size(c.oid))::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'public' AND relkind = 'r'"
        ).fetchone()
        return Result(suite.name, suite.about, int(row[0]) if row else 0, variants, advice, seconds)


def _fill_statistics(connection: psycopg.Connection[Any], server: PostgresServer, suite: Suite) -> None:
    """The workload as pg_stat_statements sees it: each read twice, the mix as often as it is measured."""
    with psycopg.connect(server.url(ADMIN), autocommit=True) as admin:
        admin.execute("SELECT pg_stat_statements_reset()")
    for name, text in suite.statements.items():
        for _ in range(2 * suite.weights.get(name, 1)):
            connection.execute(text.encode()).fetchall()
    _mixed(connection, suite, TRANSACTIONS * next(_ROUNDS))


def _advice(url: str, rehearse: str, budget_mb: float | None) -> dict[str, Any]:
    budget = [f"--budget-mb={budget_mb}"] if budget_mb is not None else []
    program = Path(sys.executable).with_name("hasivu-perf")
    answer = subprocess.run(
        [program, "advise", "--dsn", url, "--json", f"--rehearse={rehearse}", *budget],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise SystemExit(answer.stderr)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def _variant(
    connection: psycopg.Connection[Any], server: PostgresServer, suite: Suite, definitions: Sequence[str]
) -> Variant:
    with _built(connection, definitions) as size:
        times = {name: _timed(connection, text) for name, text in suite.statements.items()}
        plans = {name: _plan(connection, text) for name, text in suite.statements.items()}
        wal = {}
        if suite.mix is not None:
            wal = {setting: _wal(connection, server, suite, setting) for setting in ("off", "on")}
    return Variant(times, plans, size, list(definitions), wal)


def _again(connection: psycopg.Connection[Any], suite: Suite, one: Variant) -> Variant:
    """The same times once more, minutes later, the lesser ones: machines have slow minutes, no index makes one faster."""
    with _built(connection, one.indexes):
        times = {name: min(ms, _timed(connection, suite.statements[name])) for name, ms in one.ms.items()}
    return replace(one, ms=times)


@contextmanager
def _built(connection: psycopg.Connection[Any], definitions: Sequence[str]) -> Iterator[int]:
    """Indexes as long as the context lasts; their bytes."""
    before = _indexes(connection)
    for one in definitions:
        connection.execute(one.encode())
    connection.execute("ANALYZE")
    new = {name: size for name, size in _indexes(connection).items() if name not in before}
    yield sum(new.values())
    for name in new:
        connection.execute(f'DROP INDEX "{name}"'.encode())


def _indexes(connection: psycopg.Connection[Any]) -> dict[str, int]:
    rows = connection.execute(
        "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_stat_user_indexes"
    ).fetchall()
    return {name.strip('"'): size for name, size in rows}


def _timed(connection: psycopg.Connection[Any], text: str) -> float:
    """Median milliseconds after one warm-up."""
    first = _once(connection, text)
    runs = [_once(connection, text) for _ in range(1 if first > 1e3 * SLOW_S else RUNS)]
    return statistics.median(runs)


def _plan(connection: psycopg.Connection[Any], text: str) -> str:
    """The plan of a statement, without its costs."""
    rows = connection.execute(f"EXPLAIN (COSTS OFF) {text}".encode(), prepare=False).fetchall()
    return "\n".join(line for (line,) in rows)


def _once(connection: psycopg.Connection[Any], text: str) -> float:
    start = time.perf_counter()
    connection.execute(text.encode(), prepare=False).fetchall()
    return 1e3 * (time.perf_counter() - start)


def _wal(connection: psycopg.Connection[Any], server: PostgresServer, suite: Suite, full_pages: str) -> int:
    """WAL bytes of the mix, with full page images or without."""
    with psycopg.connect(server.url(ADMIN), autocommit=True) as admin:
        admin.execute(f"ALTER SYSTEM SET full_page_writes = {full_pages}".encode())
        admin.execute("SELECT pg_reload_conf(), pg_sleep(1)")  # the checkpointer heeds it when it wakes up
        admin.execute("VACUUM")
        admin.execute("CHECKPOINT")
        before = _position(admin)
        _mixed(connection, suite, TRANSACTIONS * next(_ROUNDS))
        return _position(admin) - before


def _position(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8").fetchone()
    return int(row[0]) if row else 0


def _mixed(connection: psycopg.Connection[Any], suite: Suite, first: int) -> None:
    for number in range(first, first + TRANSACTIONS) if suite.mix is not None else ():
        with connection.transaction():
            for statement in suite.mix(number) if suite.mix is not None else ():
                connection.execute(statement.encode())


def slower(variant: Variant, none: Variant) -> list[str]:
    """Statements that take more than a fifth longer than without indexes, and by another plan: else it was the machine."""
    changed = [name for name, plan in variant.plans.items() if plan != none.plans[name]]
    before, after = none.ms, variant.ms
    return [one for one in changed if after[one] > SLOWER * before[one] and after[one] - before[one] > NOISE_MS]


def speed_up(variant: Variant, none: Variant) -> float:
    """Geometric mean of the statements' speed-ups."""
    return statistics.geometric_mean(_ratios(variant.ms, none.ms))


def _ratios(after: Mapping[str, float], before: Mapping[str, float]) -> Iterable[float]:
    return [before[name] / ms for name, ms in after.items()]
