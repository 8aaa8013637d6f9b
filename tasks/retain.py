"""Keeps an environment's newest runs and what must stay besides; removes the others, or says which they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from deployments.config import load_environment
from storage.compaction import retire
from storage.errors import UsageError
from storage.inventory import StoredRun, stored_runs
from storage.parquet import Store
from storage.retention import Plan, plan, protected_runs, remove_run
from tasks.site import rebuild

_MB = 2**20


@dataclass(frozen=True, slots=True)
class Retained:
    """What was decided, and what was done: `removed` names the runs that are gone.

    Their measurements stay in history, but for those of `unkept`, each with the reason.
    """

    environment: str
    plan: Plan
    applied: bool
    removed: tuple[str, ...] = ()
    pinned_meanwhile: tuple[str, ...] = ()
    unkept: Mapping[str, str] = field(default_factory=dict)


def retain(environment: str, output: str, *, keep: int | None, apply: bool, now: datetime | None = None) -> Retained:
    """Keep `keep` runs, or as many as the environment's file says; without `apply` nothing is removed.

    A run that someone pins while this goes on stays. Where it is cut short, the next call goes on.
    """
    wanted = load_environment(environment).retention.keep_runs if keep is None else keep
    if wanted < 1:
        raise UsageError(f"--keep {wanted}: at least the newest run is kept")
    store = Store(output)
    runs = stored_runs(store, environment, now or datetime.now(UTC))
    made = plan(runs, wanted, protected_runs(store, environment, runs))
    if not apply:
        return Retained(environment, made, applied=False)
    unkept = retire(store, environment, [run.run for run in made.remove if not run.removing])
    done = {run.run: remove_run(store, environment, run.run) for run in made.remove}
    if any(done.values()):
        rebuild(store, environment)
    return Retained(
        environment,
        made,
        applied=True,
        removed=tuple(run for run, gone in done.items() if gone),
        pinned_meanwhile=tuple(run for run, gone in done.items() if not gone),
        unkept=unkept,
    )


def lines(retained: Retained) -> Iterator[str]:
    """What was done or would be done, a line a run, for a person."""
    for run, why in sorted(retained.plan.keep.items()):
        if why != "among the newest":
            yield f"kept    {run}  {why}"
    for one in retained.plan.remove:
        if one.run in retained.pinned_meanwhile:
            yield f"kept    {one.run}  pinned just now"
        else:
            done = "removed" if retained.applied else "remove "
            yield f"{done} {one.run}  {_size(one)}{_why(one)}{_lost(retained, one)}"
    yield _sum(retained)


def _sum(retained: Retained) -> str:
    gone = [one for one in retained.plan.remove if one.run not in retained.pinned_meanwhile]
    kept = len(retained.plan.keep) + len(retained.pinned_meanwhile)
    size = f"{sum(one.bytes for one in gone) / _MB:.1f} MB"
    if retained.applied:
        return f"{retained.environment}: {kept} runs kept, {len(gone)} removed, {size} freed"
    said = f"{retained.environment}: {kept} runs stay, {len(gone)} would go, {size}"
    return f"{said}; nothing was removed: use --apply" if gone else said


def _size(run: StoredRun) -> str:
    return f"{run.bytes / _MB:.1f} MB"


def _lost(retained: Retained, run: StoredRun) -> str:
    why = retained.unkept.get(run.run)
    return f", not kept in history: {why}" if why else ""


def _why(run: StoredRun) -> str:
    if run.removing:
        return ", its removal was begun earlier"
    return f", damaged: {run.problem}" if run.problem else ""
