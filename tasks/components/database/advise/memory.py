"""Settings of memory against the machine's; its size is known from the environment's file, or where both are one.

Limits are PostgreSQL's own advice where it gives one: shared_buffers a quarter of the memory, at most 40 %.
"""

from __future__ import annotations

from collections.abc import Iterator

from storage.records import Finding, Level, Severity
from tasks.components.database.advise.case import Case, size_words
from tasks.components.database.advise.settings import setting

BUFFERS_LOW, BUFFERS_HIGH = 0.10, 0.40
WORK_SHARE = 0.5
"""Of the memory: what all connections could take at once, with one sort each."""


def check(case: Case) -> list[Finding]:
    """One finding per setting of memory."""
    return list(_memory(case))


def _memory(case: Case) -> Iterator[Finding]:
    memory = (case.data.number("machine.memory_mb") or 0) * 2**20
    buffers = case.data.bytes("setting.shared_buffers")
    if not memory or buffers is None:
        return
    quarter = f"{round(memory / 4 / 2**20)}MB"
    source = f"The machine has {size_words(memory)} ({case.data.facts.get('machine.source')})."
    needed = (case.data.number("size_bytes") or 0) > buffers
    local = case.data.facts.get("local") == "true"
    if buffers < BUFFERS_LOW * memory and needed and not local:
        yield setting(
            case,
            "shared_buffers",
            title=f"shared_buffers is {buffers / memory:.0%} of the memory, and the database is larger than it",
            detail=f"{source} A quarter is PostgreSQL's own advice for a server of its own.",
            value=quarter,
            severity=Severity.INFO,
            impact=Level.MEDIUM,
            restart=True,
        )
    if buffers > BUFFERS_HIGH * memory:
        yield setting(
            case,
            "shared_buffers",
            title=f"shared_buffers is {buffers / memory:.0%} of the memory",
            detail=f"{source} The system's cache and the sorts have little left; above 40 % it seldom pays.",
            value=quarter,
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            restart=True,
        )
    yield from _sorts(case, memory, source)


def _sorts(case: Case, memory: float, source: str) -> Iterator[Finding]:
    work, most = case.data.bytes("setting.work_mem"), case.data.number("setting.max_connections")
    if work and most and work * most > WORK_SHARE * memory:
        fits = max(1, int(WORK_SHARE * memory / most / 2**20))
        yield setting(
            case,
            "work_mem",
            title="work_mem × max_connections is more than half of the memory",
            detail=(
                f"{source} With {most:.0f} connections of one sort each, {size_words(work * most)} would be taken: "
                "the system would end the server. Give more to single roles instead."
            ),
            value=f"{fits}MB",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
        )
    cache, buffers = case.data.bytes("setting.effective_cache_size"), case.data.bytes("setting.shared_buffers")
    if cache and buffers and cache < buffers:
        yield setting(
            case,
            "effective_cache_size",
            title="effective_cache_size is below shared_buffers",
            detail="The planner believes that less is cached than the server itself caches, and shuns indexes.",
            value=f"{round(memory * 0.75 / 2**20)}MB",
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
        )
    each = case.data.bytes("setting.autovacuum_work_mem") or case.data.bytes("setting.maintenance_work_mem")
    workers = case.data.number("setting.autovacuum_max_workers")
    if each and workers and each * workers > memory / 4:
        yield setting(
            case,
            "maintenance_work_mem",
            title="The autovacuum workers could take more than a quarter of the memory",
            detail=f"{source} {workers:.0f} workers of {size_words(each)} each.",
            value=f"{max(64, round(memory / 4 / workers / 2**20))}MB",
            severity=Severity.WARNING,
            impact=Level.LOW,
        )
