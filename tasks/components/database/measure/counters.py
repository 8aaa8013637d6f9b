"""Counters of the server and of the database: what the window added."""

from __future__ import annotations

from deployments.config import RunConfig
from storage.records import Measurement, Unit
from tasks.components.database.measure.data import CACHE_BLOCKS, Data, none


def deadlocks(data: Data, _: RunConfig) -> list[Measurement]:
    """Deadlocks of this database within the window."""
    row = next((row for row in data.rows("counters") if row["name"] == "deadlocks"), None)
    if row is None or row["delta"] is None:
        return []
    source = "pg_stat_database, difference over the window"
    return [data.measurement("database.deadlocks.count", row["delta"], Unit.COUNT, 1, source)]


def cache(data: Data, _: RunConfig) -> list[Measurement]:
    """Blocks of tables and indexes that were found in shared buffers within the window."""
    metric = "database.cache.hits_ratio"
    source = "pg_statio_user_tables, window: (heap + index blocks hit) ÷ (hit + read); the OS cache is not seen"
    tables = [row for row in data.rows("tables") if row["blocks_hit_delta"] is not None]
    hit = sum(row["blocks_hit_delta"] for row in tables)
    total = hit + sum(row["blocks_read_delta"] for row in tables)
    if total < CACHE_BLOCKS:
        reason = f"only {total} blocks were asked for in the window" if tables else "table statistics were not read"
        return [none(data, metric, Unit.RATIO, source, reason)]
    return [data.measurement(metric, hit / total, Unit.RATIO, total, source)]
