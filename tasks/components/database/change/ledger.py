"""The ledger: one JSON file for each change under the output root, written before and after everything that happens.

database-changes/<environment>/<run>-<number>.json
"""

from __future__ import annotations

from pydantic import ValidationError

from storage.errors import DamagedFileError, UsageError
from storage.parquet import Store
from storage.runs import is_run_name
from tasks.components.database.change.records import OPEN, Entry

ROOT = "database-changes"


class Ledger:
    """The changes of one environment."""

    def __init__(self, store: Store, environment: str) -> None:
        if not is_run_name(environment):
            raise UsageError(f"{environment!r} cannot name a folder: use letters, digits, '.', '_' and '-'")
        self._store = store
        self._folder = f"{ROOT}/{environment}"

    def path(self, entry: Entry) -> str:
        """Where an entry lies, as a person finds it."""
        return self._store.path(self._name(entry))

    def _name(self, entry: Entry) -> str:
        return f"{self._folder}/{entry.run}-{entry.number:02d}.json"

    def write(self, entry: Entry) -> Entry:
        """Keep an entry in its present state; returns it."""
        self._store.write(self._name(entry), (entry.model_dump_json(indent=2) + "\n").encode())
        return entry

    def entries(self) -> list[Entry]:
        """Every change, the oldest first; a damaged file is a `DamagedFileError` that names it."""
        found = []
        for name in self._store.names(self._folder):
            if not name.endswith(".json"):
                continue
            full = f"{self._folder}/{name}"
            try:
                found.append(Entry.model_validate_json(self._store.read(full)))
            except ValidationError as error:
                raise DamagedFileError(
                    f"{self._store.path(full)} is not a change: {error.error_count()} problems; move it away, and "
                    "look for indexes hasivu_perf_* that are INVALID"
                ) from error
        return found

    def unfinished(self, database: str) -> list[Entry]:
        """Changes of a database that a run began and did not end."""
        return [entry for entry in self.entries() if entry.state in OPEN and entry.database == database]
