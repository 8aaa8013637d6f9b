"""Which runs of an environment stay: decided by pure functions, then done one run at a time.

Kept are the newest N runs; every pinned baseline; the newest whole run of each of the two newest releases, with which
the next release is compared; the runs that kept ones were compared with; and runs that are still under way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.baselines import pinned
from storage.errors import DamagedFileError
from storage.inventory import StoredRun, newest_first
from storage.parquet import Store
from storage.removal import announce, remove, withdraw
from storage.runs import RunFolder

RELEASES = 2
"""Of how many releases the newest whole run is kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `keep` says why for each run that stays, `remove` has the oldest first."""

    keep: Mapping[str, str]
    remove: tuple[StoredRun, ...]


def plan(runs: Sequence[StoredRun], keep: int, protected: Mapping[str, str]) -> Plan:
    """Divide runs into those that stay and those that go; `protected` says why for runs that stay in any case.

    A run whose removal has begun is finished, whatever it was, and does not count.
    """
    whole = newest_first(run for run in runs if not run.removing)
    stays = {run.run: "among the newest" for run in whole[:keep]}
    stays |= {run.run: why for run in whole if (why := protected.get(run.run)) and run.run not in stays}
    stays |= {run.run: "still under way" for run in whole if run.open and run.run not in stays}
    compared = {run.baseline: f"the baseline of {run.run}" for run in whole if run.run in stays and run.baseline}
    names = {run.run for run in whole}
    stays |= {run: why for run, why in compared.items() if run in names and run not in stays}
    return Plan(stays, tuple(run for run in reversed(newest_first(runs)) if run.run not in stays))


def protected_runs(store: Store, environment: str, runs: Sequence[StoredRun]) -> dict[str, str]:
    """Runs that stay however old they are, each with the reason; a damaged pin is an error, never a lost baseline."""
    found = {
        run: f"the newest whole run of {release}" for release, run in _releases(store, environment, runs).items()
    }
    return found | {one.run: f"pinned as {name}" for name, one in pinned(store, environment).items()}


def _releases(store: Store, environment: str, runs: Sequence[StoredRun]) -> dict[str, str]:
    found: dict[str, str] = {}
    for run in newest_first(runs):
        if len(found) == RELEASES:
            break
        if run.release and run.release not in found and run.reported and not run.removing:
            try:
                whole = not RunFolder(store, environment, run.run).report().partial
            except DamagedFileError:
                continue  # the next one of that release is compared with
            if whole:
                found[run.release] = run.run
    return found


def remove_run(store: Store, environment: str, run: str) -> bool:
    """Remove one run; False, and nothing removed, where somebody has pinned it since it was planned."""
    folder = RunFolder(store, environment, run)
    announce(folder)
    if folder.opened_already() and run in {one.run for one in pinned(store, environment).values()}:
        withdraw(folder)
        return False
    remove(folder)
    return True
