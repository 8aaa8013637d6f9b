"""Which findings wait for which: what is sized, cleaned or tuned by figures that another remedy changes is later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.records import Finding, Severity
from tasks.judge.verify import kind_of


@dataclass(frozen=True, slots=True)
class Rule:
    """Kinds of advice (`component.kind`) that wait for others, of the same subject only where `same_subject`."""

    waits: tuple[str, ...]
    waits_for: tuple[str, ...]
    why: str
    same_subject: bool = False


_INDEXES = ("database.missing_index", "database.unindexed_foreign_key")
_HOLDERS = (
    "database.idle_in_transaction",
    "database.long_transaction",
    "database.prepared_transaction",
    "database.replication_slot",
)
_MEMORY = ("lambda.memory_undersized", "lambda.memory_resize", "lambda.memory_oversized")

RULES: tuple[Rule, ...] = (
    Rule(
        waits=(
            "database.pool",
            "database.pool_size",
            "database.pooler_queue",
            "database.connections",
            "database.cache_hits",
            "database.read_replica",
            "database.read_heavy",
        ),
        waits_for=(*_INDEXES, "database.n_plus_one"),
        why="they change how long connections are busy and what is read, and this is sized by that",
    ),
    Rule(
        waits=_INDEXES,
        waits_for=("database.stale_statistics",),
        why="the planner judges an index by statistics, and these are stale",
    ),
    Rule(
        waits=("database.vacuum", "database.bloated_table", "database.bloated_index", "database.wraparound"),
        waits_for=_HOLDERS,
        why="nothing that these still hold can be cleaned",
    ),
    Rule(
        waits=("database.bloated_table", "database.bloated_index"),
        waits_for=("database.vacuum",),
        why="without it the bloat comes back",
    ),
    Rule(
        waits=("cache.memory", "cache.evictions", "cache.hits"),
        waits_for=("cache.no_expiry", "cache.write_only", "cache.big_keys"),
        why="they decide how much is kept, and this is sized by that",
    ),
    Rule(
        waits=("lambda.throttles", "lambda.bursts", "lambda.cold_starts", "lambda.provisioned_unused"),
        waits_for=_MEMORY,
        why="its memory decides its duration, and how many run at once follows from that",
        same_subject=True,
    ),
    Rule(
        waits=("lambda.architecture",),
        waits_for=_MEMORY,
        why="a size is measured on one processor",
        same_subject=True,
    ),
    Rule(
        waits=("api.slow", "api.errors", "api.stopped"),
        waits_for=("api.generator",),
        why="the load that showed this was not to be believed",
    ),
)
"""What waits for what; no circle among them (a test)."""


@dataclass(frozen=True, slots=True)
class Before:
    """The ids of findings that come before another one, and why; empty where it waits for none."""

    ids: tuple[str, ...] = ()
    why: str = ""


def prerequisites(findings: Iterable[Finding]) -> Mapping[str, Before]:
    """What comes before each finding, by its id.

    What is critical never waits: it is put out first, and looked at again once the rest is done.
    """
    known = tuple(findings)
    return {one.id: _before(one, known) for one in known}


def _before(finding: Finding, known: Sequence[Finding]) -> Before:
    if finding.severity is Severity.CRITICAL:
        return Before()
    waiting = [rule for rule in RULES if kind_of(finding) in rule.waits]
    held = [rule for rule in waiting if any(_holds(rule, finding, one) for one in known)]
    ids = dict.fromkeys(one.id for one in known if any(_holds(rule, finding, one) for rule in held))
    return Before(tuple(ids), "; ".join(rule.why for rule in held))


def _holds(rule: Rule, finding: Finding, other: Finding) -> bool:
    return kind_of(other) in rule.waits_for and (not rule.same_subject or other.subject == finding.subject)


__all__ = ("RULES", "Before", "Rule", "prerequisites")
