"""Findings about the cache server: hit ratio, memory, evictions, connections, slow commands, restarts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.cache.case import Case, finding
from tasks.components.cache.measure import broken_off

_FULL = 0.90
_GROWTH = 1.5
_MB = 1 << 20
_CLIENT_FACTOR = 5
_NEAR_LIMIT = 0.8
_OWN = frozenset({"INFO", "SCAN", "EXEC", "MULTI", "SLOWLOG"})
_HEAVY = {
    "keys": "KEYS reads every key while everyone waits; use SCAN",
    "flushall": "FLUSHALL empties every database, and with it the cache of the whole platform",
    "flushdb": "FLUSHDB empties the cache",
    "monitor": "MONITOR copies every command to its client and costs up to half of the throughput",
}


def restarted(case: Case) -> Iterator[Finding]:
    """The counters broke off."""
    reason = broken_off(case.info) if len(case.info) > 1 else ""
    if reason:
        yield finding(
            "restart",
            "server",
            title="The cache was restarted, or its statistics were reset, during the measurement",
            detail=f"{reason[0].upper()}{reason[1:]}: hits, misses and evictions of the window are not known.",
            severity=Severity.CRITICAL,
            impact=Level.HIGH,
            effort=Level.MEDIUM,
            evidence=(case.own("cache.hits.ratio"),),
            remedy=Remedy(
                summary="Look for the reason in the server's log (memory, a failover, a deployment); then try again.",
                commands=(case.cli("INFO server"),),
            ),
        )


def low_hit_ratio(case: Case) -> Iterator[Finding]:
    """The whole server misses too often."""
    ratio, limit = case.own("cache.hits.ratio"), case.limit("cache.hits.ratio")
    if ratio.value is None or limit is None or ratio.value >= limit.fair:
        return
    worst = next((family for family in case.families if family.misses and family.miss_share), None)
    which = f" Most misses come from {worst.name} (about {worst.miss_share:.0%}, estimate)." if worst else ""
    yield finding(
        "hits",
        "server",
        title=f"Only {ratio.value:.1%} of the cache's lookups hit (target: {limit.fair:.0%})",
        detail=f"{case.lookups_text()} while the load ran.{which}",
        severity=Severity.CRITICAL if ratio.value < limit.poor else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=(ratio,),
        remedy=Remedy(
            summary="Start with the key families that miss most; then warm the cache after deployments.",
            commands=(case.cli("INFO stats"),),
        ),
    )


def evictions(case: Case) -> Iterator[Finding]:
    """Keys are thrown out for want of memory."""
    evicted = case.own("cache.evictions.count")
    if not evicted.value:
        return
    limit = int(case.info[-1]["maxmemory"] or 0)
    raised = int(limit * _GROWTH)
    yield finding(
        "evictions",
        "server",
        title=f"The cache threw {evicted.value:.0f} keys out for want of memory",
        detail=f"Its limit is {limit / _MB:.0f} MB, its policy {case.info[-1]['policy']}; what goes will miss later.",
        severity=Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.LOW,
        evidence=(evicted, case.own("cache.memory.utilisation")),
        remedy=Remedy(
            summary="Give the cache more memory where the machine has it, or let unread families live shorter.",
            commands=(case.cli(f"CONFIG SET maxmemory {raised}"),) if limit else (),
            rollback=(case.cli(f"CONFIG SET maxmemory {limit}"),) if limit else (),
        ),
    )


def memory(case: Case) -> Iterator[Finding]:
    """No limit of memory, a nearly full one, or one that makes writes fail."""
    if not case.info or case.info[-1]["maxmemory"] is None:
        return
    last = case.info[-1]
    share = case.own("cache.memory.utilisation")
    if last["maxmemory"] == 0:
        yield _unlimited(case)
    elif share.value is not None and share.value >= _FULL and not case.own("cache.evictions.count").value:
        yield finding(
            "memory",
            "server",
            title=f"The cache's memory is {share.value:.0%} full",
            detail=f"{last['used_memory'] / _MB:.0f} of {last['maxmemory'] / _MB:.0f} MB; then: {last['policy']}.",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            effort=Level.LOW,
            evidence=(share,),
            remedy=Remedy(
                summary="Raise the limit before keys are thrown out.",
                commands=(case.cli(f"CONFIG SET maxmemory {int(last['maxmemory'] * _GROWTH)}"),),
                rollback=(case.cli(f"CONFIG SET maxmemory {last['maxmemory']}"),),
            ),
        )
    if last["maxmemory"] and last["policy"] == "noeviction":
        yield finding(
            "policy",
            "server",
            title="A full cache would refuse writes: its policy is noeviction",
            detail=f"At {last['maxmemory'] / _MB:.0f} MB every SET answers OOM instead of making room.",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            effort=Level.LOW,
            evidence=(share,),
            remedy=Remedy(
                summary="Let the least recently used keys go.",
                commands=(case.cli("CONFIG SET maxmemory-policy allkeys-lru"),),
                rollback=(case.cli("CONFIG SET maxmemory-policy noeviction"),),
            ),
        )


def _unlimited(case: Case) -> Finding:
    used = max(int(row["used_memory"] or 0) for row in case.info)
    limit = max(256 * _MB, int(2 * used))
    policy = case.info[-1]["policy"]
    return finding(
        "memory",
        "server",
        title="The cache has no limit of memory",
        detail=f"It uses {used / _MB:.0f} MB and may grow until the machine has none left: then the system kills it.",
        severity=Severity.WARNING,
        impact=Level.MEDIUM,
        effort=Level.LOW,
        evidence=(case.own("cache.memory.utilisation"),),
        remedy=Remedy(
            summary="Set a limit and let the least recently used keys go; put both into the server's file as well.",
            commands=(
                case.cli(f"CONFIG SET maxmemory {limit}"),
                case.cli("CONFIG SET maxmemory-policy allkeys-lru"),
            ),
            rollback=(case.cli("CONFIG SET maxmemory 0"), case.cli(f"CONFIG SET maxmemory-policy {policy}")),
        ),
    )


def connections(case: Case) -> Iterator[Finding]:
    """Clients were refused, or soon will be."""
    if not case.info:
        return
    rejected = case.difference("rejected")
    most = max(int(row["clients"] or 0) for row in case.info)
    limit = int(case.info[-1]["maxclients"] or 0)
    if not rejected and not (limit and most >= _NEAR_LIMIT * limit):
        return
    yield finding(
        "connections",
        "server",
        title=f"The cache refused {rejected} connections"
        if rejected
        else "The cache's connections are nearly used up",
        detail=f"At most {most} clients at once; the limit is {limit or 'not known'}.",
        severity=Severity.CRITICAL if rejected else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=(case.counted("cache.connections.rejected", "rejected"),),
        remedy=Remedy(
            summary="Bound the pools of the applications, close idle clients, or raise the limit.",
            commands=(case.cli("CLIENT LIST"), case.cli(f"CONFIG SET maxclients {2 * limit}")) if limit else (),
            rollback=(case.cli(f"CONFIG SET maxclients {limit}"),) if limit else (),
        ),
    )


def slow_commands(case: Case) -> Iterator[Finding]:
    """Commands of the slow log, and commands that nobody should use on a busy server."""
    slow: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in case.samples.tables["slowlog"].to_pylist():
        if row["command"] not in _OWN:
            slow[row["command"], row["family"]].append(row["usec"])
    for (command, family), times in sorted(slow.items(), key=lambda pair: -max(pair[1])):
        yield finding(
            "slow",
            f"{command} {family}",
            title=f"{command} on {family} took up to {max(times) / 1000:.1f} ms in the cache",
            detail=f"{len(times)} entries of the slow log within the window; meanwhile every other client waited.",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            effort=Level.MEDIUM,
            evidence=(case.own("cache.latency.p95"), *case.of_family(family)),
            remedy=Remedy(
                summary="Read less at once (ranges instead of whole values, SCAN instead of KEYS), or split the key.",
                commands=(case.cli("SLOWLOG GET 25"),),
            ),
        )
    yield from _heavy(case)


def _heavy(case: Case) -> Iterator[Finding]:
    calls: dict[str, dict[str, int]] = defaultdict(dict)
    for row in case.samples.tables["commands"].to_pylist():
        calls[row["command"]][row["end"]] = row["calls"] or 0
    for command, why in _HEAVY.items():
        number = calls[command].get("end", 0) - calls[command].get("start", 0)
        if number > 0:
            yield finding(
                "heavy",
                command.upper(),
                title=f"{command.upper()} was called {number} times while the load ran",
                detail=f"{why}.",
                severity=Severity.WARNING,
                impact=Level.HIGH,
                effort=Level.MEDIUM,
                evidence=(case.own("cache.latency.p95"),),
                remedy=Remedy(
                    summary=f"Find who calls {command.upper()} and take the right away from it.",
                    commands=(case.cli("CLIENT LIST"), case.cli("ACL LIST")),
                ),
            )


def slow_answers(case: Case) -> Iterator[Finding]:
    """The server, or the way to it, or the client library is slow."""
    raw, client = case.own("cache.latency.p95"), case.own("cache.client.p95")
    limit = case.limit("cache.latency.p95")
    if raw.value is None or limit is None:
        return
    if raw.value > limit.good:
        yield finding(
            "latency",
            "server",
            title=f"The cache answers a GET in {raw.value:.1f} ms at p95 (good: {limit.good:.0f} ms)",
            detail=f"redis-py sees {client.value:.1f} ms." if client.value is not None else "redis-py got no answer.",
            severity=Severity.CRITICAL if raw.value > limit.poor else Severity.WARNING,
            impact=Level.HIGH if raw.value > limit.fair else Level.MEDIUM,
            effort=Level.MEDIUM,
            evidence=(raw, client),
            remedy=Remedy(
                summary="Compare with the server's own time: where that is small, the network or machine is slow.",
                commands=(case.cli("INFO latencystats"), case.cli("--latency-history -i 5")),
            ),
        )
    elif client.value is not None and client.value > max(limit.good, _CLIENT_FACTOR * raw.value):
        yield finding(
            "client",
            "redis-py",
            title=f"The client library adds {client.value - raw.value:.1f} ms to the cache's answers at p95",
            detail=f"The server answers in {raw.value:.1f} ms, redis-py in {client.value:.1f} ms.",
            severity=Severity.INFO,
            impact=Level.LOW,
            effort=Level.MEDIUM,
            evidence=(raw, client),
            remedy=Remedy(summary="Look at the application's event loop and its pool before the cache."),
        )


def stopped(case: Case) -> Iterator[Finding]:
    """The probe was stopped to protect the cache."""
    reason = case.samples.collected.load_plan.get("stopped")
    if reason:
        yield finding(
            "stopped",
            "probe",
            title="The latency probe was stopped to protect the cache",
            detail=f"It was {reason}.",
            severity=Severity.CRITICAL,
            impact=Level.HIGH,
            effort=Level.MEDIUM,
            evidence=(case.own("cache.latency.p95"),),
            remedy=Remedy(
                summary="Find out what the cache waits for, then measure again.", commands=(case.cli("INFO"),)
            ),
        )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    restarted,
    low_hit_ratio,
    evictions,
    memory,
    connections,
    slow_commands,
    slow_answers,
    stopped,
)
"""In the order of their use."""
