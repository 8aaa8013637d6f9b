"""What fires, kept in a file of this user, so that a watch that is started again goes on where the last one ended.

One watch of an environment at a time has the file; a second one begins anew and says so. A file that cannot be read
or written is a note, never the end of a watch.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter, ValidationError

from storage.records import Record, Utc
from tasks.monitoring.watch.private_file import put

_VERSION = 1


class _Kept(Record):
    """The file: since when each alert fires, by its name."""

    version: int
    environment: str
    firing: Mapping[str, Utc]


_FILE = TypeAdapter(_Kept)


def memory_file(environment: str) -> Path:
    """`$XDG_STATE_HOME/hasivu-perf/watch-<environment>.json`, or that below `~/.local/state`."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "hasivu-perf" / f"watch-{environment}.json"


class Memory:
    """`firing` is what the last watch left; `keep` takes what fires now; `note` is empty where all is well."""

    def __init__(self, path: Path, environment: str) -> None:
        """Take the file and read it."""
        self._path, self._environment = path, environment
        self._lock: IO[str] | None = None
        self.note = ""
        self.firing: dict[str, datetime] = {}
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = open(path.with_suffix(".lock"), "w", opener=_private)  # noqa: SIM115 - held
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.firing = self._read()
        except BlockingIOError:
            self._give_up(f"another watch has {path}: this one begins its alerts anew (--state names another file)")
        except OSError as error:
            self._give_up(f"{path} cannot be kept ({error.strerror}): a watch started again tells its alerts anew")

    def beside(self, name: str) -> Path | None:
        """A file beside this one, for what else must outlive the watch; None where another watch has this one."""
        return None if self._lock is None else self._path.with_suffix(f".{name}.json")

    def _read(self) -> dict[str, datetime]:
        try:
            kept = _FILE.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError:
            self.note = f"{self._path} is damaged or of another version: alerts begin anew"
            return {}
        if (kept.version, kept.environment) != (_VERSION, self._environment):
            self.note = f"{self._path} is of another environment or version: alerts begin anew"
            return {}
        return dict(kept.firing)

    def keep(self, firing: Mapping[str, datetime]) -> None:
        """Write what fires, whole or not at all; called after it was told: better a page twice than none."""
        if self._lock is None:
            return
        text = json.dumps(
            {
                "version": _VERSION,
                "environment": self._environment,
                "firing": {name: since.isoformat() for name, since in sorted(firing.items())},
            }
        )
        try:
            put(self._path, text.encode())
        except OSError as error:
            self.note = f"{self._path} cannot be written ({error.strerror}): a watch started again tells alerts anew"

    def close(self) -> None:
        """Let the next watch have the file."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _give_up(self, note: str) -> None:
        self.close()
        self.note = note


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
