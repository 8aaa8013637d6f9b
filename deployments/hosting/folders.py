"""Folders of this user: the cache, and runtime folders that are removed even where their guardian was killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from deployments.hosting.guardian import guardian_log
from storage.errors import LocalPlatformError

_ABANDONED_S = 60.0


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/hasivu-perf`, or `~/.cache/hasivu-perf`; made with mode 0700.

    Raises LocalPlatformError where it cannot be written.
    """
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "hasivu-perf"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalPlatformError(
            f"{folder} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder of yours"
        ) from error
    return folder


def temporary_runtime() -> Path:
    """A new name among the temporary files for a guardian to make its folder."""
    return Path(tempfile.gettempdir(), f"hasivu-perf-{secrets.token_hex(8)}")


def runtime_folder(parent: Path) -> Path:
    """A new name below `parent` for a guardian to make its folder; what killed guardians left there is removed."""
    parent.mkdir(mode=0o700, exist_ok=True)
    for path in parent.iterdir():
        _remove_abandoned(path)
    return parent / f"{os.getpid()}-{secrets.token_hex(4)}"


def _remove_abandoned(folder: Path) -> None:
    """Remove a runtime folder whose guardian was killed: nobody holds the lock on the guardian's log."""
    with suppress(OSError), guardian_log(folder).open("rb") as log:
        if time.time() - folder.stat().st_mtime > _ABANDONED_S:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
