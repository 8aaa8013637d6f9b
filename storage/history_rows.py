"""What history keeps of a run: a record of the run, and its measurements as rows. Read from the run's own files.

Rows are those of measurements.parquet with the run's name in front; labels are canonical JSON (sorted keys), so that
a part of the platform is one text, and a series is (metric, labels, unit).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from storage.errors import DamagedFileError
from storage.history_records import HistoryComponent, HistoryRun
from storage.parquet import MEASUREMENTS
from storage.records import ComponentId, Manifest, RunInfo
from storage.removal import MARK
from storage.runs import ANALYSIS, RunFolder

ROWS = pa.schema(
    [
        pa.field("run", pa.string()),
        MEASUREMENTS.field("metric"),
        pa.field("labels", pa.string()),
        *(field for field in MEASUREMENTS if field.name not in ("metric", "labels")),
    ]
)
"""Schema of the rows of history; a value that is null was not measured, and its note says why."""


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as history keeps them: one text for one part of the platform, empty for the component's own figure."""
    return json.dumps(dict(sorted(labels.items())), ensure_ascii=False, separators=(",", ":")) if labels else ""


def labels_of(text: str) -> dict[str, str]:
    """The inverse of `labels_text`."""
    return dict(json.loads(text)) if text else {}


def read_run(folder: RunFolder) -> tuple[HistoryRun, pa.Table, dict[str, str]]:
    """A run, its rows, and why components of it are left out, each proved by its checksum.

    Raises `DamagedFileError` where the run as a whole cannot be read or is being removed.
    """
    told = _report(folder)  # first: one that ends while it is read is not judged without its last figures
    names = set(folder.store.names(f"{ANALYSIS}/{folder.environment}/{folder.run}"))
    if MARK in names or "run.json" not in names:
        raise DamagedFileError(f"run {folder.run} is {'being removed' if MARK in names else 'no run: no run.json'}")
    info, _ = folder.opened()
    if info.run != folder.run or info.environment != folder.environment:
        raise DamagedFileError(f"run {folder.run}: its run.json is that of {info.environment}/{info.run}")
    tables: list[pa.Table] = []
    parts: dict[str, HistoryComponent] = {}
    left_out: dict[str, str] = {}
    for component in ComponentId:
        if component.value not in names:
            continue
        try:
            read = _component(folder, component)
        except DamagedFileError as error:
            left_out[f"{folder.run}/{component.value}"] = str(error)
            continue
        if read:
            parts[component.value], table = read
            tables.append(table)
    return _run(folder, info, parts, told), pa.concat_tables(tables) if tables else ROWS.empty_table(), left_out


def _component(folder: RunFolder, component: ComponentId) -> tuple[HistoryComponent, pa.Table] | None:
    files = folder.component(component)
    manifest = files.manifest()
    if manifest is None:
        return None
    if manifest.run != folder.run:
        raise DamagedFileError(f"run {folder.run}: the manifest of {component.value} is that of {manifest.run}")
    return _described(manifest), rows_of(folder.run, files.measured(manifest))


def _described(manifest: Manifest) -> HistoryComponent:
    collected = manifest.collected
    return HistoryComponent(
        attempt=manifest.attempt,
        code_version=manifest.code_version,
        trust=collected.load.trust if collected.load else None,
        load_plan=collected.load_plan,
        fingerprint=collected.fingerprint,
    )


def rows_of(run: str, table: pa.Table) -> pa.Table:
    """Measurements as rows of history; a column that an earlier version did not know is null."""
    count = table.num_rows
    columns: list[Any] = []
    for field in ROWS:
        if field.name == "run":
            columns.append(pa.array([run] * count, pa.string()))
        elif field.name == "labels":
            columns.append(pa.array([labels_text(dict(row)) for row in _lists(table, "labels")]))
        elif field.name in table.column_names:
            columns.append(table.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(count, field.type))
    return pa.Table.from_arrays(columns, schema=ROWS)


def _lists(table: pa.Table, column: str) -> list[Any]:
    return table.column(column).to_pylist()


def _run(
    folder: RunFolder, info: RunInfo, parts: Mapping[str, HistoryComponent], told: dict[str, Any] | str
) -> HistoryRun:
    notes = []
    try:
        goes = folder.attempts()
    except DamagedFileError as error:
        goes, notes = (), [str(error)]
    backwards = [go for go in goes if go.judged and go.judged < go.opened]
    notes += [f"attempt {go.number} ended before it began: the machine's clock went backwards" for go in backwards]
    if isinstance(told, str):
        notes, told = [*notes, told], {}
    return remembered(
        info,
        parts,
        attempt=goes[-1].number if goes else 0,
        judged=bool(told) and (not goes or goes[-1].judged is not None),
        notes=tuple(notes),
        **told,
    )


def remembered(info: RunInfo, parts: Mapping[str, HistoryComponent], **told: Any) -> HistoryRun:
    """A run as history knows it: what was said of it when it was opened, its components, and what was told since."""
    kept = {name: getattr(info, name) for name in RunInfo.model_fields if name in HistoryRun.model_fields}
    return HistoryRun.model_validate(kept | {"components": parts} | told)


def _absent(part: Mapping[str, Any]) -> bool:
    """Whether a component of a report failed, or was left out by that run alone."""
    return part["status"] == "failed" or (part["status"] == "skipped" and not part["switched_off"])


def _report(folder: RunFolder) -> dict[str, Any] | str:
    """Verdict and score of the run's report; empty where it has none, a sentence where it cannot be read."""
    name = folder.orchestration("report.json")
    if not folder.store.exists(name):
        return {}
    try:
        data = folder.store.read_json(name)
        score = data["score"]
        return {
            "verdict": str(data["gate"]["verdict"]),
            "score": float(score["value"]),
            "grade": str(score["grade"]),
            "coverage": float(score["coverage"]),
            "partial": any(_absent(part) for part in data["components"]),
        }
    except DamagedFileError as error:
        return str(error)
    except (KeyError, TypeError, ValueError) as error:
        return f"{folder.store.path(name)} is not a report: {type(error).__name__}: {error}"
