"""INFO answers → rows: what a server does not tell is null, never 0."""

from __future__ import annotations

from tasks.components.cache.info import command_rows, counters, info_row, keys_of
from tasks.components.cache.tables import table_of


def test_fields_become_columns() -> None:
    fields = {
        "run_id": "r1",
        "keyspace_hits": "7",
        "keyspace_misses": "3",
        "maxmemory": "0",
        "maxmemory_policy": "allkeys-lru",
        "db0": "keys=5,expires=1,avg_ttl=10",
        "db3": "keys=2,expires=0",
    }
    row = info_row(fields, at_ns=1, own=(2, 1))
    assert (row["hits"], row["misses"], row["own_hits"], row["own_misses"]) == (7, 3, 2, 1)
    assert (row["maxmemory"], row["policy"], row["keys"]) == (0, "allkeys-lru", 7)
    assert row["evicted"] is None
    assert table_of("info", [row]).column("evicted").null_count == 1
    assert counters(fields) == (7, 3)
    assert keys_of({}) == 0


def test_command_statistics_keep_the_commands_apart() -> None:
    fields = {
        "cmdstat_get": "calls=5,usec=10,usec_per_call=2.00,rejected_calls=1,failed_calls=2",
        "latency_percentiles_usec_get": "p50=2.007,p99=3.007,p99.9=3.007",
        "cmdstat_client|no-touch": "calls=1,usec=1,usec_per_call=1.00",
    }
    get, client = command_rows(fields, "end")
    assert get == {
        "end": "end",
        "command": "get",
        "calls": 5,
        "usec": 10,
        "rejected": 1,
        "failed": 2,
        "p99_us": 3.007,
    }
    assert (client["command"], client["rejected"], client["p99_us"]) == ("client|no-touch", None, None)
