"""Raw tables → measurements; pure. What was not measured has no value and says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from deployments.config import RunConfig
from storage.records import Measurement
from tasks.components.base import Samples
from tasks.components.database.measure.bloat import bloat
from tasks.components.database.measure.counters import cache, deadlocks
from tasks.components.database.measure.data import Data
from tasks.components.database.measure.objects import (
    by_index,
    by_sequence,
    by_statement,
    by_table,
    index_figures,
    sequence_share,
    statement_figures,
    table_figures,
)
from tasks.components.database.measure.reads import reads
from tasks.components.database.measure.server import pools, replication, wraparound, written
from tasks.components.database.measure.sessions import (
    by_application,
    connections,
    idle_in_transaction,
    pool,
    running,
    sessions,
    waits,
)

__all__ = ["METRICS", "Data", "index_figures", "measure", "sequence_share", "statement_figures", "table_figures"]

METRICS = frozenset(
    {
        "database.query.p95",
        "database.query.p50",
        "database.query.p99",
        "database.errors.ratio",
        "database.pool.utilisation",
        "database.connections.utilisation",
        "database.cache.hits_ratio",
        "database.idle_in_transaction.count",
    }
)
"""Metrics without labels that are always answered."""


def measure(samples: Samples, config: RunConfig) -> list[Measurement]:
    """All measurements: the component's own figures first, then its parts."""
    data = Data.of(samples)
    parts: Iterable[Callable[[Data, RunConfig], list[Measurement]]] = (
        reads,
        pool,
        connections,
        cache,
        idle_in_transaction,
        sessions,
        by_application,
        waits,
        running,
        deadlocks,
        written,
        replication,
        wraparound,
        pools,
        by_statement,
        by_table,
        by_index,
        by_sequence,
        bloat,
    )
    return [found for part in parts for found in part(data, config)]
