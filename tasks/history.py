"""Keeps an environment's history in order after a run."""

from __future__ import annotations

from storage.compaction import compact
from storage.errors import StorageError
from storage.runs import RunFolder


def keep_up(folder: RunFolder) -> str:
    """Take runs up into history where enough of them wait; what went wrong, which is no reason for a run to fail."""
    try:
        compact(folder.store, folder.environment)
    except StorageError as error:
        return str(error)
    return ""
