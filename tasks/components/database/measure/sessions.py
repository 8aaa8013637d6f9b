"""Sampled sessions: the pool, all connections, idle transactions, ages and blocking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from deployments.config import RunConfig
from storage.records import Measurement, Unit
from tasks.components.database.measure.data import Data, none
from tasks.load.recording.samples import Floats, percentile, percentile_interval

BUSY = ("active", "idle in transaction", "idle in transaction (aborted)", "fastpath function call")
"""States in which a connection is taken out of its pool."""


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
        return [none(data, metric, Unit.RATIO, source, problem)]
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
        return [none(data, metric, Unit.RATIO, source, reason)]
    shares = seen / slots
    value, interval = percentile(shares, 0.95), percentile_interval(shares, 0.95)
    return [data.measurement(metric, value, Unit.RATIO, len(shares), source, interval=interval)]


def idle_in_transaction(data: Data, _: RunConfig) -> list[Measurement]:
    """Most sessions of this database that were idle in a transaction at once."""
    metric = "database.idle_in_transaction.count"
    source = "pg_stat_activity sampled: most sessions at once in the state idle in transaction"
    problem = _sessions_problem(data)
    if problem:
        return [none(data, metric, Unit.COUNT, source, problem)]
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


GROUPS_SHOWN = 20


def by_application(data: Data, _: RunConfig) -> list[Measurement]:
    """Connections by application and state, p95 over the samples; of this database, ours left out."""
    if _sessions_problem(data):
        return []
    source = "pg_stat_activity sampled: connections of the application in the state, p95"
    samples = sorted({row["sample"] for row in data.rows("activity")})
    groups: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for row in data.rows("activity"):
        if row["sessions"] and row["database"] and not row["own"]:
            group = (row["application"] or "(no application_name)", row["state"] or "unknown")
            groups[group][row["sample"]] += row["sessions"]
    found = []
    for (application, state), counted in groups.items():
        seen = np.array([counted.get(sample, 0) for sample in samples], np.float64)
        labels = {"application": application, "state": state}
        value, metric = percentile(seen, 0.95), "database.connections.count"
        found.append(data.measurement(metric, value, Unit.COUNT, len(seen), source, labels=labels))
    return sorted(found, key=lambda one: -(one.value or 0))[:GROUPS_SHOWN]


def running(data: Data, _: RunConfig) -> list[Measurement]:
    """How long statements had run when they were seen: p95 and the longest; an estimate that favours slow ones."""
    rows = data.rows("running")
    if _sessions_problem(data) or not rows:
        return []
    ages = np.array([max(0.0, row["age_s"]) * 1e3 for row in rows], np.float64)
    source = (
        "pg_stat_activity sampled: age of the application's statements that were running at a sample. A slow one is "
        "seen more often than a quick one, and before its end: no p95 of durations (database.query.p95 is)"
    )
    interval = percentile_interval(ages, 0.95)
    p95 = percentile(ages, 0.95)
    return [
        data.measurement("database.running.p95", p95, Unit.MS, len(ages), source, interval=interval),
        data.measurement("database.running.longest", float(ages.max()), Unit.MS, len(ages), source),
    ]


def waits(data: Data, _: RunConfig) -> list[Measurement]:
    """Sessions at work, on average, by what they wait for: the processor, or PostgreSQL's name of the wait."""
    samples = data.number("samples_taken") or 0
    if _sessions_problem(data) or not samples:
        return []
    sums: dict[str, float] = defaultdict(float)
    for row in data.rows("activity"):
        if row["sessions"] and row["database"] and not row["own"] and row["state"] == "active":
            sums[f"{row['wait_type']}:{row['wait']}" if row["wait_type"] else "on the processor"] += row["sessions"]
    source = "pg_stat_activity sampled: active sessions in this wait, mean over the samples"
    return [
        data.measurement(
            "database.wait.sessions", total / samples, Unit.COUNT, int(samples), source, labels={"wait": wait}
        )
        for wait, total in sorted(sums.items(), key=lambda pair: -pair[1])[:GROUPS_SHOWN]
    ]
