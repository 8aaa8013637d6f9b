"""Finds the run that another one is held against: by its name, a pinned name, a release, or the last good one."""

from __future__ import annotations

from collections.abc import Sequence

from storage.baselines import pinned
from storage.errors import UnknownRunError
from storage.history import History, open_history
from storage.history_records import HistoryRun
from storage.parquet import Store
from storage.records import GateVerdict

LAST_GOOD, LATEST = "last-good", "latest"


def baseline_run(store: Store, environment: str, *, asked: str | None, release: str | None) -> str | None:
    """Name of the run to compare with, or None where there is none.

    `asked` is as `find_baseline` takes it. Without it a run of a release is held against the newest whole run of
    another release, and a run of no release against nothing.
    """
    if asked is not None:
        return find_baseline(store, environment, asked)
    if release is None:
        return None
    runs = open_history(store, environment).runs
    return next((run.run for run in reversed(runs) if run.whole and run.release not in (None, release)), None)


def find_baseline(store: Store, environment: str, asked: str) -> str:
    """The run that `asked` names: a run, a pinned name, `last-good`, `latest`, or a release.

    Of a release it is the newest whole run, or else the newest. Where it names none, that is an `UnknownRunError`.
    """
    history = open_history(store, environment)
    found = _named(history, asked)
    if found is None:
        why = next((f"; {name}: {text}" for name, text in history.left_out.items() if name == asked), "")
        raise UnknownRunError(
            f"baseline {asked!r} is no run of {environment} with a report, no pinned name, and no release under"
            f" {store.root}{why}"
        )
    return found


def _named(history: History, asked: str) -> str | None:
    judged = [run for run in history.runs if run.verdict is not None]
    if any(run.run == asked for run in judged):
        return asked
    if asked == LAST_GOOD:
        return last_good(history.runs)
    pin = pinned(history.store, history.environment).get(asked)
    if pin:
        return pin.run
    wanted = [run for run in judged if asked in (LATEST, run.release)]
    whole = [run for run in wanted if asked == LATEST or run.whole]
    return (whole or wanted)[-1].run if wanted else None


def last_good(runs: Sequence[HistoryRun]) -> str | None:
    """The newest run that measured everything and passed its gate."""
    good = [run.run for run in runs if run.whole and run.verdict == GateVerdict.PASS]
    return good[-1] if good else None
