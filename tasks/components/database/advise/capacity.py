"""Whether the pool, the connections and the cache suffice, and whether statements queue or spill."""

from __future__ import annotations

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.database.advise.case import Case, finding
from tasks.components.database.advise.pooler import recommended

CONNECTIONS_WARNING, CONNECTIONS_CRITICAL = 0.85, 0.95
HITS_LOW, HITS_BLOCKS = 0.90, 10_000
"""PostgreSQL's own documentation names no limit; 90 % over at least 10,000 blocks is where reads start to show."""


def check(case: Case) -> list[Finding]:
    """Findings on pool, connections, cache and deadlocks."""
    return [*_pool(case), *_connections(case), *_cache(case), *_deadlocks(case)]


def _one(case: Case, metric: str) -> Measurement | None:
    return next(iter(case.evidence((metric,))), None)


def _pool(case: Case) -> list[Finding]:
    metric = "database.pool.utilisation"
    found, limits = _one(case, metric), case.threshold(metric)
    if found is None or found.value is None or limits is None or found.value <= limits.fair:
        return []
    size = case.config.environment.database.pool_size or case.data.number("setting.max_connections") or 1
    wanted = max(recommended(found.value * size), int(size) + 1)
    return [
        finding(
            "pool",
            case.config.environment.database.application or "application",
            title=f"The connection pool is {found.value:.0%} in use at p95",
            detail=(
                f"{found.source}. Above {limits.fair:.0%} requests begin to wait for a connection. "
                "First shorten what holds connections (idle in transaction, slow statements), then widen the pool."
            ),
            severity=Severity.CRITICAL if found.value > limits.poor else Severity.WARNING,
            impact=Level.HIGH,
            effort=Level.MEDIUM,
            evidence=(found,),
            remedy=Remedy(
                summary=(
                    "Free connections sooner; where they are all truly busy and the server has processors to spare, "
                    f"raise the pool to {wanted} (a third more than was busy) and max_connections with it."
                ),
            ),
        )
    ]


def _connections(case: Case) -> list[Finding]:
    found = _one(case, "database.connections.utilisation")
    if found is None or found.value is None or found.value < CONNECTIONS_WARNING:
        return []
    most = int(case.data.number("setting.max_connections") or 0)
    return [
        finding(
            "connections",
            "max_connections",
            title=f"{found.value:.0%} of the server's connections are taken",
            detail=f"{found.source}; at 100 % the next client is refused.",
            severity=Severity.CRITICAL if found.value >= CONNECTIONS_CRITICAL else Severity.WARNING,
            impact=Level.HIGH,
            effort=Level.MEDIUM,
            evidence=(found,),
            remedy=Remedy(
                summary="Put a pooler in front, or raise max_connections (a restart, and memory per connection).",
                commands=(f"ALTER SYSTEM SET max_connections = {most * 3 // 2};",),
                rollback=("ALTER SYSTEM RESET max_connections;",),
            ),
        )
    ]


def _cache(case: Case) -> list[Finding]:
    found = _one(case, "database.cache.hits_ratio")
    if found is None or found.value is None or found.value >= HITS_LOW or found.n < HITS_BLOCKS:
        return []
    misses = sorted(
        (row for row in case.tables.values() if row["blocks_read_delta"]), key=lambda row: -row["blocks_read_delta"]
    )
    worst = ", ".join(f"{row['schema']}.{row['name']} ({row['blocks_read_delta']} blocks)" for row in misses[:3])
    return [
        finding(
            "cache_hits",
            "shared_buffers",
            title=f"Only {found.value:.1%} of blocks came from shared buffers",
            detail=f"{found.n} blocks were asked for in the window; most misses: {worst or 'none by table'}.",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            effort=Level.MEDIUM,
            evidence=(found,),
            remedy=Remedy(
                summary=(
                    "First remove whole-table reads (see the proposed indexes); then raise shared_buffers towards a "
                    f"quarter of the memory (now {case.data.facts.get('setting.shared_buffers', 'unknown')})."
                ),
            ),
        )
    ]


def _deadlocks(case: Case) -> list[Finding]:
    row = next((row for row in case.data.rows("counters") if row["name"] == "deadlocks"), None)
    if row is None or not row["delta"]:
        return []
    return [
        finding(
            "deadlocks",
            case.data.facts.get("database", "database"),
            title=f"{row['delta']:.0f} deadlocks in the window",
            detail="The server cancelled one transaction of each; the log names the statements and tables.",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            effort=Level.HIGH,
            evidence=case.evidence(("database.deadlocks.count",)),
            remedy=Remedy(summary="Lock rows in one order everywhere (for example by primary key), and retry."),
        )
    ]
