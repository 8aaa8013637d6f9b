"""PgBouncer's queue, and the size of the pool from the connections that were busy."""

from __future__ import annotations

import math

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.database.advise.case import Case, finding

WAIT_MS = 100.0
"""A client that waits longer for a connection is felt."""

HEADROOM = 1.3
"""Connections that the pool should have for one that is busy at p95."""

IDLE_SHARE, SPARE = 0.25, 10
"""A pool of which at p95 less than this is busy, with so many to spare, holds memory for nothing."""

FEWEST_SAMPLES = 30


def check(case: Case) -> list[Finding]:
    """Queues of PgBouncer, and a pool that is far too wide."""
    waits = [one for one in case.measurements if one.metric == "database.pooler.wait" and (one.value or 0) >= WAIT_MS]
    return [*(_queue(case, one) for one in waits), *_wide(case)]


def _queue(case: Case, wait: Measurement) -> Finding:
    labels = dict(wait.labels)
    rows = [row for row in case.data.rows("pools") if (row["pool"], row["user"]) == (labels["pool"], labels["user"])]
    size, queued = rows[-1]["size"], sum(row["clients_waiting"] > 0 for row in rows)
    full = max(row["servers_active"] for row in rows)
    metrics = ("database.pooler.wait", "database.pooler.waiting", "database.pooler.utilisation")
    return finding(
        "pooler_queue",
        f"{labels['pool']}/{labels['user']}",
        title=f"Clients wait up to {wait.value:,.0f} ms for a connection of pool {labels['pool']}",
        detail=(
            f"In {queued} of {len(rows)} samples clients of role {labels['user']} were queued; up to {full} of "
            f"{size} servers worked (mode {rows[-1]['mode']})."
        ),
        severity=Severity.WARNING,
        impact=Level.HIGH if queued > 1 else Level.MEDIUM,
        effort=Level.LOW,
        evidence=case.evidence(metrics, **labels),
        remedy=Remedy(
            summary=(
                "First shorten what holds servers (idle in transaction, slow statements). Where all truly work and "
                f"the database has processors to spare, raise pool_size above {size} in pgbouncer.ini and reload."
            ),
        ),
    )


def recommended(busy_p95: float) -> int:
    """Connections that a pool needs for so many busy ones: a third more, and at least two."""
    return max(2, math.ceil(busy_p95 * HEADROOM))


def _wide(case: Case) -> list[Finding]:
    size = case.config.environment.database.pool_size
    use = next(iter(case.evidence(("database.pool.utilisation",))), None)
    if use is None or use.value is None or not size or use.n < FEWEST_SAMPLES or use.value <= 0:
        return []
    busy = use.value * size
    wanted = recommended(busy)
    if use.value >= IDLE_SHARE or size - wanted < SPARE:
        return []
    return [
        finding(
            "pool_size",
            case.config.environment.database.application or "application",
            title=f"The pool of {size} connections had {busy:.0f} busy at p95: {wanted} would do for this load",
            detail=(
                f"{use.source}. {wanted} is a third more than was busy; the busiest hour counts, so judge by a "
                "window of it. Each open connection holds memory and a slot of max_connections."
            ),
            severity=Severity.INFO,
            impact=Level.LOW,
            evidence=(use,),
            remedy=Remedy(summary=f"Where this window was the busiest hour, set the pool to {wanted}."),
        )
    ]
