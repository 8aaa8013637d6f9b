"""The server as a whole: WAL, checkpoints, replicas, slots, prepared transactions, and what holds vacuum back.

Views differ by version: pg_stat_wal is there since PostgreSQL 14, pg_stat_checkpointer since 17 (before that its
columns lay in pg_stat_bgwriter), reasons of an invalid slot since 17. Each part is read for itself: a part that a
managed service or a missing right denies is a note, and the others are there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tasks.components.database.facts import PG14, PG17
from tasks.load.database.session import QueryError, Row, Session

_WAL_LSN = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0') END::float8 AS "wal.position" """
_WAL = """
SELECT wal_records::float8 AS "wal.records", wal_fpi::float8 AS "wal.full_pages", wal_bytes::float8 AS "wal.bytes",
       wal_buffers_full::float8 AS "wal.buffers_full"
FROM pg_catalog.pg_stat_wal"""
_CHECKPOINTER = """
SELECT num_timed::float8 AS "checkpoints.timed", num_requested::float8 AS "checkpoints.requested",
       write_time::float8 AS "checkpoints.write_ms", sync_time::float8 AS "checkpoints.sync_ms",
       buffers_written::float8 AS "checkpoints.buffers",
       extract(epoch FROM stats_reset)::float8 AS "checkpoints.since"
FROM pg_catalog.pg_stat_checkpointer"""
_BGWRITER = """
SELECT checkpoints_timed::float8 AS "checkpoints.timed", checkpoints_req::float8 AS "checkpoints.requested",
       checkpoint_write_time::float8 AS "checkpoints.write_ms", checkpoint_sync_time::float8 AS "checkpoints.sync_ms",
       buffers_checkpoint::float8 AS "checkpoints.buffers",
       extract(epoch FROM stats_reset)::float8 AS "checkpoints.since"
FROM pg_catalog.pg_stat_bgwriter"""
_ARCHIVER = """
SELECT archived_count::float8 AS "archiver.archived", failed_count::float8 AS "archiver.failed"
FROM pg_catalog.pg_stat_archiver"""
_AGES = """
SELECT pg_catalog.age(datfrozenxid)::float8 AS "age.transactions",
       pg_catalog.mxid_age(datminmxid)::float8 AS "age.multixacts"
FROM pg_catalog.pg_database WHERE datname = current_database()"""
_REPLAY = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN
         pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
       END::float8 AS "replay.bytes",
       CASE WHEN pg_catalog.pg_is_in_recovery()
             AND pg_catalog.pg_last_wal_receive_lsn() IS DISTINCT FROM pg_catalog.pg_last_wal_replay_lsn() THEN
         extract(epoch FROM clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
       END::float8 AS "replay.seconds" """
_REPLICAS = """
SELECT coalesce(nullif(application_name, ''), 'pid ' || pid) AS name, state, sync_state,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), sent_lsn)::float8 AS unsent_bytes,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::float8 AS lag_bytes,
       extract(epoch FROM replay_lag)::float8 AS lag_s
FROM pg_catalog.pg_stat_replication WHERE NOT pg_catalog.pg_is_in_recovery()"""
_SLOTS = """
SELECT slot_name AS name, slot_type AS kind, database, active, wal_status, {reason} AS invalid,
       pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
         ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::float8 AS retained_bytes,
       greatest(pg_catalog.age(xmin), pg_catalog.age(catalog_xmin))::bigint AS held_transactions
FROM pg_catalog.pg_replication_slots WHERE NOT temporary"""
_PREPARED = """
SELECT gid AS name, owner AS user, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age_s
FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()"""


@dataclass
class Standing:
    """One reading: `counters` by name, `gauges` by name, and rows of replicas, slots and prepared transactions."""

    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    replicas: list[Row] = field(default_factory=list)
    slots: list[Row] = field(default_factory=list)
    prepared: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read(session: Session) -> Standing:
    """Read all parts; what could not be read is in `problems`."""
    found = Standing()
    wal = [_WAL] if session.version >= PG14 else []
    checkpoints = _CHECKPOINTER if session.version >= PG17 else _BGWRITER
    for query, what in (
        (_WAL_LSN, "the WAL position"),
        *((query, "WAL counters") for query in wal),
        (checkpoints, "checkpoint counters"),
        (_ARCHIVER, "archiver counters"),
    ):
        found.counters |= _numbers(_rows(session, query, what, found.problems))
    for query, what in ((_AGES, "transaction ages"), (_REPLAY, "replay of WAL")):
        found.gauges |= _numbers(_rows(session, query, what, found.problems))
    found.replicas = _rows(session, _REPLICAS, "replicas", found.problems)
    reason = "invalidation_reason" if session.version >= PG17 else "NULL::text"
    found.slots = _rows(session, _SLOTS.replace("{reason}", reason), "replication slots", found.problems)
    found.prepared = _rows(session, _PREPARED, "prepared transactions", found.problems)
    return found


def _rows(session: Session, query: str, what: str, problems: list[str]) -> list[Row]:
    try:
        return session.query(query)
    except QueryError as error:
        problems.append(f"{what} could not be read: {error}")
        return []


def _numbers(rows: Iterable[Row]) -> dict[str, float]:
    return {name: float(value) for row in rows for name, value in row.items() if value is not None}
