"""What simpler advisors would build, by the same planner twin: they see the statements with their values.

(b) is one single-column index on each column of a filter, join, order or group that the planner then uses.
(c) is the planner's best of all single columns and all ordered pairs of a table's columns, statement by statement.
Neither asks what an index costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations

from tasks.components.database.advisor import catalog as catalogs
from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.propose import is_there
from tasks.components.database.advisor.records import Index, Key, PlanError
from tasks.components.database.advisor.statement import Parsed, Use, parse
from tasks.components.database.advisor.twin import Twin
from tasks.load.database.session import Session, Watchdog
from tasks.load.database.session import parse as address

LEAST_SAVING = 0.1


def choices(url: str, statements: Mapping[str, str]) -> dict[str, list[str]]:
    """By rival's name the CREATE INDEX statements that it would run."""
    watchdog = Watchdog()
    try:
        with Session(address(url, "url"), watchdog, timeout_ms=15_000) as session:
            catalog = catalogs.read(session)
            parsed = {name: parse(text, catalog) for name, text in statements.items()}
            tables = {use.table.full_name for one in parsed.values() for use in one.uses}
            with Twin.of(session, sorted(tables)) as twin:
                return {
                    "b": _used(twin, statements, parsed, catalog, pairs=False),
                    "c": _used(twin, statements, parsed, catalog, pairs=True),
                }
    finally:
        watchdog.close()


def _used(
    twin: Twin, statements: Mapping[str, str], parsed: Mapping[str, Parsed], catalog: Catalog, *, pairs: bool
) -> list[str]:
    found: dict[str, Index] = {}
    for name, text in statements.items():
        shown = _add(twin, _candidates(parsed[name].uses, catalog, pairs=pairs))
        try:
            before = twin.plan(text, hidden=shown)
            after = twin.plan(text)
        except PlanError:
            continue
        finally_used = after.indexes & shown.keys() if after.cost <= (1 - LEAST_SAVING) * before.cost else set()
        found |= {one: shown[one] for one in finally_used}
        for index in shown.values():
            twin.remove(index)
    return [one.definition() for one in found.values()]


def _add(twin: Twin, wanted: Iterable[Index]) -> dict[str, Index]:
    shown = {}
    for index in wanted:
        try:
            twin.add(index)
        except PlanError:
            continue
        shown[index.name] = index
    return shown


def _candidates(uses: Iterable[Use], catalog: Catalog, *, pairs: bool) -> list[Index]:
    found: dict[Index, None] = {}
    for use in uses:
        columns = sorted(_columns(use))
        keys: list[tuple[str, ...]] = [(one,) for one in columns]
        keys += list(permutations(columns, 2)) if pairs else []
        for names in keys:
            index = Index(use.table.schema, use.table.name, tuple(Key(one, one) for one in names))
            if not is_there(index, catalog.tables[use.table.full_name]):
                found[index] = None
    return list(found)


def _columns(use: Use) -> set[str]:
    return {
        *use.equal, *use.listed, *use.joined, *use.ranged, *use.prefixed, *use.either, *use.nulls,
        *(one.column for one in use.sorts), *use.groups, *use.extremes,
    }  # fmt: skip
