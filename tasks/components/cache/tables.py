"""Schemas of what the cache component stores besides `samples`. Times are UTC epoch ns, key texts never appear."""

from __future__ import annotations

import pyarrow as pa

_FIELDS: dict[str, dict[str, pa.DataType]] = {
    "info": {
        "at_ns": pa.int64(),
        "run_id": pa.string(),
        "uptime_s": pa.int64(),
        "hits": pa.int64(),
        "misses": pa.int64(),
        "own_hits": pa.int64(),
        "own_misses": pa.int64(),
        "evicted": pa.int64(),
        "expired": pa.int64(),
        "rejected": pa.int64(),
        "clients": pa.int64(),
        "blocked": pa.int64(),
        "maxclients": pa.int64(),
        "used_memory": pa.int64(),
        "maxmemory": pa.int64(),
        "system_memory": pa.int64(),
        "policy": pa.string(),
        "ops_per_s": pa.int64(),
        "commands": pa.int64(),
        "keys": pa.int64(),
        "loading": pa.int64(),
    },
    "scans": {
        "round": pa.int32(),
        "at_ns": pa.int64(),
        "family": pa.string(),
        "seen": pa.int64(),
        "new": pa.int64(),
        "came": pa.int64(),
        "gone": pa.int64(),
        "scanned": pa.int64(),
        "keys": pa.int64(),
        "misses": pa.int64(),
    },
    "keys": {
        "round": pa.int32(),
        "family": pa.string(),
        "marker": pa.int64(),
        "server_ms": pa.int64(),
        "ttl_ms": pa.int64(),
        "idle_s": pa.int64(),
        "first": pa.bool_(),
        "absent_ms": pa.int64(),
        "type": pa.string(),
        "bytes": pa.int64(),
    },
    "commands": {
        "end": pa.string(),
        "command": pa.string(),
        "calls": pa.int64(),
        "usec": pa.int64(),
        "rejected": pa.int64(),
        "failed": pa.int64(),
        "p99_us": pa.float64(),
    },
    "slowlog": {
        "id": pa.int64(),
        "at_s": pa.int64(),
        "usec": pa.int64(),
        "command": pa.string(),
        "family": pa.string(),
    },
}

SCHEMAS = {name: pa.schema(fields) for name, fields in _FIELDS.items()}
"""Schemas by table.

`info`: the server's own counters, once a second; `own_hits` and `own_misses` are what this observer itself has
added to `hits` and `misses` since the first row.
`scans`: one row per scan round and family: keys seen, how many of them were not there in the round before, how many
came since the first round, how many of the round before are gone; `scanned` of `keys` keys were looked at; `misses`
of everyone but this observer since the round before.
`keys`: looks at single keys; `ttl_ms` −1 without expiry, `idle_s` seconds of the server's LRU clock since the last
access (null where the server does not tell), `first` the first look at this key since it came, `absent_ms` the
server's time of the last round in which the key was not there (null where it was there from the start), `marker`
stands for the key.
`commands`: the server's statistics at the `start` and the `end`; `p99_us` since the server's start.
`slowlog`: entries that began within the window, without arguments.
"""


def table_of(name: str, rows: list[dict[str, object]]) -> pa.Table:
    """Rows as a table of its schema."""
    return pa.Table.from_pylist(rows, schema=SCHEMAS[name])
