"""Removes one run so that no moment of it can be taken for a whole run, and whatever is cut short can be finished.

First `removing.json` announces it, then go the files that make a run a run (run.json, report.json, the manifests),
then all others, and the announcement last. A folder that holds it is no run: the next retention finishes it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from storage.runs import ANALYSIS, RunFolder

MARK = "removing.json"


def being_removed(folder: RunFolder) -> bool:
    """Whether a removal of the run was announced."""
    return folder.store.exists(f"{_analysis(folder)}/{MARK}")


def announce(folder: RunFolder) -> None:
    """Say that the run is about to be removed."""
    folder.store.write_json(f"{_analysis(folder)}/{MARK}", {"since": datetime.now(UTC).isoformat()})


def withdraw(folder: RunFolder) -> None:
    """Take the announcement back, before anything was removed."""
    folder.store.remove(f"{_analysis(folder)}/{MARK}")


def remove(folder: RunFolder) -> None:
    """Remove all of an announced run, in the three roots and nowhere else."""
    store, analysis = folder.store, _analysis(folder)
    store.remove(f"{analysis}/run.json")
    store.remove(folder.orchestration("report.json"))
    for file in store.files(analysis):
        if file.name.endswith("/manifest.json"):
            store.remove(file.name)
    store.remove_folder(folder.orchestration("").rstrip("/"))
    store.remove_folder(folder.benchmark("").rstrip("/"))
    folders = set(store.folders(analysis))
    for name in store.names(analysis):
        if name in folders:
            store.remove_folder(f"{analysis}/{name}")
        elif name != MARK:
            store.remove(f"{analysis}/{name}")
    store.remove_folder(analysis)


def _analysis(folder: RunFolder) -> str:
    return f"{ANALYSIS}/{folder.environment}/{folder.run}"
