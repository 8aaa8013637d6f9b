"""Foreign keys without an index on the referencing side.

PostgreSQL indexes the referenced key only. Each delete (or key update) of a referenced row, and each join from there,
then reads the whole referencing table. Small tables are read whole anyway: their findings weigh little.
"""

from __future__ import annotations

import json
import re

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise import missing_index
from tasks.components.database.advise.building import building
from tasks.components.database.advise.candidates import Candidate, candidates
from tasks.components.database.advise.case import (
    Case,
    Row,
    finding,
    ident,
    index_name,
    qualified,
    size_words,
)
from tasks.components.database.advise.plan_tree import whole_reads

SMALL_PAGES = 128
"""Below 1 MB a whole read costs less than a millisecond or two."""

LARGE_PAGES = 1024
_USABLE = frozenset({"btree", "hash"})
_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def serves(index: Row, columns: list[str]) -> bool:
    """Whether an index finds rows by these columns: they are its first keys in any order, and it holds all rows.

    A predicate that only excludes nulls of these columns is no obstacle: a key with nulls references nothing.
    """
    have = [column.strip('"') for column in index["columns"]][: len(columns)]
    excluded = {f"({ident(column)} IS NOT NULL)" for column in columns}
    whole = index["predicate"] is None or index["predicate"] in excluded
    return bool(index["valid"] and whole and index["method"] in _USABLE and sorted(have) == sorted(columns))


def unindexed(case: Case) -> list[Row]:
    """Foreign keys that no index serves; tables without a single page are left out."""
    return [
        key
        for key in case.data.rows("foreign_keys")
        if not any(serves(index, key["columns"]) for index in case.indexes_of(key["table_oid"]))
        and _has_rows(case.tables.get(key["table_oid"]))
    ]


def _has_rows(table: Row | None) -> bool:
    """Whether a table has pages; those of a partitioned one lie in its parts, an unknown one may have some."""
    return table is None or table["kind"] == "p" or table["bytes"] is None or table["bytes"] > 0


def supports(case: Case, index: Row) -> str | None:
    """The foreign key that only this index serves; None where there is none."""
    others = [row for row in case.indexes_of(index["table_oid"]) if row["oid"] != index["oid"]]
    for key in case.keys_by_table.get(index["table_oid"], ()):
        if serves(index, key["columns"]) and not any(serves(other, key["columns"]) for other in others):
            return str(key["name"])
    return None


def check(case: Case) -> list[Finding]:
    """One finding per key, the largest tables first."""
    proposed = candidates(case)
    keys = sorted(unindexed(case), key=lambda key: -((case.tables.get(key["table_oid"]) or {}).get("bytes") or 0))
    return [_finding(case, key, proposed) for key in keys]


def _finding(case: Case, key: Row, proposed: list[Candidate]) -> Finding:
    table = case.tables.get(key["table_oid"]) or {"schema": key["schema"], "name": key["table"]}
    where, columns = qualified(table), ", ".join(ident(column) for column in key["columns"])
    wider = next((item for item in proposed if _covers(item, key)), None)
    used = _used(case, key, table, wider)
    impact = missing_index.weight_of(case, wider) if wider else _impact(table.get("pages") or 0, used=bool(used))
    return finding(
        "unindexed_foreign_key",
        f"{where}({','.join(key['columns'])})",
        title=f"Foreign key {key['name']}: no index on {where} ({columns})",
        detail=(
            f"{key['name']} references {key['referenced']} (ON DELETE {_ACTIONS.get(key['on_delete'], '?')}); a join "
            f"from there, or a delete or key update there, reads all of {where} ({size_words(table.get('bytes'))}). "
            f"{used or 'No statement of the window was seen to need it.'}"
            + (f" The index proposed for a filter on ({wider.shown}) covers this key as well." if wider else "")
        ),
        severity=Severity.INFO if impact is Level.LOW else Severity.WARNING,
        impact=impact,
        evidence=case.of_table(table),
        remedy=_remedy(case, key, wider),
    )


def _used(case: Case, key: Row, table: Row, wider: Candidate | None) -> str:
    """Signs that the missing index is paid for: statements that read the whole table by the key, and deletes."""
    signs = []
    names = list(dict.fromkeys((*(wider.names if wider else ()), *_readers(case, key, table))))
    if names:
        signs.append(f"Read by the key without an index: {'; '.join(names)[:300]}.")
    deletes = (case.tables.get(key["referenced_oid"]) or {}).get("deletes") or 0
    if deletes:
        signs.append(f"{deletes} rows of {key['referenced']} were deleted since {case.since}.")
    return " ".join(signs)


def _readers(case: Case, key: Row, table: Row) -> list[str]:
    """Statements whose plan reads the whole table and compares every column of the key there."""
    found = []
    for row in case.data.rows("plans"):
        conditions = list(whole_reads(json.loads(row["plan"]), table["name"])) if row["plan"] else []
        words = [re.compile(rf"\b{re.escape(column)}\b") for column in key["columns"]]
        if any(all(word.search(condition) for word in words) for condition in conditions):
            found.append(row["name"])
    return found


def _impact(pages: int, *, used: bool) -> Level:
    if pages < SMALL_PAGES or not used:
        return Level.LOW
    return Level.HIGH if pages >= LARGE_PAGES else Level.MEDIUM


def _covers(candidate: Candidate, key: Row) -> bool:
    if candidate.advice is not None and not candidate.advice.whole:
        return False
    first = candidate.columns[: len(key["columns"])]
    return candidate.table.get("oid") == key["table_oid"] and sorted(first) == sorted(key["columns"])


def _remedy(case: Case, key: Row, wider: Candidate | None) -> Remedy:
    if wider is not None:
        made = missing_index.create(case, wider)
        summary = f"{made.summary}: the wider one serves the filter and the foreign key."
        return Remedy(summary=summary, commands=made.commands, rollback=made.rollback)
    name = index_name(key["table"], key["columns"], [row["name"] for row in case.indexes])
    columns = ", ".join(ident(column) for column in key["columns"])
    table = case.tables.get(key["table_oid"]) or {"schema": key["schema"], "name": key["table"]}
    made = building(case, table, name, columns)
    return Remedy(summary=f"{made.summary}.", commands=made.commands, rollback=made.rollback)
