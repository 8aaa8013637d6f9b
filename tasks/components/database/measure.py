"""Raw tables → measurements; pure. What was not measured has no value and says why.

Percentiles are exact, by nearest rank, over client-side samples or sampled seconds: never derived from the means of
pg_stat_statements, which keeps no distribution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.config import RunConfig
from storage.records import Measurement, Unit, Window
from tasks.components.base import Samples
from tasks.components.database.statements import label
from tasks.load.recording.samples import (
    STEADY,
    Floats,
    column,
    counts,
    endpoints,
    of_endpoint,
    of_phase,
    percentile,
    percentile_interval,
)

BUSY = ("active", "idle in transaction", "idle in transaction (aborted)", "fastpath function call")
"""States in which a connection is taken out of its pool."""

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

TABLES_SHOWN = 50
INDEXES_SHOWN = 100
_CACHE_BLOCKS = 100

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Data:
    """The stored tables as rows, the facts as a mapping, and the window."""

    samples: Samples
    window: Window
    facts: Mapping[str, str]

    @classmethod
    def of(cls, samples: Samples) -> Data:
        """Take the facts out of the samples."""
        facts = {row["name"]: row["value"] for row in _rows(samples, "facts")}
        return cls(samples, samples.collected.window, facts)

    def rows(self, name: str) -> Rows:
        """Rows of one table; none where it was not collected."""
        return _rows(self.samples, name)

    def number(self, name: str) -> float | None:
        """A fact as a number, None where it is unknown."""
        try:
            return float(self.facts.get(name, ""))
        except ValueError:
            return None

    def measurement(
        self, metric: str, value: float | None, unit: Unit, n: int, source: str, **other: Any
    ) -> Measurement:
        """A measurement over the window."""
        return Measurement(metric=metric, value=value, unit=unit, n=n, source=source, window=self.window, **other)


def _rows(samples: Samples, name: str) -> Rows:
    table = samples.tables.get(name)
    return [] if table is None else table.to_pylist()


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
        deadlocks,
        by_statement,
        by_table,
        by_index,
        by_sequence,
    )
    return [found for part in parts for found in part(data, config)]


# --- timed reads ---

_READS = "client-side timing of representative reads, open model, from the intended start to the last row"


def reads(data: Data, _: RunConfig) -> list[Measurement]:
    """Percentiles and error ratio of the timed reads, in all and by statement, over the steady phase."""
    table = data.samples.tables.get("samples")
    steady = None if table is None else of_phase(table, STEADY)
    if steady is None or steady.num_rows == 0:
        reason = data.facts.get("reads_problem") or "no representative read was sent in the steady phase"
        return [
            *(_none(data, f"database.query.{name}", Unit.MS, _READS, reason) for name in ("p50", "p95", "p99")),
            _none(data, "database.errors.ratio", Unit.RATIO, _READS, reason),
        ]
    found = [*_percentiles(data, steady, {}), _errors(data, steady, {})]
    for name in endpoints(steady):
        part = of_endpoint(steady, name)
        found += [*_percentiles(data, part, {"statement": name}), _errors(data, part, {"statement": name})]
    return found


def _percentiles(data: Data, table: Any, labels: Mapping[str, str]) -> list[Measurement]:
    """A read that timed out took at least its time-out and counts with that: slow reads cannot leave the figure."""
    error = np.array([kind or "" for kind in table.column("error").to_pylist()])
    failed = table.column("failed").to_numpy()
    timed_out = error == "timeout"
    kept = ((error == "") & ~failed) | timed_out
    latency: Floats = ((column(table, "received_ns") - column(table, "intended_ns"))[kept]) / 1e6
    note = ""
    if timed_out.any():
        many = int(timed_out.sum())
        note = f"{many} of {len(latency)} reads timed out and count with the time they took: a lower bound"
    if len(latency) == 0:
        note = "no data: none of the reads was answered with rows"
    return [
        data.measurement(
            f"database.query.{name}",
            percentile(latency, q),
            Unit.MS,
            len(latency),
            _READS,
            interval=percentile_interval(latency, q),
            labels=labels,
            note=note,
        )
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]


def _errors(data: Data, table: Any, labels: Mapping[str, str]) -> Measurement:
    number = counts(table)
    ratio = (number["failed"] + number["errors"]) / number["sent"]
    source = "timed reads: (SQL errors + time-outs + lost connections) ÷ reads sent"
    return data.measurement("database.errors.ratio", ratio, Unit.RATIO, number["sent"], source, labels=labels)


def _none(data: Data, metric: str, unit: Unit, source: str, note: str) -> Measurement:
    return data.measurement(metric, None, unit, 0, source, note=note)


# --- sessions ---


def _per_sample(data: Data, wanted: Callable[[dict[str, Any]], bool]) -> Floats:
    """Sessions that are wanted, counted in each sample that was taken."""
    sums: dict[int, int] = defaultdict(int)
    for row in data.rows("activity"):
        sums[row["sample"]] += row["sessions"] if row["sessions"] and wanted(row) else 0
    return np.array([sums[sample] for sample in sorted(sums)], np.float64)


def _slots(data: Data) -> float | None:
    """Connections that ordinary roles may open: max_connections − reserved ones."""
    most = data.number("setting.max_connections")
    if most is None:
        return None
    reserved = (data.number(f"setting.{name}") for name in ("superuser_reserved_connections", "reserved_connections"))
    return most - sum(value or 0 for value in reserved)


def pool(data: Data, config: RunConfig) -> list[Measurement]:
    """p95 over the samples of busy connections ÷ connections that the pool may open."""
    metric, settings = "database.pool.utilisation", config.environment.database
    name = settings.application
    who = f"application {name!r}" if name else "all applications but this one"

    def of_application(row: dict[str, Any]) -> bool:
        return bool(row["database"]) and not row["own"] and (name is None or row["application"] == name)

    size = float(settings.pool_size) if settings.pool_size else _slots(data)
    of = "pool_size" if settings.pool_size else "max_connections − reserved"
    source = (
        f"pg_stat_activity sampled every {settings.sample_every_s:g} s: connections of {who} that are active or in a "
        f"transaction ÷ {of} ({size:g})"
        if size
        else "pg_stat_activity"
    )
    problem = _sessions_problem(data)
    seen = _per_sample(data, of_application)
    if not problem and not size:
        problem = "neither pool_size nor max_connections is known"
    if not problem and name and not seen.any():
        problem = f"no session of {who} was seen: set [database] application to the pool's application_name"
    if problem or not size:
        return [_none(data, metric, Unit.RATIO, source, problem)]
    busy = _per_sample(data, lambda row: of_application(row) and row["state"] in BUSY) / size
    value = percentile(busy, 0.95)
    note = "more connections are busy than the pool should open: is pool_size right?" if (value or 0) > 1 else ""
    interval = percentile_interval(busy, 0.95)
    return [data.measurement(metric, value, Unit.RATIO, len(busy), source, interval=interval, note=note)]


def _sessions_problem(data: Data) -> str:
    if not data.rows("activity"):
        return "no sample of pg_stat_activity was taken"
    if data.facts.get("reads_all_stats") != "true":
        return "the states of other sessions are hidden: GRANT pg_monitor to the role"
    return ""


def connections(data: Data, _: RunConfig) -> list[Measurement]:
    """p95 over the samples of all client connections ÷ those that ordinary roles may open."""
    slots = _slots(data)
    metric = "database.connections.utilisation"
    source = f"pg_stat_activity sampled: client connections of the server ÷ (max_connections − reserved) ({slots})"
    seen = _per_sample(data, lambda _: True)
    if not slots or len(seen) == 0:
        reason = "max_connections is not known" if len(seen) else "no sample of pg_stat_activity was taken"
        return [_none(data, metric, Unit.RATIO, source, reason)]
    shares = seen / slots
    value, interval = percentile(shares, 0.95), percentile_interval(shares, 0.95)
    return [data.measurement(metric, value, Unit.RATIO, len(shares), source, interval=interval)]


def idle_in_transaction(data: Data, _: RunConfig) -> list[Measurement]:
    """Most sessions of this database that were idle in a transaction at once."""
    metric = "database.idle_in_transaction.count"
    source = "pg_stat_activity sampled: most sessions at once in the state idle in transaction"
    problem = _sessions_problem(data)
    if problem:
        return [_none(data, metric, Unit.COUNT, source, problem)]
    seen = _per_sample(
        data,
        lambda row: (
            bool(row["database"]) and not row["own"] and (row["state"] or "").startswith("idle in transaction")
        ),
    )
    return [data.measurement(metric, float(seen.max()), Unit.COUNT, len(seen), source)]


def sessions(data: Data, _: RunConfig) -> list[Measurement]:
    """Greatest ages by application, and most sessions that were blocked at once."""
    if _sessions_problem(data):
        return []
    source = "pg_stat_activity sampled: greatest age seen"
    idle: dict[str, list[float]] = defaultdict(list)
    transactions: dict[str, list[float]] = defaultdict(list)
    blocked: dict[int, int] = defaultdict(int)
    for row in data.rows("sessions"):
        name = row["application"] or "(no application_name)"
        if (row["state"] or "").startswith("idle in transaction"):
            idle[name].append(row["state_s"] or 0.0)
        else:
            transactions[name].append(row["transaction_s"] or 0.0)
        blocked[row["sample"]] += bool(row["blocked_by"])
    found = [
        data.measurement(metric, max(ages) * 1e3, Unit.MS, len(ages), source, labels={"application": name})
        for metric, groups in (("database.idle_in_transaction.age", idle), ("database.transaction.age", transactions))
        for name, ages in sorted(groups.items())
    ]
    samples = int(data.number("samples_taken") or 0)
    if samples:
        source = "pg_stat_activity sampled, pg_blocking_pids: most sessions blocked at once"
        most = float(max(blocked.values(), default=0))
        found.append(data.measurement("database.blocked.count", most, Unit.COUNT, samples, source))
    return found


# --- server counters ---


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
    if total < _CACHE_BLOCKS:
        reason = f"only {total} blocks were asked for in the window" if tables else "table statistics were not read"
        return [_none(data, metric, Unit.RATIO, source, reason)]
    return [data.measurement(metric, hit / total, Unit.RATIO, total, source)]


def by_statement(data: Data, config: RunConfig) -> list[Measurement]:
    """Calls, total and mean time of the statements that took the most time within the window."""
    found = []
    source = "pg_stat_statements, difference over the window"
    shown = [row for row in data.rows("statements") if not row["own"] and row["calls"] > 0]
    for row in shown[: config.environment.database.top]:
        labels = {"statement": label(row["queryid"], row["text"])}
        calls, total = row["calls"], row["total_ms"]
        note = "a lower bound: its counters were reset within the window" if row["resets"] else ""
        for metric, value, unit in (
            ("calls", float(calls), Unit.COUNT),
            ("total", total, Unit.MS),
            ("mean", total / calls, Unit.MS),
        ):
            name = f"database.statement.{metric}"
            found.append(data.measurement(name, value, unit, calls, source, labels=labels, note=note))
    return found


_TABLE_FIGURES: Sequence[tuple[str, tuple[str, ...]]] = (
    ("scans_sequential", ("seq_scan_delta",)),
    ("scans_index", ("idx_scan_delta",)),
    ("rows_read", ("seq_rows_delta", "idx_rows_delta")),
    ("writes", ("inserts_delta", "updates_delta", "deletes_delta")),
)


def queries_of(row: Mapping[str, Any]) -> int:
    """How often a table was asked: scans of it and of its indexes, within the window."""
    return (row["seq_scan_delta"] or 0) + (row["idx_scan_delta"] or 0)


def by_table(data: Data, _: RunConfig) -> list[Measurement]:
    """Scans, rows read, writes, dead rows and cache hits by table, those with the most queries first."""
    found = []
    tables = sorted(data.rows("tables"), key=lambda row: (-queries_of(row), -(row["bytes"] or 0), row["name"]))
    for row in tables[:TABLES_SHOWN]:
        found += table_figures(data, row)
    return found


def table_figures(data: Data, row: Mapping[str, Any]) -> list[Measurement]:
    """All figures of one table; those that the server did not tell are absent."""
    labels = {"table": f"{row['schema']}.{row['name']}"}
    source = "pg_stat_user_tables, difference over the window (the server reports up to 10 s late)"
    found = []
    for name, parts in _TABLE_FIGURES:
        values = [row[part] for part in parts if row[part] is not None]
        if values:
            total, metric = float(sum(values)), f"database.table.{name}"
            found.append(data.measurement(metric, total, Unit.COUNT, 1, source, labels=labels))
    return found + _table_state(data, row, labels)


def _table_state(data: Data, row: Mapping[str, Any], labels: Mapping[str, str]) -> list[Measurement]:
    """Figures at the window's end: share of dead rows, size; and the table's own cache hits over the window."""
    found = []
    total = (row["live"] or 0) + (row["dead"] or 0)
    if row["dead"] is not None and total:
        source = "pg_stat_user_tables at the window's end: dead ÷ (live + dead) rows, estimates"
        ratio = row["dead"] / total
        found.append(data.measurement("database.table.dead_ratio", ratio, Unit.RATIO, total, source, labels=labels))
    if row["bytes"] is not None:
        size = float(row["total_bytes"] or row["bytes"])
        source = "pg_total_relation_size at the window's end" if row["total_bytes"] else "pages of the catalogue"
        found.append(data.measurement("database.table.size", size, Unit.BYTES, 1, source, labels=labels))
    asked = (row["blocks_hit_delta"] or 0) + (row["blocks_read_delta"] or 0)
    if asked >= _CACHE_BLOCKS:
        source = "pg_statio_user_tables, window: heap and index blocks hit ÷ (hit + read)"
        ratio = row["blocks_hit_delta"] / asked
        found.append(data.measurement("database.table.hits_ratio", ratio, Unit.RATIO, asked, source, labels=labels))
    return found


def by_index(data: Data, _: RunConfig) -> list[Measurement]:
    """Size and scans of the largest indexes; scans count since the statistics were last reset."""
    found = []
    indexes = sorted(data.rows("indexes"), key=lambda row: (-(row["bytes"] or 0), row["name"]))
    for row in indexes[:INDEXES_SHOWN]:
        found += index_figures(data, row)
    return found


def index_figures(data: Data, row: Mapping[str, Any]) -> list[Measurement]:
    """Size and scans of one index."""
    labels = {"index": f"{row['schema']}.{row['name']}"}
    found = []
    if row["bytes"] is not None:
        source = "pg_relation_size at the window's end"
        size = float(row["bytes"])
        found.append(data.measurement("database.index.size", size, Unit.BYTES, 1, source, labels=labels))
    if row["scans"] is not None:
        source = f"pg_stat_user_indexes.idx_scan since {data.facts.get('statistics_since') or 'the statistics began'}"
        scans = float(row["scans"])
        found.append(data.measurement("database.index.scans", scans, Unit.COUNT, 1, source, labels=labels))
    return found


def sequence_share(row: Mapping[str, Any]) -> float | None:
    """Share of a sequence's range that is used: (last − first) ÷ (limit − first); None where it was never called."""
    if row["last"] is None or row["limit"] == row["first"]:
        return None
    used: float = (row["last"] - row["first"]) / (row["limit"] - row["first"])
    return min(1.0, max(0.0, used))


def by_sequence(data: Data, _: RunConfig) -> list[Measurement]:
    """Share of its range that each sequence has used, the fullest first."""
    shares = [(sequence_share(row), row) for row in data.rows("sequences")]
    known = sorted(((share, row) for share, row in shares if share is not None), key=lambda pair: -pair[0])
    source = "pg_sequences: (last − first) ÷ (limit − first), the limit of the narrowest of sequence and column"
    return [
        data.measurement(
            "database.sequence.used",
            share,
            Unit.RATIO,
            1,
            source,
            labels={"sequence": f"{row['schema']}.{row['name']}"},
        )
        for share, row in known[:TABLES_SHOWN]
    ]
