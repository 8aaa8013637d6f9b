"""Finds the run that another one is held against: the one that was asked for, or the previous release's."""

from __future__ import annotations

from collections.abc import Iterator

from storage.errors import DamagedFileError, StorageError, UnknownRunError
from storage.parquet import Store
from storage.records import Report, RunInfo
from storage.runs import ANALYSIS, RunFolder

MOST_LOOKED_AT = 200
"""How many runs, the newest first, are looked at for the previous release."""


def baseline_run(store: Store, environment: str, *, asked: str | None, release: str | None) -> str | None:
    """Name of the run to compare with, or None where there is none.

    `asked` is a run or a release; where it names neither, that is an `UnknownRunError`. Without it a run of a release
    is held against the newest whole run of another release, and a run of no release against nothing.
    """
    if asked is None and release is None:
        return None
    for info in _runs(store, environment):
        if asked in (info.run, info.release) if asked else info.release not in (None, release):
            report = _report(RunFolder(store, environment, info.run))
            if report is not None and (asked == info.run or not report.partial):
                return info.run
    if asked:
        raise UnknownRunError(
            f"baseline {asked!r} is neither a run of {environment} nor a release with a whole run under {store.root}"
        )
    return None


def baseline_report(store: Store, info: RunInfo) -> tuple[Report | None, str]:
    """The report of the run that `info` names as its baseline, or why it cannot be read."""
    if info.baseline is None:
        return None, ""
    try:
        return RunFolder(store, info.environment, info.baseline).report(), ""
    except StorageError as error:
        return None, f"The baseline {info.baseline} cannot be read, so nothing was compared: {error}"


def _runs(store: Store, environment: str) -> Iterator[RunInfo]:
    for run in reversed(store.folders(f"{ANALYSIS}/{environment}")[-MOST_LOOKED_AT:]):
        folder = RunFolder(store, environment, run)
        try:
            if folder.opened_already():
                yield folder.opened()[0]
        except DamagedFileError:
            continue  # a damaged run is no baseline


def _report(folder: RunFolder) -> Report | None:
    try:
        return folder.report()
    except DamagedFileError:
        return None
