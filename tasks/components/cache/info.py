"""Reads the INFO answers of one server or of a cluster's nodes into rows of the tables `info` and `commands`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]

_NUMBERS = {
    "uptime_s": "uptime_in_seconds",
    "hits": "keyspace_hits",
    "misses": "keyspace_misses",
    "evicted": "evicted_keys",
    "expired": "expired_keys",
    "rejected": "rejected_connections",
    "clients": "connected_clients",
    "blocked": "blocked_clients",
    "maxclients": "maxclients",
    "used_memory": "used_memory",
    "maxmemory": "maxmemory",
    "system_memory": "total_system_memory",
    "ops_per_s": "instantaneous_ops_per_sec",
    "commands": "total_commands_processed",
    "loading": "loading",
}


def info_row(fields: Mapping[str, str], *, at_ns: int, own: tuple[int, int]) -> Row:
    """One row of `info`; a field that the server does not tell is null, never 0."""
    row: Row = {name: _integer(fields.get(field)) for name, field in _NUMBERS.items()}
    return row | {
        "at_ns": at_ns,
        "run_id": fields.get("run_id"),
        "own_hits": own[0],
        "own_misses": own[1],
        "policy": fields.get("maxmemory_policy"),
        "keys": keys_of(fields),
    }


def summed(rows: Sequence[Row]) -> Row:
    """One row of `info` for all nodes: counters summed, memory of the fullest node, the shortest uptime.

    A number that one of them does not tell is null. `own_hits` and `own_misses` are of all nodes already.
    """
    if len(rows) == 1:
        return rows[0]
    total: Row = {name: _sum([row[name] for row in rows]) for name in (*_NUMBERS, "keys")}
    fullest = max(rows, key=lambda row: (row["used_memory"] or 0) / (row["maxmemory"] or 1 << 62))
    uptimes = [row["uptime_s"] for row in rows]
    return {
        **rows[0],
        **total,
        **{name: fullest[name] for name in ("used_memory", "maxmemory", "system_memory", "policy")},
        "uptime_s": None if None in uptimes else min(uptimes),
        "loading": _most([row["loading"] for row in rows]),
        "run_id": "+".join(sorted(str(row["run_id"]) for row in rows)),
    }


def summed_commands(rows: Sequence[Row]) -> list[Row]:
    """Rows of `commands` of all nodes: counts summed by command, the worst p99."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["command"], []).append(row)
    return [
        group[0]
        | {name: _sum([row[name] for row in group]) for name in ("calls", "usec", "rejected", "failed")}
        | {"p99_us": _most([row["p99_us"] for row in group])}
        for group in groups.values()
    ]


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _most(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def keys_of(fields: Mapping[str, str]) -> int:
    """Keys of all databases: INFO lists only databases that hold any (`db0:keys=3,expires=3,avg_ttl=98133`)."""
    databases = (pairs(value) for name, value in fields.items() if name.startswith("db") and name[2:].isdigit())
    return sum(int(database.get("keys", 0)) for database in databases)


def command_rows(fields: Mapping[str, str], end: str) -> list[Row]:
    """Rows of `commands` from the sections commandstats and latencystats."""
    rows: list[Row] = []
    for name, value in fields.items():
        if not name.startswith("cmdstat_"):
            continue
        command = name.removeprefix("cmdstat_")
        stats = pairs(value)
        latency = pairs(fields.get(f"latency_percentiles_usec_{command}", ""))
        rows.append(
            {
                "end": end,
                "command": command,
                "calls": _integer(stats.get("calls")),
                "usec": _integer(stats.get("usec")),
                "rejected": _integer(stats.get("rejected_calls")),
                "failed": _integer(stats.get("failed_calls")),
                "p99_us": float(latency["p99"]) if "p99" in latency else None,
            }
        )
    return rows


def counters(fields: Mapping[str, str]) -> tuple[int, int]:
    """(keyspace_hits, keyspace_misses)."""
    return int(fields.get("keyspace_hits", 0)), int(fields.get("keyspace_misses", 0))


def pairs(value: str) -> dict[str, str]:
    """`a=1,b=2` as a mapping."""
    return {name: content for name, equals, content in (part.partition("=") for part in value.split(",")) if equals}


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(float(text))
    except ValueError:
        return None
