"""A filter, with or without a sort, that no index serves: found in the plans of the statements that take the time.

Candidate columns: those compared by equality first, then the wanted order (where only its first rows are taken), else
those compared by range. Equality columns lead because every order and range then lies in one stretch of the index.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.database.advise.case import (
    NOT_TESTED,
    Case,
    Row,
    finding,
    ident,
    index_name,
    qualified,
    relation,
    size_words,
)
from tasks.components.database.advise.plan_tree import Scan, scans
from tasks.components.database.statements import label

ROWS_FLOOR, PAGES_FLOOR = 1000, 64
"""Smaller tables are read whole faster than through an index: no candidate."""

SELECTIVE = 0.2
"""A filter that keeps a larger share of the rows gains little from an index, unless it saves a sort."""

MOST_COLUMNS = 4
_HIGH_SHARE, _MEDIUM_SHARE = 0.20, 0.05

Keys = tuple[tuple[str, str], ...]


@dataclass
class Candidate:
    """An index that would serve some statements; `keys` are pairs of column and direction."""

    table: Row
    keys: Keys
    names: list[str] = field(default_factory=list)
    queryids: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    scan: Scan | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column for column, _ in self.keys)

    @property
    def shown(self) -> str:
        """The columns as SQL."""
        return ", ".join(f"{ident(column)}{order}" for column, order in self.keys)


def candidates(case: Case) -> list[Candidate]:
    """Candidates of all plans; one that is the beginning of another is merged into it."""
    found: dict[tuple[int, Keys], Candidate] = {}
    for row in case.data.rows("plans"):
        if row["plan"] is None:
            continue
        for scan in scans(json.loads(row["plan"])):
            table = case.by_name.get((scan.schema, scan.table))
            keys = _keys(case, scan, table) if table else ()
            if table is None or not keys or _served(case, table, keys):
                continue
            candidate = found.setdefault((table["oid"], keys), Candidate(table, keys, scan=scan))
            candidate.names.append(row["name"])
            (candidate.reads if row["how"] == "VALUES" else candidate.queryids).append(row["statement"])
    return _merged(list(found.values()))


def _keys(case: Case, scan: Scan, table: Row) -> Keys:
    """Columns of the index that would serve a scan; none where it is not worth one."""
    rows = max(float(table["estimated_rows"] or 0), float(table["live"] or 0))
    if rows < ROWS_FLOOR or (table["pages"] or 0) < PAGES_FLOOR or not (scan.equal or scan.ranged):
        return ()
    order = scan.order or _order_of_index(case, scan)
    sorts = bool(order) and scan.limited
    if not sorts and scan.rows / rows > SELECTIVE:
        return ()
    if scan.index is not None and not (sorts and scan.equal):
        return ()  # an index is read already, and not for its order alone
    rest: Keys = order if sorts and scan.equal else tuple((column, "") for column in scan.ranged[:1])
    keys = (*((column, "") for column in scan.equal), *(key for key in rest if key[0] not in scan.equal))
    return keys[:MOST_COLUMNS]


def _order_of_index(case: Case, scan: Scan) -> Keys:
    """The order that an index scan without condition gives: it walks the index and throws rows away."""
    index = next((row for row in case.indexes if scan.index and row["name"] == scan.index), None)
    if index is None or "0" in index["attributes"].split():
        return ()
    return tuple((column.strip('"'), " DESC" if scan.backward else "") for column in index["columns"])


def _served(case: Case, table: Row, keys: Keys) -> bool:
    """Whether an index already begins with the columns (the planner knows it and chose otherwise)."""
    wanted = [column for column, _ in keys]
    equal = len([1 for _, order in keys if not order])
    for index in case.indexes_of(table["oid"]):
        have = [column.strip('"') for column in index["columns"]]
        fits = sorted(have[:equal]) == sorted(wanted[:equal]) and have[equal : len(wanted)] == wanted[equal:]
        if index["valid"] and index["method"] == "btree" and index["predicate"] is None and fits:
            return True
    return False


def _merged(found: list[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda item: -len(item.keys)):
        wider = next(
            (
                other
                for other in kept
                if other.table["oid"] == candidate.table["oid"]
                and other.columns[: len(candidate.columns)] == candidate.columns
            ),
            None,
        )
        if wider is None:
            kept.append(candidate)
        else:
            wider.names += candidate.names
            wider.queryids += candidate.queryids
            wider.reads += candidate.reads
    return kept


def create(case: Case, candidate: Candidate) -> tuple[str, str]:
    """The commands that make the index and take it away again."""
    taken = [row["name"] for row in case.indexes]
    name = index_name(candidate.table["name"], candidate.columns, taken)
    schema, table = candidate.table["schema"], candidate.table["name"]
    return (
        f"CREATE INDEX CONCURRENTLY {ident(name)} ON {relation(schema, table)} ({candidate.shown});",
        f"DROP INDEX CONCURRENTLY {relation(schema, name)};",
    )


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
    make, undo = create(case, candidate)
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
            f"{how}, for: {statements[:400]}.{weight} The index is {NOT_TESTED}."
        ),
        severity=Severity.INFO if impact is Level.LOW else Severity.WARNING,
        impact=impact,
        effort=Level.LOW,
        evidence=_evidence(case, candidate),
        remedy=Remedy(
            summary="Create the index without blocking writers, then compare the statements' times with this run.",
            commands=(make,),
            rollback=(undo,),
        ),
    )


def weight_of(case: Case, candidate: Candidate) -> Level:
    """By the statements' share of the time; where only a timed read is known, by its median against the limits.

    The median and not p95: what one read waits for another one says nothing of its own plan.
    """
    part = share(case, candidate.queryids) or 0.0
    slowest = max((_median(case, name) for name in candidate.reads), default=0.0)
    limits = case.threshold("database.query.p95")
    good, best = (limits.good, limits.best) if limits else (float("inf"), float("inf"))
    if part >= _HIGH_SHARE or slowest > good:
        return Level.HIGH
    return Level.MEDIUM if part >= _MEDIUM_SHARE or slowest > best else Level.LOW


def _median(case: Case, name: str) -> float:
    found = case.evidence(("database.query.p50",), statement=name)
    return next((item.value for item in found if item.value is not None), 0.0)
