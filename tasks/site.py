"""Keeps the history site up to date: static pages beside the reports, for a folder or a bucket.

    index.html                                                  every environment, where nobody else has that name
    performance-orchestration-reports/index.html                the same, for whoever serves that folder
    performance-orchestration-reports/<environment>/index.html  runs, trends, comparison
    performance-orchestration-reports/<environment>/{runs,front}.json   what the pages are made from

A run that is published adds its row and has the pages made from rows: no other run is read.
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from storage.errors import DamagedFileError
from storage.parquet import Store
from storage.records import Report
from storage.runs import ORCHESTRATION, RunFolder
from tasks.report.run_row import RunRow
from tasks.report.site import environment_page, front, root_page, thresholds_of
from tasks.runs_index import Index, read_index, renewed

MARK = b'<meta name="generator" content="hasivu-perf history">'
"""By it a page is known as ours: an `index.html` of somebody else is left alone."""

_MOST_FRONT = 30
_ROWS = TypeAdapter(tuple[RunRow, ...])


def add_run(store: Store, report: Report) -> list[str]:
    """Put a published run on the site; returns the names of what was written."""
    return _write(store, report.info.environment, renewed(store, report), report)


def rebuild(store: Store, environment: str) -> list[str]:
    """Make the pages again from the runs that are there, after some were removed."""
    return _write(store, environment, read_index(store, environment), None)


def _write(store: Store, environment: str, index: Index, report: Report | None) -> list[str]:
    if not index.rows:
        return []
    folder = f"{ORCHESTRATION}/{environment}"
    newest = index.rows[-1].run
    if report is None or report.info.run != newest:
        report = RunFolder(store, environment, newest).report()
    store.write(
        f"{folder}/index.html", environment_page(environment, index.rows, thresholds_of(report), index.problems)
    )
    store.write(
        f"{folder}/front.json", _ROWS.dump_json(tuple(_without_figures(r) for r in index.rows[-_MOST_FRONT:]))
    )
    fronts = [front(rows) for rows in _fronts(store)]
    written = [f"{folder}/index.html", f"{ORCHESTRATION}/index.html"]
    store.write(written[-1], root_page(fronts, ""))
    if _is_ours(store, "index.html"):
        store.write("index.html", root_page(fronts, f"{ORCHESTRATION}/"))
        written.append("index.html")
    return written


def _without_figures(row: RunRow) -> RunRow:
    return row.model_copy(update={"figures": {}})


def _fronts(store: Store) -> list[tuple[RunRow, ...]]:
    found = []
    for environment in store.folders(ORCHESTRATION):
        name = f"{ORCHESTRATION}/{environment}/front.json"
        if store.exists(name):
            try:
                found.append(_ROWS.validate_json(store.read(name)))
            except (ValidationError, DamagedFileError):
                continue  # the next run of that environment writes it anew
    return [rows for rows in found if rows]


def _is_ours(store: Store, name: str) -> bool:
    return not store.exists(name) or MARK in store.read(name)
