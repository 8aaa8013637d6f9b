"""Reads what a comparison of runs needs from their folders, and chooses the runs to compare with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from deployments.config import RunConfig
from storage.errors import StorageError
from storage.history import open_history
from storage.history_records import HistoryRun
from storage.parquet import Store
from storage.records import (
    ComponentId,
    ComponentResult,
    MeasuredComponent,
    Measurement,
    Regression,
    RunInfo,
    Trust,
    Unit,
)
from storage.runs import RunFolder, run_at
from tasks.baseline import find_baseline
from tasks.judge import compare as judge
from tasks.judge.compare import MOST_BASELINES, Comparison, Figure, RunFigures, regressions, slices_of
from tasks.judge.regressions import like
from tasks.load.recording import samples

_PERCENTILE = re.compile(r"\.p(\d{2})$")
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing a run with its baselines gave: `baselines` are the runs, the asked one first."""

    comparisons: tuple[Comparison, ...] = ()
    baselines: tuple[str, ...] = ()
    regressions: tuple[Regression, ...] = ()
    compared: int = 0
    notes: tuple[str, ...] = ()


Run = RunFolder | RunFigures | str | Path
"""A stored run (opened, or the path of its folder or of any file in it), or figures that somebody has already."""


def compare_runs(run: Run, baselines: Run | Sequence[Run]) -> list[Comparison]:
    """Each figure of a run held against the same figure of up to five baselines, by the thresholds of the run.

        compare_runs("out/performance-analysis-results/staging/RUN", [another, and_another])

    `UsageError` names a path that leads to no run, `DamagedFileError` a file that cannot be read. Without a stored
    run among them no thresholds are known: `tasks.judge.compare.compare_runs` takes those.
    """
    several = [baselines] if isinstance(baselines, RunFolder | RunFigures | str | Path) else list(baselines)
    now, others = _read(run), [_read(one) for one in several]
    limits = () if isinstance(run, RunFigures) else RunConfig.model_validate(_folder(run).opened()[1]).thresholds
    return judge.compare_runs(now, others, limits)


def _read(run: Run) -> RunFigures:
    return run if isinstance(run, RunFigures) else figures_of(_folder(run))


def _folder(run: RunFolder | str | Path) -> RunFolder:
    return run if isinstance(run, RunFolder) else run_at(run)


def against_baseline(
    folder: RunFolder, info: RunInfo, config: RunConfig, results: Sequence[ComponentResult]
) -> Compared:
    """A run held against the one that it names as its baseline, and against up to four like that one."""
    if info.baseline is None:
        return Compared()
    try:
        names = baselines_of(folder.store, info, info.baseline)
        others = [figures_of(RunFolder(folder.store, info.environment, name)) for name in names]
    except StorageError as error:
        why = f"The baseline {info.baseline} cannot be read, so nothing was compared: {error}"
        return Compared(notes=(why,))
    return compared(_figures(folder, info, config, results), others, config)


def compared(run: RunFigures, others: Sequence[RunFigures], config: RunConfig) -> Compared:
    """The comparison, and what of it the report tells."""
    found = judge.compare_runs(run, others, config.thresholds)
    names = tuple(one.run for one in others)
    weighty = {threshold.metric for threshold in config.thresholds if threshold.weight > 0}
    own = [one for one in found if not one.labels and one.metric in weighty]
    judged = [one for one in own if one.verdict != "not_alike"]
    return Compared(
        tuple(found),
        names,
        tuple(regressions(found, config.thresholds, names)),
        len(judged),
        (*_notes(others, own, judged), *_doubted(run, others)),
    )


def _notes(others: Sequence[RunFigures], own: Sequence[Comparison], judged: Sequence[Comparison]) -> list[str]:
    first = others[0]
    if own and not judged:
        return [f"Not compared with run {first.run}, since that is {own[0].reason}"]
    release = f" of release {first.release}" if first.release else ""
    more = f" and {len(others) - 1} like it" if len(others) > 1 else ""
    counts = {
        verdict: sum(one.verdict == verdict for one in judged) for verdict in ("worse", "better", "inconclusive")
    }
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    figures = ", ".join(part for part in (_counted(len(judged), "figure"), told) if part)
    return [f"Compared with run {first.run}{release}{more}: {figures}"]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _doubted(run: RunFigures, others: Sequence[RunFigures]) -> list[str]:
    return [
        f"Not compared, since the load generator of run {one.run} did not trust itself: {', '.join(one.doubted)}"
        for one in (run, others[0])
        if one.doubted
    ]


def compare(folder: RunFolder, asked: str | None) -> Compared:
    """A stored run held against a baseline (see `find_baseline`), its own by default, else the like run before it."""
    info, data = folder.opened()
    config = RunConfig.model_validate(data)
    name = find_baseline(folder.store, info.environment, asked) if asked else info.baseline or _before(folder, info)
    if name is None:
        return Compared(notes=(f"There is no whole run before {info.run} under like load to compare with",))
    if name == info.run:
        return Compared(notes=(f"{name} is the run itself: name another one",))
    names = baselines_of(folder.store, info, name)
    others = [figures_of(RunFolder(folder.store, info.environment, one)) for one in names]
    return compared(figures_of(folder), others, config)


