"""One load test per environment at a time: the slot that a run holds while it measures.

Prefect's server gives it to one run of all that it knows. Runs with servers of their own do not see each other there,
so that those of one environment and the same addresses exclude each other on this machine besides.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from deployments.config import Variables
from flows.orphan import stop_if_orphaned
from tasks import stopping

LEASE_S = 60.0
"""A slot whose holder died is free again after this many seconds, and the server's next look at its leases."""

_ASK_S = 1.0
"""How long to wait before it is asked for again."""


@contextmanager
def environment_slot(environment: str, variables: Variables, queued: Callable[[str], None]) -> Iterator[float]:
    """Hold the one load slot of an environment; yields how long it was waited for, in seconds.

    The limit `load-<environment>` is made where the server lacks it. `queued` is told, once, that another run has it.
    `variables` names the variables with the addresses of what is loaded.
    """
    name = f"load-{environment}"
    here = f"{name}-{_addresses(variables)}"
    _ensure(name)
    began, waits = time.monotonic(), False
    with ExitStack() as stack:
        for taken in (partial(_granted, stack, name), partial(_alone_here, stack, here)):
            while not taken():
                if not waits:
                    queued(name)
                waits = True
                stop_if_orphaned()
                stopping.leave()
                time.sleep(_ASK_S)
        yield time.monotonic() - began


def _addresses(variables: Variables) -> str:
    """A digest of the addresses of an environment, without their users and passwords."""
    values = [os.environ.get(name, "") for name in variables.model_dump().values()]
    hosts = [value.rpartition("@")[2] for value in (*values, os.environ.get("AWS_ENDPOINT_URL", ""))]
    return hashlib.sha256("\n".join(hosts).encode(errors="surrogateescape")).hexdigest()[:16]


def _alone_here(stack: ExitStack, name: str) -> bool:
    """Whether no other process of this user on this machine holds that name; Linux alone can tell.

    An abstract socket's name is free again however its holder ends, and leaves no file.
    """
    if sys.platform != "linux":
        return True
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0hasivu-perf-{os.getuid()}-{name}")
    except OSError as error:
        holder.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    stack.callback(holder.close)
    return True


def _ensure(name: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # another run made it meanwhile
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))


def _granted(stack: ExitStack, name: str) -> bool:
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
