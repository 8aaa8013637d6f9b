"""Baselines that a person pinned: runs that an environment keeps under a name, whatever retention removes.

    performance-analysis-results/<environment>/baseline-<name>.json

Each name is a file of its own, so that two people who pin at the same moment never lose each other's pin.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pydantic import ValidationError

from storage.errors import DamagedFileError, UnknownRunError, UsageError
from storage.parquet import Store
from storage.records import Record, Utc
from storage.removal import being_removed
from storage.runs import ANALYSIS, RunFolder

_FILE = re.compile(r"^baseline-(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,59})\.json$")


class Pin(Record):
    """One pinned baseline: which run, who pinned it, and when."""

    run: str
    by: str
    at: Utc


def pin(store: Store, environment: str, name: str, run: str, *, by: str) -> Pin:
    """Keep a run under a name, in place of the one that had it; `UnknownRunError` where there is no such run."""
    file = _file(environment, name)
    folder = RunFolder(store, environment, run)
    before = store.read(file) if store.exists(file) else None
    made = Pin(run=run, by=by, at=datetime.now(UTC))
    store.write(file, made.model_dump_json(indent=2).encode())
    # Retention announces a removal and then reads the pins, so one of the two always sees the other.
    if being_removed(folder) or not folder.opened_already():
        if before is None:
            store.remove(file)
        else:
            store.write(file, before)
        raise UnknownRunError(f"no run {run!r} of {environment} under {store.root}, or it is being removed")
    return made


def unpin(store: Store, environment: str, name: str) -> None:
    """Let a name go, if there is one."""
    store.remove(_file(environment, name))


def pinned(store: Store, environment: str) -> dict[str, Pin]:
    """Every pinned baseline of an environment by name; a damaged one is a `DamagedFileError` that names it."""
    folder = f"{ANALYSIS}/{environment}"
    found = {match["name"]: f"{folder}/{match.string}" for match in map(_FILE.match, store.names(folder)) if match}
    return {name: _read(store, file) for name, file in found.items()}


def _file(environment: str, name: str) -> str:
    if not _FILE.match(f"baseline-{name}.json"):
        raise UsageError(f"{name!r} cannot name a baseline: use up to 60 letters, digits, '.', '_' and '-'")
    return f"{ANALYSIS}/{environment}/baseline-{name}.json"


def _read(store: Store, file: str) -> Pin:
    try:
        return Pin.model_validate_json(store.read(file))
    except ValidationError as error:
        raise DamagedFileError(
            f"{store.path(file)} is no pinned baseline ({error.error_count()} problems); remove it, or pin again"
        ) from error
