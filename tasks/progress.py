"""Carries signs of life from running components to whoever watches in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from storage.errors import NotMeasuredError
from storage.records import ComponentId
from tasks import dask_worker, stopping


@dataclass(frozen=True)
class Progress:
    """A sign of life of one component while it collects, for the live view."""

    component: ComponentId
    elapsed_s: float
    total_s: float
    rate: float | None = None
    p95_ms: float | None = None
    failed: int | None = None
    message: str = ""


_watchers: list[Callable[[Progress], None]] = []
_hearers: list[Callable[[str], object]] = []


def tell(progress: Progress) -> None:
    """Pass one sign of life to every watcher; raises `NotMeasuredError` where the run was told to stop.

    On a Dask worker the watchers are in another process, and to stop is to have the task cancelled.
    """
    stopping.check()
    if dask_worker.cancelled():
        raise NotMeasuredError("interrupted before it was measured")
    dask_worker.send(asdict(progress) | {"component": progress.component.value})
    show(progress)


def show(progress: Progress) -> None:
    """Pass one sign of life to every watcher of this process."""
    for watcher in tuple(_watchers):
        watcher(progress)


def say(text: str) -> None:
    """Pass a line about the run as a whole to whoever watches it in this process."""
    for hearer in tuple(_hearers):
        hearer(text)


@contextmanager
def watching(watcher: Callable[[Progress], None], hearer: Callable[[str], object] | None = None) -> Iterator[None]:
    """Call `watcher` for each sign of life within the block, and `hearer` for each line about the run.

    Both are called from other threads.
    """
    hearers = [hearer] if hearer else []
    _watchers.append(watcher)
    _hearers.extend(hearers)
    try:
        yield
    finally:
        _watchers.remove(watcher)
        for one in hearers:
            _hearers.remove(one)
