"""One finding per index that is missing: recommended by the advisor with evidence, or seen in plans and untested."""

from __future__ import annotations

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.database.advise import advised
from tasks.components.database.advise.building import GENTLY, Building, building
from tasks.components.database.advise.candidates import Candidate, candidates
from tasks.components.database.advise.case import (
    NOT_TESTED,
    Case,
    finding,
    index_name,
    qualified,
    size_words,
)
from tasks.components.database.advise.outlook import of_reads
from tasks.components.database.statements import label

_HIGH_SHARE, _MEDIUM_SHARE = 0.20, 0.05
_BUSY_SHARE = 0.01


def create(case: Case, candidate: Candidate) -> Building:
    """The statements that make the index and take it away again."""
    if candidate.advice is not None:
        return Building(GENTLY, (f"{candidate.advice.sql};",), (f"{candidate.advice.drop};",))
    taken = [row["name"] for row in case.indexes]
    name = index_name(candidate.table["name"], candidate.columns, taken)
    return building(case, candidate.table, name, candidate.shown)


def share(case: Case, queryids: list[str]) -> float | None:
    """Share of these statements in the time of all statements of the application within the window."""
    rows = [row for row in case.data.rows("statements") if not row["own"]]
    total = sum(row["total_ms"] for row in rows)
    wanted = sum(row["total_ms"] for row in rows if row["queryid"] in queryids)
    return wanted / total if total and queryids else None


def _evidence(case: Case, candidate: Candidate) -> tuple[Measurement, ...]:
    texts = {row["queryid"]: row["text"] for row in case.data.rows("statements")}
    found: list[Measurement] = []
    for queryid in dict.fromkeys(candidate.queryids):
        metrics = ("database.statement.calls", "database.statement.total", "database.statement.mean")
        found += case.evidence(metrics, statement=label(queryid, texts.get(queryid)))
    for name in dict.fromkeys(candidate.reads):
        found += case.evidence(("database.query.p50", "database.query.p95"), statement=name)
    return (*found, *case.of_table(candidate.table))


def check(case: Case) -> list[Finding]:
    """One finding per candidate, those of the most time first."""
    found = []
    for candidate in candidates(case):
        part = share(case, candidate.queryids)
        found.append((part or 0.0, _finding(case, candidate, part)))
    return [item for _, item in sorted(found, key=lambda pair: (-pair[0], pair[1].id))]


def _finding(case: Case, candidate: Candidate, part: float | None) -> Finding:
    if candidate.advice is not None:
        return _of_advice(case, candidate, candidate.advice, part)
    made = create(case, candidate)
    table, where = candidate.table, qualified(candidate.table)
    scan = candidate.scan
    how = f"{scan.method} with filter {scan.filter[:200]}" if scan else "a scan with a filter"
    weight = f" They took {part:.0%} of the database time of the window." if part is not None else ""
    impact = weight_of(case, candidate)
    statements = "; ".join(dict.fromkeys(candidate.names))
    sorts = scan is not None and scan.limited and bool(scan.order or scan.index)
    return finding(
        "missing_index",
        f"{where}({','.join(candidate.columns)})",
        title=f"Add an index on {where} ({candidate.shown}): a filter{' and sort' if sorts else ''} has none",
        detail=(
            f"The planner reads {where} ({size_words(table['bytes'])}, about {table['estimated_rows']:.0f} rows) by "
            f"{how}, for: {statements[:400]}.{weight} The index is {NOT_TESTED}{_why(case)}."
        ),
        severity=Severity.INFO if impact is Level.LOW else Severity.WARNING,
        impact=impact,
        effort=Level.LOW,
        evidence=_evidence(case, candidate),
        remedy=Remedy(
            summary=f"{made.summary}, then compare the statements' times with this run.",
            commands=made.commands,
            rollback=made.rollback,
        ),
    )


def _why(case: Case) -> str:
    problem = advised.problem(case)
    return f" ({problem})" if problem else ""


def _of_advice(case: Case, candidate: Candidate, advice: advised.Advice, part: float | None) -> Finding:
    made = create(case, candidate)
    where = qualified(candidate.table)
    weight = f"These statements took {part:.0%} of the database time of the window. " if part is not None else ""
    impact = weight_of(case, candidate)
    words = (advised.effects(advice), weight, advised.plans(advice), advised.price(advice))
    return finding(
        "missing_index",
        f"{where}({','.join(column or 'expression' for column in candidate.columns)})",
        title=f"Add an index on {where} {advice.shown}: {advice.evidence['reason']}",
        detail=f"{' '.join(word.strip() for word in words if word)} {advice.tested.capitalize()}.",
        severity=Severity.INFO if impact is Level.LOW else Severity.WARNING,
        impact=impact,
        effort=Level.LOW,
        evidence=_evidence(case, candidate),
        remedy=Remedy(
            summary=f"{made.summary}, then compare the statements' times with this run.",
            commands=made.commands,
            rollback=made.rollback,
            predicted=(*of_reads(case, advice), *advised.predicted(case, advice)),
        ),
    )


def weight_of(case: Case, candidate: Candidate) -> Level:
    """By the statements' share of the time; where only a timed read is known, by its median against the limits.

    A share of next to nothing is nothing: statements that are quick and keep the server busy for less than a
    hundredth of the window weigh little. The median and not p95: what one read waits for another one says nothing of
    its own plan.
    """
    part = (share(case, candidate.queryids) or 0.0) if _is_felt(case, candidate.queryids) else 0.0
    slowest = max((_median(case, name) for name in candidate.reads), default=0.0)
    limits = case.threshold("database.query.p95")
    good, best = (limits.good, limits.best) if limits else (float("inf"), float("inf"))
    if part >= _HIGH_SHARE or slowest > good:
        return Level.HIGH
    return Level.MEDIUM if part >= _MEDIUM_SHARE or slowest > best else Level.LOW


def _is_felt(case: Case, queryids: list[str]) -> bool:
    """Whether one of the statements is slow, or all of them together keep the server busy."""
    limits = case.threshold("database.query.p95")
    rows = [row for row in case.data.rows("statements") if row["queryid"] in queryids and not row["own"]]
    busy = sum(row["total_ms"] for row in rows) >= _BUSY_SHARE * 1000 * case.data.window.seconds
    slow = limits is None or any(row["total_ms"] > limits.best * max(row["calls"], 1) for row in rows)
    return busy or slow


def _median(case: Case, name: str) -> float:
    found = case.evidence(("database.query.p50",), statement=name)
    return next((item.value for item in found if item.value is not None), 0.0)
