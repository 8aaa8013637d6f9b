"""One load test per environment at a time: the slot that a run holds while it measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.orphan import stop_if_orphaned

LEASE_S = 60.0
"""A slot whose holder died is free again after this many seconds, and the server's next look at its leases."""

_ASK_S = 2.0
"""How long to wait before the server is asked again."""


@contextmanager
def environment_slot(environment: str, queued: Callable[[str], None]) -> Iterator[float]:
    """Hold the one load slot of an environment; yields how long it was waited for, in seconds.

    The limit `load-<environment>` is made where the server lacks it. `queued` is told, once, that another run has it.
    """
    name = f"load-{environment}"
    _ensure(name)
    began = time.monotonic()
    with ExitStack() as stack:
        if not _taken(stack, name):
            queued(name)
            while not _taken(stack, name):
                stop_if_orphaned()
                time.sleep(_ASK_S)
        yield time.monotonic() - began


def _ensure(name: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # another run made it meanwhile
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))


def _taken(stack: ExitStack, name: str) -> bool:
    """Whether the slot could be had; it is given back when the stack ends.

    The server is asked once and its answer waited for: one that came after a time limit would have given the slot to
    nobody, for as long as its lease. Strict: a holder that cannot renew its lease any more stops its load, since
    another run may take the slot.
    """
    try:
        stack.enter_context(concurrency(name, occupy=1, strict=True, lease_duration=LEASE_S, max_retries=0))
    except ConcurrencySlotAcquisitionError as error:
        if not _locked(error.__cause__):
            raise
        return False
    return True


def _locked(cause: BaseException | None) -> bool:
    return isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == httpx.codes.LOCKED
