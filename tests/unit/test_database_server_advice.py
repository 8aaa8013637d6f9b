"""Checks of the whole server on made-up readings: what is named, what is left alone, and the commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.config import RunConfig, build_config
from storage.records import Collected, Finding, Measurement, Severity, Window
from tasks.components.base import Samples
from tasks.components.database import DATABASE, schemas
from tasks.components.database.advise.pooler import recommended
from tasks.components.database.facts import shown

START = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
WINDOW = Window(start=START, end=START + timedelta(seconds=60))
FACTS = {
    "reads_all_stats": "true",
    "version_number": "180006",
    "samples_taken": "60",
    "size_bytes": str(8 * 2**30),
    "setting.shared_buffers": "2097152kB",
    "setting.work_mem": "4096kB",
    "setting.max_connections": "100",
    "setting.max_wal_size": "1024MB",
    "setting.checkpoint_timeout": "300s",
    "setting.fsync": "on",
    "machine.memory_mb": "8192",
    "machine.cores": "4",
    "machine.source": "the environment's file",
}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return build_config("development")


def samples_of(facts: dict[str, str], tables: dict[str, list[dict[str, Any]]]) -> Samples:
    stored = {name: schemas.table(name, rows) for name, rows in tables.items()}
    known = {**FACTS, **facts}
    stored["facts"] = schemas.table("facts", [{"name": name, "value": value} for name, value in known.items()])
    return Samples(tables=stored, collected=Collected(window=WINDOW))


def found(
    config: RunConfig, facts: dict[str, str] | None = None, **tables: list[dict[str, Any]]
) -> dict[str, Finding]:
    samples = samples_of(facts or {}, tables)
    return {one.id: one for one in DATABASE.advise(samples, DATABASE.measure(samples, config), config)}


def measured(config: RunConfig, **tables: list[dict[str, Any]]) -> dict[str, Measurement]:
    return {one.metric: one for one in DATABASE.measure(samples_of({}, tables), config)}


def counter(name: str, first: float, last: float) -> dict[str, Any]:
    return {"name": name, "first": first, "last": last, "delta": last - first}


def test_a_healthy_server_hears_nothing(config: RunConfig) -> None:
    assert found(config) == {}


@pytest.mark.parametrize(
    ("setting", "unit", "text"),
    [("16384", "8kB", "131072kB"), ("-1", "8kB", "-1"), ("300", "s", "300s"), ("on", None, "on")],
)
def test_settings_are_shown_in_units_that_mean_something(setting: str, unit: str | None, text: str) -> None:
    assert shown(setting, unit) == text


# --- settings ---


@pytest.mark.parametrize(
    ("facts", "finding", "command"),
    [
        ({"setting.fsync": "off"}, "database.setting:fsync", "ALTER SYSTEM SET fsync = 'on';"),
        ({"setting.autovacuum": "off"}, "database.setting:autovacuum", "ALTER SYSTEM SET autovacuum = 'on';"),
        ({"setting.track_counts": "off"}, "database.setting:track_counts", "ALTER SYSTEM SET track_counts = 'on';"),
        (
            {"setting.shared_buffers": "131072kB"},
            "database.setting:shared_buffers",
            "ALTER SYSTEM SET shared_buffers = '2048MB';",
        ),
        (
            {"setting.shared_buffers": "6291456kB"},
            "database.setting:shared_buffers",
            "ALTER SYSTEM SET shared_buffers = '2048MB';",
        ),
        ({"setting.work_mem": "65536kB"}, "database.setting:work_mem", "ALTER SYSTEM SET work_mem = '40MB';"),
        (
            {"setting.effective_cache_size": "524288kB"},
            "database.setting:effective_cache_size",
            "ALTER SYSTEM SET effective_cache_size = '6144MB';",
        ),
        (
            {"setting.maintenance_work_mem": "1048576kB", "setting.autovacuum_max_workers": "4"},
            "database.setting:maintenance_work_mem",
            "ALTER SYSTEM SET maintenance_work_mem = '512MB';",
        ),
    ],
)
def test_a_setting_that_contradicts_is_named(
    config: RunConfig, facts: dict[str, str], finding: str, command: str
) -> None:
    (one,) = found(config, facts).values()
    assert (one.id, one.remedy.commands[0]) == (finding, command)
    assert one.remedy.rollback[0] == f"ALTER SYSTEM RESET {one.subject};"


def test_without_the_machine_nothing_is_said_of_memory(config: RunConfig) -> None:
    facts = {"machine.memory_mb": "", "setting.shared_buffers": "131072kB", "setting.work_mem": "1048576kB"}
    assert found(config, facts) == {}


def test_durability_off_is_a_fault_but_not_on_a_throw_away_server(config: RunConfig) -> None:
    for local, severity in (("false", Severity.WARNING), ("true", Severity.INFO)):
        one = found(config, {"setting.fsync": "off", "local": local})["database.setting:fsync"]
        assert one.severity is severity


def test_a_setting_that_waits_for_a_restart_is_told(config: RunConfig) -> None:
    assert (
        "shared_buffers"
        in found(config, {"pending_restart": "shared_buffers"})["database.setting:pending_restart"].title
    )


# --- WAL, checkpoints, temporary files ---


def test_forced_checkpoints_want_a_larger_wal(config: RunConfig) -> None:
    counters = [
        counter("checkpoints.requested", 20, 23),
        counter("checkpoints.timed", 5, 5),
        counter("wal.position", 0, 60 * 10 * 2**20),
    ]
    one = found(config, counters=counters)["database.checkpoints:max_wal_size"]
    assert one.remedy.commands[0] == "ALTER SYSTEM SET max_wal_size = '6000MB';"  # 2 × 10 MB/s × 300 s
    assert {evidence.metric for evidence in one.evidence} >= {
        "database.wal.written",
        "database.checkpoints.requested",
    }


def test_one_forced_checkpoint_is_no_finding(config: RunConfig) -> None:
    assert (
        found(config, counters=[counter("checkpoints.requested", 1, 2), counter("checkpoints.timed", 50, 50)]) == {}
    )


def test_spilled_sorts_name_the_statement_and_the_role(config: RunConfig) -> None:
    statement = {
        **dict.fromkeys(("rows", "plans", "planning_ms", "blocks_hit", "blocks_read", "wal_bytes", "resets"), 0),
        "queryid": "77",
        "user": "reports",
        "own": False,
        "toplevel": True,
        "text": "SELECT big FROM t ORDER BY big",
        "calls": 2,
        "total_ms": 3.0,
        "temp_written": 2 * 4096,  # blocks of 8 kB: 32 MB a call
    }
    one = found(config, statements=[statement], counters=[counter("temp_bytes", 0, 80 * 2**20)])[
        "database.temporary_files:work_mem"
    ]
    assert "77 SELECT big" in one.detail
    assert one.remedy.commands == ("ALTER ROLE reports SET work_mem = '64MB';",)
    assert one.remedy.rollback == ("ALTER ROLE reports RESET work_mem;",)


def test_wal_that_cannot_be_archived_is_told(config: RunConfig) -> None:
    one = found(config, counters=[counter("archiver.failed", 3, 7)])["database.archiver:archive_command"]
    assert one.evidence[0].value == 4


# --- replicas, slots, prepared transactions ---


def test_a_replica_behind_is_named(config: RunConfig) -> None:
    row = {"name": "reports", "state": "streaming", "sync_state": "async", "lag_bytes": 5e8, "unsent_bytes": 0.0}
    assert found(config, replicas=[{**row, "lag_s": 0.4}]) == {}
    one = found(config, replicas=[{**row, "lag_s": 95.0}])["database.replication_lag:reports"]
    assert "95 s behind" in one.title
    assert {evidence.metric for evidence in one.evidence} == {
        "database.replication.lag",
        "database.replication.behind",
    }


SLOT = {"name": "cdc", "kind": "logical", "active": True, "wal_status": "reserved", "held_transactions": 10}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"retained_bytes": 1e6}, False),
        ({"retained_bytes": 5e9}, False),  # it is read, and catches up
        ({"retained_bytes": 5e9, "active": False}, True),
        ({"retained_bytes": 1e6, "wal_status": "lost"}, True),
        ({"retained_bytes": 1e6, "held_transactions": 5_000_000}, True),
        ({"retained_bytes": 1e6, "invalid": "wal_removed"}, True),
    ],
)
def test_a_slot_that_holds_on_is_named(config: RunConfig, values: dict[str, Any], *, named: bool) -> None:
    assert ("database.replication_slot:cdc" in found(config, slots=[{**SLOT, **values}])) is named


def test_a_forgotten_prepared_transaction_is_named(config: RunConfig) -> None:
    one = found(config, prepared=[{"name": "it's", "user": "app", "age_s": 4000.0}])[
        "database.prepared_transaction:it's"
    ]
    assert one.remedy.commands == ("ROLLBACK PREPARED 'it''s';",)
    assert one.evidence


def test_a_replica_says_how_old_it_is(config: RunConfig) -> None:
    gauges = [{"name": "replay.seconds", "last": 75.0}, {"name": "replay.bytes", "last": 9e6}]
    assert "75 s behind" in found(config, gauges=gauges)["database.replication_lag:database"].title


# --- pools, growth, reads ---


def pool(sample: int, **values: Any) -> dict[str, Any]:
    return {
        "sample": sample,
        "pool": "hasivu",
        "user": "app",
        "mode": "transaction",
        "size": 3,
        "clients_active": 3,
        "clients_waiting": 0,
        "servers_active": 3,
        "servers_idle": 0,
        "waited_ms": 0.0,
        **values,
    }


def test_a_queue_before_the_pool_is_named(config: RunConfig) -> None:
    quiet = [pool(number) for number in range(5)]
    assert found(config, pools=quiet) == {}
    assert measured(config, pools=quiet)["database.pooler.utilisation"].value == 1.0
    one = found(config, pools=[*quiet, pool(5, clients_waiting=4, waited_ms=850.0)])[
        "database.pooler_queue:hasivu/app"
    ]
    assert "850 ms" in one.title
    assert "In 1 of 6 samples" in one.detail
    assert {evidence.metric for evidence in one.evidence} >= {"database.pooler.wait", "database.pooler.waiting"}


def test_the_pool_follows_what_was_busy() -> None:
    assert [recommended(busy) for busy in (0.5, 3, 10, 20)] == [2, 4, 13, 26]


def test_a_growing_table_is_told(config: RunConfig) -> None:
    row = {
        "oid": 1,
        "schema": "public",
        "name": "audit",
        "kind": "r",
        "live": 1000,
        "dead": 0,
        "bytes": 50 * 2**20,
        "total_bytes": 60 * 2**20,
        "grown_bytes": 20 * 2**20,
        "inserts_delta": 9000,
    }
    one = found(config, tables=[row])["database.growing_table:public.audit"]
    assert "by 9000 rows more" in one.detail
    assert "database.table.growth" in {evidence.metric for evidence in one.evidence}
    assert found(config, tables=[{**row, "grown_bytes": 10**6}]) == {}
