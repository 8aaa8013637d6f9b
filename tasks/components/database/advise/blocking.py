"""Who blocks whom: chains of sessions that wait for locks, by the application at the root of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding, locks

_BLOCKED = (
    "SELECT pid, pg_blocking_pids(pid), wait_event, state FROM pg_stat_activity "
    "WHERE cardinality(pg_blocking_pids(pid)) > 0;"
)
_SHOWN = 6

Chain = tuple[int, ...]
"""Pids from the root, which waits for nobody, to the session that waits at the end."""


def check(case: Case) -> list[Finding]:
    """One finding per application at the root, with its longest chain."""
    samples: dict[int, list[Row]] = defaultdict(list)
    for row in case.data.rows("sessions"):
        samples[row["sample"]].append(row)
    found: dict[str, list[tuple[int, Chain]]] = defaultdict(list)
    for number, rows in samples.items():
        names = _names(rows)
        for chain in chains(rows):
            found[names.get(chain[0], f"pid {chain[0]}")].append((number, chain))
    return [_finding(case, name, mine) for name, mine in sorted(found.items())]


def chains(rows: Sequence[Row]) -> list[Chain]:
    """For each session of one sample that waits, the way from its root; a ring of waits ends where it began."""
    blockers = {row["pid"]: row["blocked_by"] for row in rows if row["blocked_by"]}
    found = []
    for pid in blockers:
        way = [pid]
        while (above := next(iter(blockers.get(way[0], ())), None)) is not None and above not in way:
            way.insert(0, above)
        found.append(tuple(way))
    return found


def _names(rows: Sequence[Row]) -> Mapping[int, str]:
    return {row["pid"]: row["application"] or "(no application_name)" for row in rows}


def _finding(case: Case, name: str, mine: Sequence[tuple[int, Chain]]) -> Finding:
    waiting = {chain[-1] for _, chain in mine}
    seen = len({number for number, _ in mine})
    _, longest = max(mine, key=lambda pair: len(pair[1]))
    return finding(
        "blocking",
        name,
        title=f"{name} blocks other sessions",
        detail=(
            f"{len(waiting)} sessions waited for locks behind {name}, in {seen} samples. The longest chain: "
            f"{_shown(case, longest)}.{locks(case, longest[0])}"
        ),
        severity=Severity.WARNING,
        impact=Level.HIGH if len(waiting) > 1 or seen > 1 else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=case.evidence(("database.blocked.count",)),
        remedy=Remedy(
            summary="Shorten the transaction at the root, and lock rows in one order everywhere.",
            commands=(_BLOCKED,),
        ),
    )


def _shown(case: Case, chain: Chain) -> str:
    """The chain in words, the root first."""
    last = {row["pid"]: row for row in case.data.rows("sessions")}
    words = []
    for pid in chain[:_SHOWN]:
        row = last.get(pid, {})
        state = f", {row['state']} for {row['state_s']:.0f} s" if row.get("state") and row.get("state_s") else ""
        words.append(f"{row.get('application') or '(no application_name)'} (pid {pid}{state})")
    more = len(chain) - _SHOWN
    return " ← ".join(words) + (f" ← {more} more" if more > 0 else "")
