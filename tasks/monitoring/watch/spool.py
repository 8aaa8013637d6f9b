"""Alerts that wait to be told, kept in a file of this user: a watch that is killed leaves them to the next one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tasks.monitoring.watch.alarm import Alert
from tasks.monitoring.watch.private_file import put

_ALERTS = TypeAdapter(list[Alert])
_LOG = logging.getLogger("hasivu.watch")


class Spool:
    """The file of one receiver; there is none where nothing waits. A file that cannot be kept never ends a watch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: list[Alert] = []

    def left(self) -> list[Alert]:
        """What the last watch could not tell any more, in its order."""
        try:
            self._kept = _ALERTS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            _LOG.warning("%s cannot be read (%s): what it holds is not told", self._path, type(error).__name__)
        return list(self._kept)

    def keep(self, waiting: Sequence[Alert]) -> None:
        """Write what waits, whole or not at all."""
        if list(waiting) == self._kept:
            return
        self._kept = list(waiting)
        try:
            if waiting:
                put(self._path, _ALERTS.dump_json(self._kept))
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("%s cannot be written (%s): a watch that is killed forgets it", self._path, error.strerror)
