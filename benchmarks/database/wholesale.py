"""Orders of a wholesale supplier, in the manner of TPC-C: keys alone are indexed, five kinds of transactions run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.database.suite import Suite, filled

WAREHOUSES, DISTRICTS, CUSTOMERS, ITEMS, LINES = 2, 10, 3_000, 20_000, 10
_SYLLABLES = ("BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING")
_NAME = f"(ARRAY{list(_SYLLABLES)})"
_SCHEMA = f"""
SELECT setseed(0.7);
CREATE TABLE warehouse (w_id integer PRIMARY KEY, name text, tax numeric, ytd numeric);
CREATE TABLE district (w_id integer, d_id integer, name text, tax numeric, ytd numeric, next_o_id integer,
  PRIMARY KEY (w_id, d_id));
CREATE TABLE customer (w_id integer, d_id integer, c_id integer, first text, last text, street text, city text,
  credit char(2), discount numeric, balance numeric, payments integer, data text, PRIMARY KEY (w_id, d_id, c_id));
CREATE TABLE history (w_id integer, d_id integer, c_id integer, paid timestamp, amount numeric, data text);
CREATE TABLE orders (w_id integer, d_id integer, o_id integer, c_id integer, entered timestamp, carrier integer,
  lines integer, PRIMARY KEY (w_id, d_id, o_id));
CREATE TABLE new_order (w_id integer, d_id integer, o_id integer, PRIMARY KEY (w_id, d_id, o_id));
CREATE TABLE order_line (w_id integer, d_id integer, o_id integer, number integer, i_id integer, supplier integer,
  delivered timestamp, quantity integer, amount numeric, info text, PRIMARY KEY (w_id, d_id, o_id, number));
CREATE TABLE item (i_id integer PRIMARY KEY, name text, price numeric, data text);
CREATE TABLE stock (w_id integer, i_id integer, quantity integer, ytd integer, orders integer, data text,
  PRIMARY KEY (w_id, i_id)) WITH (fillfactor = 90);
INSERT INTO warehouse SELECT w, 'warehouse ' || w, 0.1, 300000 FROM generate_series(1, {WAREHOUSES}) w;
INSERT INTO district SELECT w, d, 'district ' || d, 0.1, 30000, {CUSTOMERS} + 1
  FROM generate_series(1, {WAREHOUSES}) w, generate_series(1, {DISTRICTS}) d;
INSERT INTO customer SELECT w, d, c, md5(random()::text),
  {_NAME}[1 + n / 100] || {_NAME}[1 + n / 10 % 10] || {_NAME}[1 + n % 10], md5(c::text), 'city ' || c % 97,
  CASE WHEN random() < 0.1 THEN 'BC' ELSE 'GC' END, 0.1, -10, 1, repeat(md5(random()::text), 10)
  FROM generate_series(1, {WAREHOUSES}) w, generate_series(1, {DISTRICTS}) d, generate_series(1, {CUSTOMERS}) c,
  LATERAL (SELECT CASE WHEN c <= 1000 THEN c - 1 ELSE floor(1000 * random() ^ 2)::integer + 0 * c END AS n) name;
INSERT INTO history SELECT w_id, d_id, c_id, timestamp '2026-01-01' + random() * interval '30 days', 10, first FROM customer;
INSERT INTO orders SELECT w, d, o, 1 + o * 1001 % {CUSTOMERS}, timestamp '2026-01-01' + o * interval '15 min',
  CASE WHEN o <= {CUSTOMERS} * 7 / 10 THEN 1 + o % 10 END, {LINES}
  FROM generate_series(1, {WAREHOUSES}) w, generate_series(1, {DISTRICTS}) d, generate_series(1, {CUSTOMERS}) o;
INSERT INTO new_order SELECT w_id, d_id, o_id FROM orders WHERE carrier IS NULL;
INSERT INTO order_line SELECT w_id, d_id, o_id, n, 1 + floor({ITEMS} * random()), w_id,
  CASE WHEN carrier IS NOT NULL THEN entered END, 5, 10 * random(), md5(random()::text)
  FROM orders, generate_series(1, {LINES}) n;
INSERT INTO item SELECT i, 'item ' || i, 1 + 99 * random(), md5(random()::text) FROM generate_series(1, {ITEMS}) i;
INSERT INTO stock SELECT w, i, 10 + floor(90 * random()), 0, 0, repeat(md5(random()::text), 8)
  FROM generate_series(1, {WAREHOUSES}) w, generate_series(1, {ITEMS}) i;
