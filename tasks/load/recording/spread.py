"""Runs the shares of a load plan: as processes of this machine, or on the workers of the Dask cluster we run on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, Any

from deployments.config import RunConfig, Scale, Target, resolve_target
from deployments.masking import mask, secrets_of
from storage.clock import current_clock
from storage.errors import HasivuError, NotMeasuredError
from tasks import dask_worker
from tasks.load.process import Progress, WorkerOutput, run_worker
from tasks.load.recording.journal import Journals
from tasks.load.shards import Share, combined, gaps_s, shares, split

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

LEAD_S = 5.0
"""How long before the agreed start the shares are sent off: a process needs 1 to 3 s on a busy machine."""

_LEAD_EACH_S = 0.5
_POLL_S = 0.25
_CLOCK_S = 5.0
_MS = 1_000_000
_HIDDEN = ("url", "headers", "variables", "secrets", "sigv4")
"""What of a plan never passes through a scheduler."""

Hidden = Callable[[RunConfig, Target], Mapping[str, Any]]
"""Makes it on the machine of a share, from the variables there; `NotMeasuredError` where that cannot be."""


def address_and_headers(_config: RunConfig, target: Target) -> dict[str, Any]:
    """What a plan of HTTP load hides."""
    return {
        "url": "" if target.api_url is None else target.api_url.get_secret_value(),
        "headers": {name: value.get_secret_value() for name, value in target.headers.items()},
    }


def run_shares(
    module: str,
    plan: Mapping[str, Any],
    config: RunConfig,
    *,
    deadline_s: float,
    on_progress: Progress,
    journals: Journals | None = None,
    hidden: Hidden = address_and_headers,
) -> list[WorkerOutput]:
    """Run a plan in as many processes as `[scale]` says; their outputs in the order of the shares.

    `deadline_s` is what the plan may take in one process. Raises what `process.run_worker` raises, for the first
    share that fails; the others are ended then, as they are where `on_progress` raises. `journals` are for shares
    of this machine: those of a cluster that fail take their rows along. `hidden` is a function of a module, called on
    each machine of a cluster.
    """
    scale = config.environment.scale
    limit_s = deadline_s + lead_s(scale) + gaps_s(plan["stages"])
    if dask_worker.current() is None:
        plans = [split(plan, share) for share in _agreed(scale, [0] * scale.shards)]
        return run_here(module, plans, deadline_s=limit_s, on_progress=on_progress, journals=journals)
    return _run_on_cluster(module, plan, config, limit_s, on_progress, hidden)


def lead_s(scale: Scale) -> float:
    """Seconds from sending the shares off to their start."""
    return LEAD_S + _LEAD_EACH_S * scale.shards


def _agreed(scale: Scale, offsets_ns: Sequence[int]) -> list[Share]:
    start = current_clock().now_ns() + round(lead_s(scale) * 1e9)
    return shares(scale.shards, start, scale.max_clock_offset_ms, offsets_ns)


# --- on this machine ---


def run_here(
    module: str,
    plans: Sequence[Mapping[str, Any]],
    *,
    deadline_s: float,
    on_progress: Progress,
    journals: Journals | None = None,
) -> list[WorkerOutput]:
    """Run each plan in a process of its own, all at once; `on_progress` is told in this thread."""
    told: SimpleQueue[tuple[int, Mapping[str, Any]]] = SimpleQueue()
    stop = Event()

    def tell(number: int, progress: Mapping[str, Any]) -> None:
        if stop.is_set():
            raise NotMeasuredError("the load of all shards was stopped")
        told.put((number, progress))

    with ThreadPoolExecutor(len(plans)) as pool:
        futures = [
            pool.submit(
                run_worker,
                module,
                plan,
                deadline_s=deadline_s,
                on_progress=partial(tell, number),
                journals=journals,
            )
            for number, plan in enumerate(plans)
        ]
        try:
            _listen(futures, told, on_progress)
        finally:
            stop.set()  # where all have ended it stops nothing
    return [future.result() for future in futures]


def _listen(
    futures: Sequence[Future[WorkerOutput]],
    told: SimpleQueue[tuple[int, Mapping[str, Any]]],
    on_progress: Progress,
) -> None:
    """Pass signs of life on, once a second, until all have ended; raises the first failure of one."""
    latest: dict[int, Mapping[str, Any]] = {}
    while wait(futures, timeout=_POLL_S, return_when=FIRST_EXCEPTION).not_done:
        for failed in (future for future in futures if future.done() and future.exception()):
            failed.result()
        ticked = False
        while True:
            try:
                number, progress = told.get_nowait()
            except Empty:
                break
            latest[number] = progress
            ticked |= number == min(latest)
        if ticked:
            on_progress(combined(latest))


# --- on a cluster ---


def _run_on_cluster(  # noqa: PLR0917 - those of `run_shares`
    module: str,
    plan: Mapping[str, Any],
    config: RunConfig,
    deadline_s: float,
    on_progress: Progress,
    hidden: Hidden,
) -> list[WorkerOutput]:
    """One share per worker by turns, each pinned to the worker whose clock was compared with the one here.

    No address, header or other secret travels: each worker reads its own variables. Signs of life tell the
    time alone: what the shares see meanwhile stays with them.
    """
    from distributed import worker_client  # noqa: PLC0415 - comes with the extra dask

    scale = config.environment.scale
    public = {name: value for name, value in plan.items() if name not in _HIDDEN}
    with worker_client() as client:
        workers = sorted(client.scheduler_info()["workers"])
        chosen = [workers[number % len(workers)] for number in range(scale.shards)]
        offsets = {worker: _offset_ns(client, worker, scale.max_clock_offset_ms) for worker in sorted(set(chosen))}
        began = time.monotonic()
        futures = [
            client.submit(
                run_there,
                module,
                split(public, share),
                config.model_dump(mode="json"),
                deadline_s,
                hidden,
                workers=[worker],
                pure=False,
                retries=0,
            )
            for share, worker in zip(_agreed(scale, [offsets[one] for one in chosen]), chosen, strict=True)
        ]
        try:
            while any(not future.done() for future in futures):
                _raise_first(futures)
                elapsed_s = max(0.0, time.monotonic() - began - lead_s(scale))
                on_progress({"elapsed_s": elapsed_s, "rate": None, "p95_ms": None, "failed": None, "stage": ""})
                time.sleep(_POLL_S)
            return [future.result() for future in futures]
        finally:
            client.cancel(futures)


def _raise_first(futures: Sequence[DaskFuture[WorkerOutput]]) -> None:
    for future in futures:
        if future.status not in ("pending", "finished"):
            future.result()


def run_there(
    module: str,
    plan: Mapping[str, Any],
    config: Mapping[str, Any],
    deadline_s: float,
    hidden: Hidden = address_and_headers,
) -> WorkerOutput:
    """Run one share on this worker, with the target's address and all other secrets from the variables here."""
    try:
        settings = RunConfig.model_validate(config)
        target = resolve_target(settings)
    except HasivuError as error:
        raise NotMeasuredError(f"{_name(plan)}: {error}") from None
    if target.api_url is None:
        raise NotMeasuredError(f"{_name(plan)}: {plan['variable']} is not set there: set it for the Dask workers")
    try:
        whole = {**plan, **hidden(settings, target)}
        return run_worker(module, whole, deadline_s=deadline_s, on_progress=_heed)
    except HasivuError as error:
        raise NotMeasuredError(mask(str(error), secrets_of(target))) from None


