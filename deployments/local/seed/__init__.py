"""The data of the embedded platform: a school day of 60 schools, the same rows every time.

`build` fills an empty database. Everything follows from identity.py, the SQL files beside this one and the newest
school day; nothing is random. Tables are loaded bare by two connections at a time, then get keys and indexes, then
foreign keys.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import psycopg

from deployments.local import identity, schema
from deployments.local.defects import PLANT_STATEMENTS, WITHOUT_INDEX
from deployments.local.schema import Table

HERE = Path(__file__).parent
CONNECTIONS = 2
SCHOOL_SKEW = 0.9
"""School k has a share of 1 / k^SCHOOL_SKEW of the families (a Zipf-like law)."""

OTHER_ROWS: dict[str, int] = {
    "parent_child": 20_000,
    "user_role_assignment": 20_000,
    "auth_session": 12_000,
    "payment_refund": 600,
    "menu_approval": 600,
    "whatsapp_template": 12,
    "analytics_report": 200,
    "payment_method": 12_000,
    "payment_plan": 60,
    "payment_retry": 2_400,
    "reconciliation_record": 3_600,
    "billing_cycle": 8_000,
    "invoice_item": 20_000,
    "invoice_email_log": 10_000,
    "invoice_template": 60,
    "payment_analytics": 3_600,
    "payment_failure_analytics": 3_600,
    "customer_payment_behavior": 12_000,
    "subscription_analytics": 1_800,
    "user_device": 15_000,
}
"""Rows of the tables that no load plan addresses; their keys' first group counts from 0x65 in this order."""

_FIRST_OTHER_KIND = 0x65


def school_day(today: date) -> date:
    """The newest school day: `today`, or the Friday before a weekend."""
    return today - timedelta(days=max(0, today.isoweekday() - 5))


def fingerprint() -> str:
    """Changes when anything that shapes the data changes; part of the cache key of a prepared data folder."""
    own = (*HERE.glob("*.sql"), *HERE.glob("tables/*.sql"), *HERE.glob("*.py"))
    sources = (*own, schema.FACTS, Path(identity.__file__), Path(schema.__file__))
    digest = hashlib.sha256(repr((PLANT_STATEMENTS, WITHOUT_INDEX)).encode())
    for path in sorted(sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def build(url: str, owner: str, day: date) -> None:
    """Create, fill, index and analyse all tables in the database at `url`, owned by the role `owner`.

    `url` must belong to a superuser. Raises psycopg.Error where a statement fails: the seed is wrong then.
    """
    with _connected(url, owner) as connection:
        connection.execute(_functions(day))
        connection.execute(_read("orders.sql"))
    _in_parallel(url, owner, [_loading(table) for table in _largest_first()])
    with _connected(url, owner) as connection:
        for table in schema.tables():
            for statement in schema.add_foreign_keys(table):
                connection.execute(statement)
        connection.execute("DROP SCHEMA seed CASCADE")
    checks = [schema.validate_foreign_keys(table) for table in _largest_first() if table.foreign_keys]
    _in_parallel(url, owner, checks)
    _finish(url, owner)


def _finish(url: str, owner: str) -> None:
    """Plant the defects, add the extensions, and forget which indexes the build itself has used."""
    with _connected(url, owner) as connection:
        for statement in PLANT_STATEMENTS:
            connection.execute(statement)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE EXTENSION pgstattuple")
        connection.execute("SELECT pg_stat_reset_single_table_counters(indexrelid) FROM pg_stat_user_indexes")
        connection.execute("CHECKPOINT")


def _loading(table: Table) -> Sequence[str]:
    """Create and fill a table in one transaction (then no WAL is written), then give it keys and indexes."""
    keys = [statement for statement in schema.create_keys(table) if not _left_out(statement)]
    filled = ["BEGIN", schema.create_table(table), _read(f"tables/{table.name}.sql"), "COMMIT"]
    # Counts of inserted rows that are still pending would be added to what VACUUM found.
    return [*filled, "SELECT pg_stat_force_next_flush()", *keys, f"VACUUM (ANALYZE) {table.name}"]


def _left_out(statement: str) -> bool:
    return any(f'INDEX "{name}" ' in statement for name in WITHOUT_INDEX)


def _largest_first() -> list[Table]:
    """Tables by what their load costs, so that the two connections end at about the same time."""
    heavy = (
        "order_items", "orders", "users", "delivery_verifications", "payments", "audit_logs", "notifications",
        "menu_item_slots", "payment_orders", "rfid_cards", "student_parents", "payment_transactions",
    )  # fmt: skip
    cost = {name: rank for rank, name in enumerate(heavy)}
    return sorted(schema.tables(), key=lambda table: cost.get(table.name, len(heavy)))


def _in_parallel(url: str, owner: str, jobs: Sequence[Sequence[str]]) -> None:
    """Run lists of statements on a few connections; the first failure is raised."""
    local = threading.local()
    opened: list[psycopg.Connection[tuple[object, ...]]] = []

    def run(statements: Sequence[str]) -> None:
        if not hasattr(local, "connection"):
            local.connection = _connected(url, owner)
            opened.append(local.connection)
        for statement in statements:
            local.connection.execute(statement)

    try:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _ in pool.map(run, jobs):
                pass
    finally:
        for connection in opened:
            connection.close()


def _connected(url: str, owner: str) -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute(f"SET ROLE {owner}")
    return connection


def _functions(day: date) -> str:
    kinds = {**identity.ROWS, **OTHER_ROWS}
    codes = {**identity.KINDS, **{kind: _FIRST_OTHER_KIND + i for i, kind in enumerate(OTHER_ROWS)}}
    generated = [_function(kind, codes[kind], kinds[kind]) for kind in kinds]
    text = _read("functions.sql").replace("{thresholds}", _thresholds()).replace("{school_day}", day.isoformat())
    return "\n".join(("CREATE SCHEMA seed;", *generated, text))


def _function(kind: str, code: int, rows: int) -> str:
    prefix = f"{code:08x}-0000-4000-8000-"
    return (
        f"CREATE FUNCTION seed.{kind}_rows() RETURNS bigint IMMUTABLE LANGUAGE sql RETURN {rows};\n"
        f"CREATE FUNCTION seed.{kind}_key(n bigint) RETURNS text IMMUTABLE LANGUAGE sql "
        f"RETURN '{prefix}' || lpad(n::text, 12, '0');"
    )


def _thresholds() -> str:
    """The cumulative shares of all schools but the last, as an SQL array."""
    weights = [k**-SCHOOL_SKEW for k in range(1, identity.ROWS["school"] + 1)]
    shares = [sum(weights[:k]) / sum(weights) for k in range(1, len(weights))]
    return f"'{{{','.join(f'{share:.9f}' for share in shares)}}}'::double precision[]"


def _read(name: str) -> str:
    return (HERE / name).read_text()
