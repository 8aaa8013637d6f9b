"""What a component does differently on a Dask worker: it heeds its cancellation, and tells its progress elsewhere.

Nothing here imports Dask where this process is no worker of a cluster: it is an optional part.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask.typing import Key
    from distributed import Worker

TOPIC = "hasivu-perf-progress"
"""Under which signs of life reach who submitted the task: its `key`, and in `progress` the fields of a `Progress`."""


def current() -> Worker | None:
    """The Dask worker that runs this thread's task; None where there is none."""
    if "distributed.worker" not in sys.modules:
        return None
    from distributed import get_worker  # noqa: PLC0415 - see the module

    try:
        return get_worker()
    except ValueError:
        return None


def cancelled() -> bool:
    """Whether this thread's task was cancelled, or who submitted it is gone: Dask itself ends no running task."""
    worker, key = current(), _key()
    if worker is None or key is None:
        return False
    task = worker.state.tasks.get(key)
    return task is None or task.state == "cancelled"


def send(progress: Mapping[str, Any]) -> None:
    """Send a sign of life to whoever submitted this thread's task; nothing outside of one."""
    worker, key = current(), _key()
    if worker is not None and key is not None:
        worker.log_event(TOPIC, {"key": str(key), "progress": dict(progress)})


def _key() -> Key | None:
    worker = current()
    return None if worker is None else worker.active_threads.get(threading.get_ident())
