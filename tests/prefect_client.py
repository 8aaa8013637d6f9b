"""Prefect's client keeps threads that belong to the server that was there first; a process of tests sees several."""

from __future__ import annotations

from prefect._internal.concurrency.services import QueueService

_DRAIN_S = 10.0


def forget_server() -> None:
    """End the threads that send events and ask for slots, so that the next server gets its own.

    To be called while the server still answers, before it ends, or they try to reach it for ever.
    """
    QueueService.drain_all(timeout=_DRAIN_S, at_exit=False)
