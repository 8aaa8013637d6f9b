"""The tables of pgbench (scale 5) with a mix of its own transaction, look-ups beside the keys, and reports."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.database.suite import Suite, filled

ACCOUNTS = 500_000
_SCHEMA = f"""
CREATE TABLE pgbench_branches (bid integer NOT NULL, bbalance integer, filler char(88)) WITH (fillfactor = 100);
CREATE TABLE pgbench_tellers (tid integer NOT NULL, bid integer, tbalance integer, filler char(84));
CREATE TABLE pgbench_accounts (aid integer NOT NULL, bid integer, abalance integer, filler char(84));
CREATE TABLE pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler char(22));
SELECT setseed(0.3);
INSERT INTO pgbench_branches SELECT n, 0 FROM generate_series(1, 5) n;
INSERT INTO pgbench_tellers SELECT n, 1 + n / 11, 0 FROM generate_series(1, 50) n;
INSERT INTO pgbench_accounts SELECT n, 1 + (n - 1) / 100000, floor(10000 * (random() - 0.5))::integer, ''
  FROM generate_series(1, {ACCOUNTS}) n;
INSERT INTO pgbench_history SELECT 1 + floor(50 * random()), 1 + floor(5 * random()),
  1 + floor({ACCOUNTS} * random() ^ 2), floor(10000 * (random() - 0.5)), timestamp '2026-01-01' + n * interval '20 s'
  FROM generate_series(1, 200000) n;
ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid);
ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid);
ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid);
"""

STATEMENTS = {
    "balance": "SELECT abalance FROM pgbench_accounts WHERE aid = 77123",
    "last movements": """SELECT tid, delta, mtime FROM pgbench_history WHERE aid = 4711 ORDER BY mtime DESC LIMIT 10""",
    "richest of branch": """SELECT aid, abalance FROM pgbench_accounts WHERE bid = 3 ORDER BY abalance DESC LIMIT 10""",
    "overdrawn": "SELECT count(*) FROM pgbench_accounts WHERE abalance < -4990",
    "teller's hour": """SELECT count(*), sum(delta) FROM pgbench_history WHERE tid = 12
        AND mtime BETWEEN timestamp '2026-02-01 10:00' AND timestamp '2026-02-01 11:00'""",
    "branch's day": """SELECT b.bid, sum(h.delta) FROM pgbench_branches b JOIN pgbench_history h ON h.bid = b.bid
        WHERE h.mtime >= timestamp '2026-02-10' AND h.mtime < timestamp '2026-02-11' GROUP BY b.bid""",
    "statement of account": """SELECT a.aid, a.abalance, h.delta, h.mtime FROM pgbench_accounts a
        JOIN pgbench_history h ON h.aid = a.aid WHERE a.aid BETWEEN 90000 AND 90005""",
    "tellers": "SELECT tid, tbalance FROM pgbench_tellers WHERE bid = 2",
}


def mix(number: int) -> Sequence[str]:
    """The transaction of pgbench on pseudo-random keys; every tenth one looks up movements as well."""
    account = 1 + number * 7919 % ACCOUNTS
    teller, branch, delta = 1 + number % 50, 1 + number % 5, number % 9999 - 5000
    found = [
        f"UPDATE pgbench_accounts SET abalance = abalance + {delta} WHERE aid = {account}",
        f"SELECT abalance FROM pgbench_accounts WHERE aid = {account}",
        f"UPDATE pgbench_tellers SET tbalance = tbalance + {delta} WHERE tid = {teller}",
        f"UPDATE pgbench_branches SET bbalance = bbalance + {delta} WHERE bid = {branch}",
        f"INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ({teller}, {branch}, {account}, {delta}, now())",
    ]
    if number % 10 == 0:
        found.append(f"SELECT delta, mtime FROM pgbench_history WHERE aid = {account} ORDER BY mtime DESC LIMIT 10")
    return found


SUITE = Suite(
    "pgbench", "scale 5, reports beside an OLTP mix of 2,000 transactions", filled(_SCHEMA), STATEMENTS, mix=mix
)