"""


def _by_name(key: str, name: str) -> str:
    return f"SELECT c_id, first, balance FROM customer WHERE {key} AND last = '{name}' ORDER BY first"


def _last_order(key: str, customer: int) -> str:
    return f"SELECT o_id, entered, carrier FROM orders WHERE {key} AND c_id = {customer} ORDER BY o_id DESC LIMIT 1"


def _lines(key: str, order: int) -> str:
    return f"SELECT i_id, quantity, amount, delivered FROM order_line WHERE {key} AND o_id = {order}"


def _oldest(key: str) -> str:
    return f"SELECT o_id FROM new_order WHERE {key} ORDER BY o_id LIMIT 1"


def _stock_level(w: int, d: int) -> str:
    return f"""SELECT count(DISTINCT s.i_id) FROM order_line l JOIN stock s ON s.w_id = l.w_id AND s.i_id = l.i_id
        WHERE l.w_id = {w} AND l.d_id = {d} AND l.o_id BETWEEN 2980 AND 2999 AND s.quantity < 15"""


def _customer(key: str, customer: int) -> str:
    return f"SELECT discount, last, credit FROM customer WHERE {key} AND c_id = {customer}"


def _item(item: int) -> str:
    return f"SELECT price, name, data FROM item WHERE i_id = {item}"


STATEMENTS = {
    "customer by name": _by_name("w_id = 1 AND d_id = 4", "PRESABLEESE"),
    "last order": _last_order("w_id = 2 AND d_id = 7", 1234),
    "its lines": _lines("w_id = 2 AND d_id = 7", 1712),
    "oldest new order": _oldest("w_id = 1 AND d_id = 3"),
    "stock level": _stock_level(1, 5),
    "customer": _customer("w_id = 1 AND d_id = 2", 345),
    "item": _item(1717),
}


def mix(number: int) -> Sequence[str]:
    """The n-th transaction: of twenty, nine new orders, eight payments, and one of each other kind."""
    w, d = 1 + number % WAREHOUSES, 1 + number // WAREHOUSES % DISTRICTS
    c, kind = 1 + number * 7919 % CUSTOMERS, number // (WAREHOUSES * DISTRICTS) % 20
    key = f"w_id = {w} AND d_id = {d}"
    name = "".join(_SYLLABLES[int(digit)] for digit in f"{number * 613 % 1000:03d}")
    if kind < 9:
        return _ordered(number, w, d, c)
    if kind < 17:
        return [
            f"UPDATE warehouse SET ytd = ytd + 10 WHERE w_id = {w}",
            f"UPDATE district SET ytd = ytd + 10 WHERE {key}",
            _by_name(key, name),
            f"UPDATE customer SET balance = balance - 10, payments = payments + 1 WHERE {key} AND c_id = {c}",
            f"INSERT INTO history VALUES ({w}, {d}, {c}, now(), 10, 'payment {number}')",
        ]
    if kind == 17:
        return [_by_name(key, name), _last_order(key, c), _lines(key, c)]
    if kind == 18:
        order = 1 + 7 * CUSTOMERS // 10 + number // (400 * WAREHOUSES) % (CUSTOMERS // 4)
        return [
            _oldest(key),
            f"DELETE FROM new_order WHERE {key} AND o_id = {order}",
            f"UPDATE orders SET carrier = 5 WHERE {key} AND o_id = {order}",
            f"UPDATE order_line SET delivered = now() WHERE {key} AND o_id = {order}",
            f"SELECT sum(amount) FROM order_line WHERE {key} AND o_id = {order}",
        ]
    return [_stock_level(w, d)]


def _ordered(number: int, w: int, d: int, c: int) -> Sequence[str]:
    key, order = f"w_id = {w} AND d_id = {d}", CUSTOMERS + 1 + number // (WAREHOUSES * DISTRICTS)
    found = [
        _customer(key, c),
        f"UPDATE district SET next_o_id = next_o_id + 1 WHERE {key}",
        f"INSERT INTO orders VALUES ({w}, {d}, {order}, {c}, now(), NULL, {LINES})",
        f"INSERT INTO new_order VALUES ({w}, {d}, {order})",
    ]
    for line in range(1, LINES + 1):
        item = 1 + (number * 104_729 + line * 7919) % ITEMS
        found += [
            _item(item),
            f"""UPDATE stock SET quantity = quantity - 5 + CASE WHEN quantity < 15 THEN 91 ELSE 0 END, ytd = ytd + 5,
                orders = orders + 1 WHERE w_id = {w} AND i_id = {item}""",
            f"INSERT INTO order_line VALUES ({w}, {d}, {order}, {line}, {item}, {w}, NULL, 5, 10, 'line {number}')",
        ]
    return found


SUITE = Suite("wholesale", "keys alone, an OLTP mix of 2,000 transactions", filled(_SCHEMA), STATEMENTS, mix=mix)
