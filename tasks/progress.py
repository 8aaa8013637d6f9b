"""Carries signs of life from running components to whoever watches in this process, and the word to stop back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.errors import NotMeasuredError
from storage.records import ComponentId


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
_stop = threading.Event()


def tell(progress: Progress) -> None:
    """Pass one sign of life to every watcher; raises `NotMeasuredError` where the run was told to stop."""
    if _stop.is_set():
        raise NotMeasuredError("interrupted before it was measured")
    for watcher in tuple(_watchers):
        watcher(progress)


def stop() -> None:
    """Have every component end at its next sign of life, within about a second; its load ends with it."""
    _stop.set()


def stopping() -> bool:
    """Whether the run was told to stop."""
    return _stop.is_set()


@contextmanager
def watching(watcher: Callable[[Progress], None]) -> Iterator[None]:
    """Call `watcher` for each sign of life within the block; it is called from the components' threads."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)
