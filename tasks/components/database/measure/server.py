"""The server as a whole: WAL, checkpoints, temporary files, replicas, slots, pools and transaction ids."""

from __future__ import annotations

import numpy as np

from deployments.config import RunConfig
from storage.records import Measurement, Unit
from tasks.components.database.measure.data import Data
from tasks.load.recording.samples import percentile, percentile_interval

WRAPAROUND = 2**31
"""Transaction ids: at that age of the oldest row the server refuses to write."""


def written(data: Data, _: RunConfig) -> list[Measurement]:
    """WAL, checkpoints and temporary files of the window."""
    found = []
    for metric, counter, unit, source in (
        ("database.wal.written", "wal.position", Unit.BYTES, "pg_current_wal_lsn, difference over the window"),
        ("database.wal.full_pages", "wal.full_pages", Unit.COUNT, "pg_stat_wal.wal_fpi, difference over the window"),
        ("database.checkpoints.timed", "checkpoints.timed", Unit.COUNT, _CHECKPOINTS),
        ("database.checkpoints.requested", "checkpoints.requested", Unit.COUNT, _CHECKPOINTS),
        ("database.archiver.failed", "archiver.failed", Unit.COUNT, _ARCHIVER),
        (
            "database.temp.written",
            "temp_bytes",
            Unit.BYTES,
            "pg_stat_database.temp_bytes, difference over the window",
        ),
        ("database.temp.files", "temp_files", Unit.COUNT, "pg_stat_database.temp_files, difference over the window"),
    ):
        value = data.delta(counter)
        if value is not None:
            found.append(data.measurement(metric, value, unit, 1, source))
    return found


_ARCHIVER = "pg_stat_archiver.failed_count, difference over the window"
_CHECKPOINTS = "pg_stat_checkpointer (17+) or pg_stat_bgwriter, difference over the window"


def replication(data: Data, _: RunConfig) -> list[Measurement]:
    """How far replicas are behind, and what slots keep, at the window's end."""
    found = []
    for row in data.rows("replicas"):
        labels = {"replica": row["name"]}
        if row["lag_bytes"] is not None:
            source = "pg_stat_replication at the window's end: pg_current_wal_lsn − replay_lsn"
            metric = "database.replication.behind"
            found.append(data.measurement(metric, row["lag_bytes"], Unit.BYTES, 1, source, labels=labels))
        if row["lag_s"] is not None:
            source = "pg_stat_replication.replay_lag at the window's end (null while nothing is written)"
            metric = "database.replication.lag"
            found.append(data.measurement(metric, row["lag_s"] * 1e3, Unit.MS, 1, source, labels=labels))
    for row in data.rows("slots"):
        if row["retained_bytes"] is not None:
            source = "pg_replication_slots at the window's end: the WAL position − restart_lsn"
            metric, labels = "database.slot.retained", {"slot": row["name"]}
            found.append(data.measurement(metric, row["retained_bytes"], Unit.BYTES, 1, source, labels=labels))
    source = "pg_prepared_xacts at the window's end"
    found += [
        data.measurement(
            "database.prepared.age", row["age_s"] * 1e3, Unit.MS, 1, source, labels={"name": row["name"]}
        )
        for row in data.rows("prepared")
    ]
    return [*found, *_replay(data)]


def _replay(data: Data) -> list[Measurement]:
    """A replica's own delay, where this server is one."""
    last = {row["name"]: row["last"] for row in data.rows("gauges")}
    found = []
    if last.get("replay.seconds") is not None:
        source = "on the replica: now − pg_last_xact_replay_timestamp, where WAL waits to be replayed"
        found.append(data.measurement("database.replay.lag", last["replay.seconds"] * 1e3, Unit.MS, 1, source))
    if last.get("replay.bytes") is not None:
        source = "on the replica: WAL received − WAL replayed"
        found.append(data.measurement("database.replay.behind", last["replay.bytes"], Unit.BYTES, 1, source))
    return found


def wraparound(data: Data, _: RunConfig) -> list[Measurement]:
    """Share of the transaction ids, and of the multixact ids, that the oldest row of the database has used up."""
    last = {row["name"]: row["last"] for row in data.rows("gauges")}
    source = "pg_database at the window's end: age(datfrozenxid) ÷ 2^31, or mxid_age(datminmxid) ÷ 2^31"
    return [
        data.measurement(f"database.wraparound.{name}", last[f"age.{name}"] / WRAPAROUND, Unit.RATIO, 1, source)
        for name in ("transactions", "multixacts")
        if last.get(f"age.{name}") is not None
    ]


def pools(data: Data, _: RunConfig) -> list[Measurement]:
    """PgBouncer's pools: clients that waited, how long, and servers in use, by pool and role."""
    groups: dict[tuple[str, str], list[dict[str, float]]] = {}
    for row in data.rows("pools"):
        groups.setdefault((row["pool"], row["user"]), []).append(row)
    found = []
    for (pool, user), rows in sorted(groups.items()):
        labels, n = {"pool": pool, "user": user}, len(rows)
        source = "PgBouncer's SHOW POOLS, sampled: "
        busy = np.array([row["servers_active"] / row["size"] for row in rows if row["size"]], np.float64)
        waiting, longest = (max(float(row[name]) for row in rows) for name in ("clients_waiting", "waited_ms"))
        found += [
            data.measurement(
                "database.pooler.waiting", waiting, Unit.COUNT, n, source + "most clients in the queue", labels=labels
            ),
            data.measurement(
                "database.pooler.wait", longest, Unit.MS, n, source + "longest wait of a queue's first", labels=labels
            ),
        ]
        if len(busy):
            metric, of = "database.pooler.utilisation", source + "servers that work ÷ pool_size, p95"
            value, interval = percentile(busy, 0.95), percentile_interval(busy, 0.95)
            found.append(data.measurement(metric, value, Unit.RATIO, len(busy), of, interval=interval, labels=labels))
    return found
