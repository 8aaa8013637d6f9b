"""The word to stop, which everything that measures in this process hears within a fraction of a second."""

from __future__ import annotations

import threading

from storage.errors import NotMeasuredError

_asked = threading.Event()
_cancelled = threading.Event()
_unpublished = threading.Event()


class StoppedError(Exception):
    """The run was told to stop, and so the flow ends before all is measured."""


def ask() -> None:
    """Have every component of this process end; its load ends with it."""
    _asked.set()


def asked() -> bool:
    """Whether the run was told to stop."""
    return _asked.is_set()


def cancel() -> None:
    """The same because somebody wants the run to end: nothing went wrong in it."""
    _cancelled.set()
    ask()


def cancelled() -> bool:
    """Whether somebody wanted the run to end, elsewhere than at its terminal."""
    return _cancelled.is_set()


def leave_publishing() -> None:
    """Say that the flow has judged, and leaves it to who hosts it to publish that."""
    _unpublished.set()


def publishing_is_left() -> bool:
    """Whether the flow said so."""
    return _unpublished.is_set()


def check() -> None:
    """Raise `NotMeasuredError` where the run was told to stop."""
    if _asked.is_set():
        raise NotMeasuredError("interrupted before it was measured")


def leave() -> None:
    """Raise `StoppedError` where the run was told to stop."""
    if _asked.is_set():
        raise StoppedError


def rest(seconds: float) -> None:
    """Wait so long; raises `NotMeasuredError` as soon as the run is told to stop."""
    _asked.wait(max(0.0, seconds))
    check()
