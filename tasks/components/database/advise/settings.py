"""Settings that contradict the machine, each other, or the safety of the data.

The machine is known where the environment's file tells it, or where the server runs on this machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, finding

MANY_CONNECTIONS = 300
_RESTART = "needs a restart"


def check(case: Case) -> list[Finding]:
    """One finding per setting."""
    return [*_safety(case), *_sight(case), *_limits(case), *_pending(case)]


def setting(
    case: Case,
    name: str,
    *,
    title: str,
    detail: str,
    value: str | None,
    severity: Severity,
    impact: Level,
    restart: bool = False,
) -> Finding:
    """A finding on one setting, with commands to set and reset it; `value` None leaves the value to a person."""
    after = () if restart else ("SELECT pg_reload_conf();",)
    now = case.data.facts.get(f"setting.{name}", "unknown")
    return finding(
        "setting",
        name,
        title=title,
        detail=f"{name} is {now}. {detail}",
        severity=severity,
        impact=impact,
        remedy=Remedy(
            summary=f"Set {name} to {value}{f' ({_RESTART})' if restart else ''}." if value else "See above.",
            commands=(f"ALTER SYSTEM SET {name} = '{value}';", *after) if value else (),
            rollback=(f"ALTER SYSTEM RESET {name};", *after) if value else (),
        ),
    )


def _is(case: Case, name: str, value: str) -> bool:
    return case.data.facts.get(f"setting.{name}") == value


def _safety(case: Case) -> Iterator[Finding]:
    """Durability: off on purpose on a throw-away server of this machine, a fault anywhere else."""
    local = case.data.facts.get("local") == "true"
    severity = Severity.INFO if local else Severity.WARNING
    for name, loss in (
        ("fsync", "After a crash of the machine the database may be beyond repair."),
        ("full_page_writes", "A page torn by a crash cannot be mended."),
    ):
        if _is(case, name, "off"):
            yield setting(
                case,
                name,
                title=f"{name} is off: a crash can destroy the database",
                detail=loss
                + (" Here the server is on this machine and local: meant so for throw-away data." * local),
                value="on",
                severity=severity,
                impact=Level.LOW if local else Level.HIGH,
            )
    if _is(case, "autovacuum", "off"):
        yield setting(
            case,
            "autovacuum",
            title="autovacuum is off",
            detail="Dead rows stay, statistics age, and transaction ids run out.",
            value="on",
            severity=Severity.WARNING,
            impact=Level.HIGH,
        )


def _sight(case: Case) -> Iterator[Finding]:
    """What hides the truth from whoever looks."""
    for name, hidden in (
        ("track_counts", "Autovacuum and every check of tables and indexes are blind."),
        ("track_activities", "Nobody can see what sessions do."),
    ):
        if _is(case, name, "off"):
            yield setting(
                case, name, title=f"{name} is off", detail=hidden, value="on", severity=Severity.WARNING,
                impact=Level.MEDIUM,
            )  # fmt: skip
    if _is(case, "track_io_timing", "off"):
        yield setting(
            case,
            "track_io_timing",
            title="track_io_timing is off: time on the disk cannot be told from time on the processor",
            detail="Its cost is a clock reading per block; pg_test_timing tells whether that is cheap here.",
            value="on",
            severity=Severity.INFO,
            impact=Level.LOW,
        )


def _limits(case: Case) -> Iterator[Finding]:
    most, cores = case.data.number("setting.max_connections"), case.data.number("machine.cores")
    if most and most >= MANY_CONNECTIONS and case.data.facts.get("pooler") != "true" and not case.data.rows("pools"):
        yield setting(
            case,
            "max_connections",
            title=f"max_connections is {most:.0f}, and no pooler was seen",
            detail="Each connection is a process with memory of its own; a pooler in transaction mode needs tens.",
            value=None,
            severity=Severity.INFO,
            impact=Level.LOW,
        )
    workers = case.data.number("setting.max_parallel_workers_per_gather")
    if cores and workers and workers >= cores:
        yield setting(
            case,
            "max_parallel_workers_per_gather",
            title="One parallel query may take every processor",
            detail=f"The machine has {cores:.0f} ({case.data.facts.get('machine.source')}).",
            value=str(max(0, int(cores) // 2)),
            severity=Severity.INFO,
            impact=Level.LOW,
        )


def _pending(case: Case) -> Iterator[Finding]:
    names = case.data.facts.get("pending_restart", "")
    if names:
        yield finding(
            "setting",
            "pending_restart",
            title=f"Changed settings wait for a restart: {names}",
            detail="The file says one thing and the server does another; the next restart changes its behaviour.",
            severity=Severity.INFO,
            impact=Level.LOW,
            effort=Level.MEDIUM,
            remedy=Remedy(
                summary="Restart in a quiet hour, or take the change back.",
                commands=("SELECT name, setting FROM pg_settings WHERE pending_restart;",),
            ),
        )
