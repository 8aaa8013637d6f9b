"""What lies under an output root for one environment: its runs, when they were, and what is there of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.errors import DamagedFileError
from storage.parquet import Store
from storage.place import PlacedFile
from storage.records import RunInfo
from storage.removal import MARK
from storage.runs import ANALYSIS, BENCHMARKS, ORCHESTRATION, RunFolder, is_run_name

OPEN_FOR = timedelta(hours=24)
"""How long after its last file a run that is not judged counts as still under way."""

_READERS = 8


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run as it lies there: `touched` is when its newest file was written, `files` are the names for people."""

    run: str
    started: datetime
    touched: datetime
    bytes: int
    release: str | None = None
    baseline: str | None = None
    files: frozenset[str] = frozenset()
    removing: bool = False
    open: bool = False
    problem: str = ""

    @property
    def reported(self) -> bool:
        """Whether it has a report."""
        return "report.json" in self.files


def stored_runs(store: Store, environment: str, now: datetime) -> list[StoredRun]:
    """Every run of an environment, the oldest first; folders that are no run are left out.

    A run whose description is damaged is there with its `problem`, and counts as started when it was last written.
    """
    listed = _listed(store, environment)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="inventory") as pool:
        found = pool.map(lambda run: _run(RunFolder(store, environment, run), listed[run], now), listed)
        return sorted(found, key=lambda run: (run.started, run.run))


def _listed(store: Store, environment: str) -> dict[str, list[PlacedFile]]:
    """The files of every run, by the run's name."""
    found: dict[str, list[PlacedFile]] = {}
    for root in (ANALYSIS, BENCHMARKS, ORCHESTRATION):
        for file in store.files(f"{root}/{environment}"):
            _, _, run, *rest = file.name.split("/")
            if rest:
                found.setdefault(run, []).append(file)
    return {run: files for run, files in found.items() if _is_run(environment, run, files)}


def _is_run(environment: str, run: str, files: Sequence[PlacedFile]) -> bool:
    if not is_run_name(run):
        return False
    mine = {f"{ANALYSIS}/{environment}/{run}/{name}" for name in ("run.json", MARK)}
    return any(file.name in mine for file in files)


def _run(folder: RunFolder, files: Sequence[PlacedFile], now: datetime) -> StoredRun:
    touched = max(file.modified for file in files)
    people = folder.orchestration("")
    names = frozenset(file.name.removeprefix(people) for file in files if file.name.startswith(people))
    removing = any(file.name.endswith(f"/{folder.run}/{MARK}") for file in files)
    info, problem = (None, "") if removing else _info(folder)
    return StoredRun(
        run=folder.run,
        started=info.started if info else touched,
        touched=touched,
        bytes=sum(file.bytes for file in files),
        release=info.release if info else None,
        baseline=info.baseline if info else None,
        files=names,
        removing=removing,
        open=not removing and now - touched < OPEN_FOR and not ("report.json" in names and _judged(folder)),
        problem=problem,
    )


def _info(folder: RunFolder) -> tuple[RunInfo | None, str]:
    try:
        return folder.opened()[0], ""
    except DamagedFileError as error:
        return None, str(error)


def _judged(folder: RunFolder) -> bool:
    """Whether the last attempt at the run has ended."""
    try:
        attempts = folder.attempts()
    except DamagedFileError:
        return False
    return not attempts or attempts[-1].judged is not None


def newest_first(runs: Iterable[StoredRun]) -> list[StoredRun]:
    """Runs by when they started."""
    return sorted(runs, key=lambda run: (run.started, run.run), reverse=True)
