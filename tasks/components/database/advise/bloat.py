"""Tables and B-trees of which most is air: an estimate, to be confirmed before anything is rewritten."""

from __future__ import annotations

from storage.records import Finding, Level, Measurement, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding, relation, size_words

SHARE, WASTED_BYTES = 0.5, 10 * 2**20
"""Estimates are off by a third at times: only half of the file, and 10 MB, is worth a word."""


def check(case: Case) -> list[Finding]:
    """One finding per table and index of which at least half is unused."""
    tables = {f"{row['schema']}.{row['name']}": row for row in case.tables.values()}
    indexes = {f"{row['schema']}.{row['name']}": row for row in case.indexes}
    found = []
    for one in case.measurements:
        share = one.value or 0.0
        if one.metric == "database.table.bloat" and _is_worth(share, tables.get(one.labels["table"])):
            found.append(_table(one, tables[one.labels["table"]]))
        if one.metric == "database.index.bloat" and _is_worth(share, indexes.get(one.labels["index"])):
            found.append(_index(one, indexes[one.labels["index"]]))
    return found


def _is_worth(share: float, row: Row | None) -> bool:
    return row is not None and share >= SHARE and share * (row["bytes"] or 0) >= WASTED_BYTES


def _words(one: Measurement, row: Row) -> str:
    wasted = size_words((one.value or 0) * row["bytes"])
    return f"about {wasted} of {size_words(row['bytes'])} hold nothing ({one.source})"


def _table(one: Measurement, row: Row) -> Finding:
    where, name = one.labels["table"], relation(row["schema"], row["name"])
    return finding(
        "bloated_table",
        where,
        title=f"{where} is about {one.value:.0%} air",
        detail=(
            f"By the planner's statistics {_words(one, row)}; {row['dead'] or 0} rows are dead. Vacuum lets new rows "
            "use the room, but gives no page in the middle of the file back."
        ),
        severity=Severity.INFO,
        impact=Level.LOW,
        effort=Level.HIGH,
        evidence=(one,),
        remedy=Remedy(
            summary=(
                f"Where the table will not grow into it: confirm with pgstattuple_approx('{name}'), then rewrite it "
                "without a long lock by pg_repack, or in a closed hour by VACUUM FULL (it locks everybody out)."
            ),
        ),
    )


def _index(one: Measurement, row: Row) -> Finding:
    where = one.labels["index"]
    return finding(
        "bloated_index",
        where,
        title=f"Index {where} is about {one.value:.0%} air",
        detail=f"By the planner's statistics {_words(one, row)}: searches and the cache read more than needed.",
        severity=Severity.INFO,
        impact=Level.LOW,
        evidence=(one,),
        remedy=Remedy(
            summary="Build it anew beside the old one, without blocking writers; it needs room for both.",
            commands=(f"REINDEX INDEX CONCURRENTLY {relation(row['schema'], row['name'])};",),
        ),
    )