def _name(plan: Mapping[str, Any]) -> str:
    return Share(**plan["share"]).name


def _heed(_progress: Mapping[str, Any]) -> None:
    if dask_worker.cancelled():
        raise NotMeasuredError("the load of all shards was stopped")


def _offset_ns(client: Client, worker: str, limit_ms: float) -> int:
    """How far a worker's clock is ahead of the one here; refused where it may be off by more than the limit.

    Each exchange bounds the offset from both sides, by what the clock here said before and after; what all of them
    allow is narrower than the narrowest one. It takes as many as it needs for a quarter of the limit, or `_CLOCK_S`.
    Clocks that may be equal are taken to be equal.
    """
    low, high, clock = -math.inf, math.inf, current_clock()
    until = time.monotonic() + _CLOCK_S
    while (high - low) / 2 > limit_ms * _MS / 4 and time.monotonic() < until:
        before = clock.now_ns()
        (there,) = client.run(time.time_ns, workers=[worker]).values()
        low, high = max(low, there - clock.now_ns()), min(high, there - before)
    if max(high, -low) > limit_ms * _MS:
        raise NotMeasuredError(
            f"the clock of the Dask worker {worker} is between {low / _MS:.1f} and {high / _MS:.1f} ms ahead, limit "
            f"{limit_ms:g} ms: synchronise the clocks, or raise scale.max_clock_offset_ms"
        )
    return 0 if low <= 0 <= high else round((low + high) / 2)
