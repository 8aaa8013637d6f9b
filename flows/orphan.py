"""Notices that the worker of a run is gone: nobody could cancel it any more, so it stops its load and ends."""

from __future__ import annotations

import os
import signal

from prefect.exceptions import TerminationSignal

UNDER_WORKER = "PREFECT__FLOW_RUN_ID"
"""Set by whoever starts an engine process for a flow run; a run of the command line has no worker to lose."""

_OWNER = os.getppid()


def stop_if_orphaned() -> None:
    """Raise what a termination signal raises where the worker that started this process has died."""
    if os.environ.get(UNDER_WORKER) and os.getppid() != _OWNER:
        _close_output()
        raise TerminationSignal(signal=signal.SIGTERM)


def _close_output() -> None:
    """Let what is still said go nowhere: the worker read it, and a broken pipe would end this process half-way."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
