"""Statements, tables, indexes and sequences, one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.config import RunConfig
from storage.records import Measurement, Unit
from tasks.components.database.measure.data import CACHE_BLOCKS, Data
from tasks.components.database.statements import label

TABLES_SHOWN = 50
INDEXES_SHOWN = 100


def by_statement(data: Data, config: RunConfig) -> list[Measurement]:
    """Calls, total and mean time of the statements that took the most time within the window."""
    shown = [row for row in data.rows("statements") if not row["own"] and row["calls"] > 0]
    return [found for row in shown[: config.environment.database.top] for found in statement_figures(data, row)]


def statement_figures(data: Data, row: Mapping[str, Any]) -> list[Measurement]:
    """Calls, total and mean time of one statement that was called within the window."""
    labels = {"statement": label(row["queryid"], row["text"])}
    calls, total = row["calls"], row["total_ms"]
    source = "pg_stat_statements, difference over the window"
    note = "a lower bound: its counters were reset within the window" if row["resets"] else ""
    return [
        data.measurement(f"database.statement.{metric}", value, unit, calls, source, labels=labels, note=note)
        for metric, value, unit in (
            ("calls", float(calls), Unit.COUNT),
            ("total", total, Unit.MS),
            ("mean", total / calls, Unit.MS),
        )
    ]


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
    if row.get("grown_bytes") is not None:  # runs of earlier versions have no such column
        source = "pg_total_relation_size, difference over the window"
        grown = float(row["grown_bytes"])
        found.append(data.measurement("database.table.growth", grown, Unit.BYTES, 1, source, labels=labels))
    source = "pg_statio_user_tables, window: heap and index blocks hit ÷ (hit + read)"
    return found + _hits(data, row, "database.table.hits_ratio", source, labels)


def _hits(
    data: Data, row: Mapping[str, Any], metric: str, source: str, labels: Mapping[str, str]
) -> list[Measurement]:
    asked = (row["blocks_hit_delta"] or 0) + (row["blocks_read_delta"] or 0)
    if asked < CACHE_BLOCKS:
        return []
    ratio = (row["blocks_hit_delta"] or 0) / asked
    return [data.measurement(metric, ratio, Unit.RATIO, asked, source, labels=labels)]


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
    source = "pg_statio_user_indexes, window: index blocks hit ÷ (hit + read)"
    return found + _hits(data, row, "database.index.hits_ratio", source, labels)


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
