"""Checkpoints that WAL forces, WAL that cannot be archived, and sorts and hashes that go to disk."""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, finding, size_words
from tasks.components.database.statements import label

FORCED, FORCED_SHARE = 2, 0.5
"""So many requested checkpoints within a window, or so great a share since the reset of at least ten."""

FEWEST = 10
SPILLED_BYTES = 64 * 2**20


def check(case: Case) -> list[Finding]:
    """Findings on checkpoints, the archiver and temporary files."""
    return [*_checkpoints(case), *_archiver(case), *_spills(case)]


def _last(case: Case, name: str) -> float:
    return next((row["last"] for row in case.data.rows("counters") if row["name"] == name), 0.0) or 0.0


def _checkpoints(case: Case) -> list[Finding]:
    timed, requested = _last(case, "checkpoints.timed"), _last(case, "checkpoints.requested")
    now = case.data.delta("checkpoints.requested") or 0
    often = timed + requested >= FEWEST and requested / (timed + requested) >= FORCED_SHARE
    if now < FORCED and not (often and now):
        return []
    size = case.data.bytes("setting.max_wal_size")
    seconds = case.data.window.seconds
    rate = (case.data.delta("wal.position") or 0) / seconds if seconds else 0.0
    timeout = (case.data.milliseconds("setting.checkpoint_timeout") or 300_000) / 1000
    wanted = max(2 * (size or 2**30), 2 * rate * timeout)
    megabytes = int(-(-wanted // 2**20))
    return [
        finding(
            "checkpoints",
            "max_wal_size",
            title=f"{now:.0f} checkpoints were forced within the window",
            detail=(
                f"WAL grew by {size_words(rate)} a second and reached max_wal_size ({size_words(size)}) before "
                f"checkpoint_timeout ({timeout:.0f} s): of {timed + requested:.0f} checkpoints since the counters "
                f"began {requested:.0f} were requested. Each writes whole pages to the WAL anew, and loads the disk. "
                "A manual CHECKPOINT or a base backup counts as requested too."
            ),
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            evidence=case.evidence(
                ("database.checkpoints.requested", "database.checkpoints.timed", "database.wal.written")
            ),
            remedy=Remedy(
                summary="Raise max_wal_size so that time starts checkpoints, not volume; recovery takes longer.",
                commands=(f"ALTER SYSTEM SET max_wal_size = '{megabytes}MB';", "SELECT pg_reload_conf();"),
                rollback=("ALTER SYSTEM RESET max_wal_size;", "SELECT pg_reload_conf();"),
            ),
        )
    ]


def _archiver(case: Case) -> list[Finding]:
    failed = case.data.delta("archiver.failed") or 0
    if not failed:
        return []
    return [
        finding(
            "archiver",
            "archive_command",
            title=f"WAL could not be archived {failed:.0f} times within the window",
            detail="The server keeps every segment until it is archived: the disk fills, and a restore ends here.",
            severity=Severity.WARNING,
            impact=Level.HIGH,
            effort=Level.MEDIUM,
            evidence=case.evidence(("database.archiver.failed",)),
            remedy=Remedy(
                summary="Look at the archive command and at its target.",
                commands=("SELECT last_failed_wal, last_failed_time FROM pg_stat_archiver;",),
            ),
        )
    ]


def _spills(case: Case) -> list[Finding]:
    spilled = next(iter(case.evidence(("database.temp.written",))), None)
    if spilled is None or (spilled.value or 0) < SPILLED_BYTES:
        return []
    rows = sorted(
        (row for row in case.data.rows("statements") if row["temp_written"] and row["calls"] and not row["own"]),
        key=lambda row: -row["temp_written"],
    )
    largest = max((row["temp_written"] / row["calls"] * 8192 for row in rows), default=0.0)
    names = "; ".join(label(row["queryid"], row["text"]) for row in rows[:3])
    work_mem = case.data.facts.get("setting.work_mem", "unknown")
    megabytes = int(-(-min(2 * largest, 256 * 2**20) // 2**20))
    role = next((row["user"] for row in rows if row["user"]), None)
    return [
        finding(
            "temporary_files",
            "work_mem",
            title=f"Sorts and hashes wrote {size_words(spilled.value)} to disk within the window",
            detail=(
                f"work_mem is {work_mem}; a call wrote up to {size_words(largest)}. By: "
                f"{names or 'statements that pg_stat_statements does not name'}."
            ),
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            evidence=case.evidence(("database.temp.written", "database.temp.files")),
            remedy=Remedy(
                summary=(
                    "First see whether an index gives the order or fewer rows; then give work_mem to the role that "
                    "needs it, not to all: each sort of each connection may take it."
                ),
                commands=(f"ALTER ROLE {role} SET work_mem = '{megabytes}MB';",) if role and megabytes else (),
                rollback=(f"ALTER ROLE {role} RESET work_mem;",) if role and megabytes else (),
            ),
        )
    ]
