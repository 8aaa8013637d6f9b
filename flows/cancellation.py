"""A run without a worker hears for itself that it was cancelled at the server: nobody else would end it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows.orphan import UNDER_WORKER
from tasks import stopping

_ASK_S = 0.4


@contextmanager
def cancellation_heard() -> Iterator[None]:
    """Within the block, *Cancel* in the UI or by the API stops the load within a second.

    A run under a worker is left to it: that one sends a signal.
    """
    run = flow_run.id
    if os.environ.get(UNDER_WORKER) or run is None:
        yield
        return
    over, here = threading.Event(), copy_context()  # in which Prefect's settings name the server of this run
    threading.Thread(target=here.run, args=(_listen, run, over), name="cancellation", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def cancelled(state: State[Any]) -> bool:
    """Whether a flow ended so; one that was cancelled before it began is told to be over at the server, too."""
    run = state.state_details.flow_run_id
    if state.is_cancelling() and run is not None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, Cancelled(message="cancelled before it began"), force=True)
    return state.is_cancelling() or state.is_cancelled()


def _listen(run: str, over: threading.Event) -> None:
    with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        while not over.wait(_ASK_S):
            try:
                state = client.read_flow_run(run).state  # type: ignore[arg-type]
            except (httpx.HTTPError, PrefectException):
                continue  # a server that is gone ends the run elsewhere
            if state is not None and (state.is_cancelling() or state.is_cancelled()):
                stopping.cancel()
                return