def _before(folder: RunFolder, info: RunInfo) -> str | None:
    runs = open_history(folder.store, info.environment).runs
    run = next((one for one in runs if one.run == info.run), None)
    judged = [one for one in runs if one.verdict is not None]
    earlier = [one for one in judged if run and one.started < run.started and like(one, run)]
    whole = [one for one in earlier if one.whole]
    return (whole or earlier)[-1].run if earlier else None


def baselines_of(store: Store, info: RunInfo, name: str) -> list[str]:
    """The named run first, then up to four whole ones like it: of its release, or else those just before it."""
    runs = [run for run in open_history(store, info.environment).runs if run.run != info.run]
    chosen = next((run for run in runs if run.run == name), None)
    if chosen is None:
        return [name]
    others = [run for run in runs if _beside(run, chosen) and run.started < info.started and _there(store, run)]
    return [name, *(run.run for run in reversed(others))][:MOST_BASELINES]


def _beside(run: HistoryRun, chosen: HistoryRun) -> bool:
    if run.run == chosen.run or (chosen.whole and not run.whole) or not like(run, chosen):
        return False
    return run.release == chosen.release if chosen.release else run.started < chosen.started


def _there(store: Store, run: HistoryRun) -> bool:
    """Whether the run's folder is still there; of what retention removed only single values are left."""
    return RunFolder(store, run.environment, run.run).opened_already()


def figures_of(folder: RunFolder) -> RunFigures:
    """All figures of a stored run; `DamagedFileError` names the file that cannot be read."""
    info, data = folder.opened()
    config = RunConfig.model_validate(data)
    results: list[ComponentResult] = []
    for component in ComponentId:
        files = folder.component(component)
        manifest = files.manifest()
        if manifest is not None:
            results.append(files.result(manifest))
    return _figures(folder, info, config, results)


def _figures(folder: RunFolder, info: RunInfo, config: RunConfig, results: Sequence[ComponentResult]) -> RunFigures:
    measured = [one for one in results if isinstance(one, MeasuredComponent)]
    return RunFigures(
        info.run,
        tuple(figure for one in measured if _taken(one) for figure in _component(folder, one)),
        _context(info, config, measured),
        info.release,
        tuple(one.component.value for one in measured if not _taken(one)),
    )


def _taken(result: MeasuredComponent) -> bool:
    """Figures of a generator that does not trust itself are no data."""
    load = result.collected.load
    return load is None or load.trust is not Trust.NOT_TRUSTED


def _component(folder: RunFolder, result: MeasuredComponent) -> list[Figure]:
    table = _samples(folder, result.component)
    return [
        Figure(
            metric=one.metric,
            unit=one.unit,
            value=one.value,
            n=one.n,
            labels=dict(one.labels),
            interval=one.interval,
            slices=() if table is None else _slices(table, one),
        )
        for one in result.measurements
        if one.value is not None
    ]


def _samples(folder: RunFolder, component: ComponentId) -> pa.Table | None:
    files = folder.component(component)
    manifest = files.manifest()
    if manifest is None or "samples.parquet" not in manifest.files:
        return None
    table = files.tables(manifest)["samples"]
    wanted = {"endpoint", "phase", "error", "intended_ns", "received_ns"}
    return samples.of_phase(table, samples.STEADY) if wanted <= set(table.column_names) else None


def _slices(table: pa.Table, figure: Measurement) -> tuple[float, ...]:
    """The figure's percentile in slices of time, where the samples give the figure itself; else none."""
    match = _PERCENTILE.search(figure.metric)
    if match is None or figure.unit is not Unit.MS or len(figure.labels) > 1:
        return ()
    rows = samples.of_endpoint(table, next(iter(figure.labels.values()))) if figure.labels else table
    q = int(match[1]) / 100
    latencies = samples.latency_ms(rows)
    whole = samples.percentile(latencies, q)
    if whole is None or figure.value is None or abs(whole - figure.value) > _CLOSE * abs(figure.value):
        return ()
    times = samples.column(rows, "intended_ns")[samples.answered(rows)].astype(np.float64)
    return slices_of(times, latencies, q)


def _context(info: RunInfo, config: RunConfig, measured: Sequence[MeasuredComponent]) -> dict[str, str]:
    """Under which conditions a run was measured, as far as is known."""
    sizes = [one.collected.fingerprint["data_size"] for one in measured if "data_size" in one.collected.fingerprint]
    weighty = [one.model_dump(mode="json") for one in config.thresholds if one.weight > 0]
    limits = json.dumps(weighty, sort_keys=True)
    known = {
        **{key: info.settings[key] for key in ("users", "duration_s", "ramp_up_s", "pace_s") if key in info.settings},
        "platform": "embedded" if info.local else "real",
        "thresholds": hashlib.sha256(limits.encode()).hexdigest(),
        **{key: info.machine[key] for key in ("cores", "memory_mb") if key in info.machine},
    }
    return {**known, "data_size": sizes[0]} if sizes else known
