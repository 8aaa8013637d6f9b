"""Indexes that could be missing: what the advisor recommends, and what plans show where it could not judge.

The advisor (`tasks.components.database.advisor`) tries candidates over the whole workload. Where it gave no answer,
or none for a statement, the plans of the statements that take the time tell of filters, with or without a sort, that
no index serves. Their columns: those compared by equality first, then the wanted order (where only its first rows are
taken), else those compared by range. Equality columns lead because every order and range then lies in one stretch of
the index.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from tasks.components.database.advise import advised
from tasks.components.database.advise.case import Case, Row, ident
from tasks.components.database.advise.plan_tree import Scan, scans
from tasks.components.database.statements import label

ROWS_FLOOR, PAGES_FLOOR = 1000, 64
"""Smaller tables are read whole faster than through an index: no candidate."""

SELECTIVE = 0.2
"""A filter that keeps a larger share of the rows gains little from an index, unless it saves a sort."""

MOST_COLUMNS = 4
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
    advice: advised.Advice | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column for column, _ in self.keys)

    @property
    def shown(self) -> str:
        """The columns as SQL."""
        return ", ".join(f"{ident(column)}{order}" for column, order in self.keys)


def candidates(case: Case) -> list[Candidate]:
    """What the advisor recommends, then candidates of the plans that it did not judge."""
    recommended = [_recommended(case, one) for one in advised.of(case)]
    return [*recommended, *_of_plans(case, recommended)]


def _recommended(case: Case, advice: advised.Advice) -> Candidate:
    table = case.by_name.get((advice.schema, advice.table)) or {"schema": advice.schema, "name": advice.table}
    rows = {row["queryid"]: row for row in case.data.rows("statements")}
    helped = [rows[one] for one in advice.statements if one in rows]
    return Candidate(
        table,
        tuple((column, "") for column in advice.columns),
        names=[row["read"] or label(row["queryid"], row["text"]) for row in helped],
        queryids=[row["queryid"] for row in helped if not row["own"]],
        reads=[row["read"] for row in helped if row["read"]],
        advice=advice,
    )


def _of_plans(case: Case, recommended: list[Candidate]) -> list[Candidate]:
    """Candidates of the plans; one that is the beginning of another, recommended ones too, is left out."""
    found: dict[tuple[int, Keys], Candidate] = {}
    judged = advised.judged(case)
    for row in case.data.rows("plans"):
        if row["plan"] is None or row["statement"] in judged:
            continue
        for scan in scans(json.loads(row["plan"])):
            table = case.by_name.get((scan.schema, scan.table))
            keys = _keys(case, scan, table) if table else ()
            if table is None or not keys or _served(case, table, keys):
                continue
            candidate = found.setdefault((table["oid"], keys), Candidate(table, keys, scan=scan))
            candidate.names.append(row["name"])
            (candidate.reads if row["how"] == "VALUES" else candidate.queryids).append(row["statement"])
    merged = _merged(list(found.values()))
    return [one for one in merged if not any(_begins(one, other) for other in recommended)]


def _begins(one: Candidate, other: Candidate) -> bool:
    same = (one.table["schema"], one.table["name"]) == (other.table["schema"], other.table["name"])
    return same and other.columns[: len(one.columns)] == one.columns


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
