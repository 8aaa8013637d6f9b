"""A shop for the tests of the advisor: tables, statements, and indexes that change their plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from tasks.components.database.advisor.explain import nodes
from tasks.components.database.advisor.records import Index, Key
from tasks.load.database.session import Session, Watchdog, parse

SCHEMA = (
    """CREATE TABLE customers (
        id integer PRIMARY KEY, email text NOT NULL, city text, joined timestamptz, vip boolean)""",
    """INSERT INTO customers SELECT n, 'user' || n || '@example.com', 'city' || (hashint4(n) & 63),
        now() - n * interval '1 hour', n % 50 = 0 FROM generate_series(1, 20000) n""",
    "CREATE TABLE products (id integer PRIMARY KEY, sku text UNIQUE, price numeric(10, 2), tags integer[])",
    """INSERT INTO products SELECT n, 'sku-' || md5(n::text), n % 500 + 0.5, ARRAY[n % 97, n % 31]
        FROM generate_series(1, 2000) n""",
    """CREATE TABLE orders (id bigint PRIMARY KEY, customer_id integer, status text, created_at timestamptz,
        total numeric(10, 2), note text)""",
    """INSERT INTO orders SELECT n, 1 + (hashint8(n) & 2147483647) % 20000,
        CASE WHEN n % 100 = 0 THEN 'open' WHEN n % 10 < 8 THEN 'done' ELSE 'sent' END,
        now() - n * interval '40 seconds', (hashint8(n + 7) & 65535) / 100.0, repeat('x', (n % 90)::int)
        FROM generate_series(1, 120000) n""",
    "CREATE TABLE items (order_id bigint, line integer, product_id integer, quantity integer)",
    """INSERT INTO items SELECT 1 + n / 2, n % 2, 1 + (hashint4(n) & 2147483647) % 2000, 1 + n % 5
        FROM generate_series(0, 199999) n""",
    "ALTER TABLE items ADD PRIMARY KEY (order_id, line)",
    "ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers",
    "VACUUM (ANALYZE)",
)

STATEMENTS: Mapping[str, str] = {
    "equal": "SELECT * FROM orders WHERE customer_id = 77",
    "equal, any value": "SELECT * FROM orders WHERE customer_id = $1",
    "rare value": "SELECT count(*) FROM orders WHERE status = 'open'",
    "common value": "SELECT count(*) FROM orders WHERE status = 'done'",
    "newest of one": "SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT 10",
    "newest of all": "SELECT id, total FROM orders ORDER BY created_at DESC LIMIT 20",
    "narrow range": "SELECT sum(total) FROM orders WHERE created_at > now() - interval '1 day'",
    "wide range": "SELECT sum(total) FROM orders WHERE created_at > now() - interval '50 days'",
    "join": """SELECT c.email, o.total FROM customers c JOIN orders o ON o.customer_id = c.id
               WHERE c.email = 'user55@example.com'""",
    "join and group": """SELECT c.city, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id
                         WHERE c.city = 'city3' GROUP BY 1""",
    "covered": "SELECT sum(quantity) FROM items WHERE product_id = 5",
    "three tables": """SELECT p.sku, sum(i.quantity) FROM orders o JOIN items i ON i.order_id = o.id
                       JOIN products p ON p.id = i.product_id WHERE o.customer_id = $1 GROUP BY 1""",
    "expression": "SELECT * FROM customers WHERE lower(email) = 'user5@example.com'",
    "group": "SELECT customer_id, count(*) FROM orders GROUP BY 1 ORDER BY 2 DESC LIMIT 5",
    "anti join": """SELECT count(*) FROM customers c WHERE NOT EXISTS
                    (SELECT FROM orders o WHERE o.customer_id = c.id AND o.status = 'open')""",
    "list": "SELECT * FROM orders WHERE customer_id IN (1, 2, 3, 4, 5)",
    "array": "SELECT * FROM products WHERE tags @> ARRAY[5]",
    "write": "UPDATE orders SET status = 'done' WHERE customer_id = 5 AND status = 'open'",
}


def index(table: str, *columns: str, **options: Any) -> Index:
    """An index over columns of the shop."""
    return Index("public", table, tuple(Key(column, column) for column in columns), **options)


INDEXES = (
    Index("public", "orders", (Key("customer_id", "customer_id"), Key("created_at", "created_at", descending=True))),
    index("orders", "created_at", predicate="status = 'open'"),
    index("orders", "created_at", include=("total",)),
    index("items", "product_id", include=("quantity",)),
    index("customers", "email"),
    Index("public", "customers", (Key("lower(email)"),)),
    index("customers", "city"),
    index("products", "tags", method="gin"),
)


@contextmanager
def session(url: str) -> Iterator[Session]:
    """A read-only session as the component has it."""
    watchdog = Watchdog()
    try:
        with Session(parse(url, "TEST_DATABASE_URL"), watchdog, timeout_ms=10_000) as opened:
            yield opened
    finally:
        watchdog.close()


def shape(root: Mapping[str, Any]) -> list[tuple[str | None, ...]]:
    """A plan without its figures: which nodes over which tables by which indexes."""
    return [(node["Node Type"], node.get("Relation Name"), node.get("Index Name")) for node in nodes(root)]


def real_plan(connection: psycopg.Connection[Any], text: str) -> Mapping[str, Any]:
    """What the real server (16 or newer) plans."""
    options = "GENERIC_PLAN, FORMAT JSON" if "$1" in text else "FORMAT JSON"
    row = connection.execute(f"EXPLAIN ({options}) {text}".encode()).fetchone()
    assert row is not None
    plan: Mapping[str, Any] = row[0][0]["Plan"]
    return plan
