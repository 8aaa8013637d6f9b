"""The Prefect task runner that an environment's `[scale]` asks for, opened inside a flow.

A deployed flow run is started with the task runner that stands in the flow's decorator, whatever its parameters say.
So the flow opens this one itself, and hands it its stages: `runner.submit(task, parameters)`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from prefect.futures import PrefectWrappedFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from deployments.config import Scale
from deployments.scale import scheduler_address
from storage.errors import ConfigurationError, NotMeasuredError
from storage.records import ComponentId
from tasks import dask_worker, progress
from tasks.progress import Progress

if TYPE_CHECKING:
    from prefect_dask.client import PrefectDaskClient
    from prefect_dask.task_runners import DaskTaskRunner

_THREADS = 8
_CONNECT_S = 15
_Future = PrefectWrappedFuture[Any, Any]


@contextmanager
def open_runner(scale: Scale) -> Iterator[TaskRunner[Any]]:
    """Threads of this process, or workers of a Dask cluster; what still runs when the block ends is cancelled.

    `ConfigurationError` where the settings cannot be used here, `NotMeasuredError` where no scheduler answers.
    A component on a Dask worker notices at its next sign of life, within about a second, that it was cancelled.
    """
    ready(scale)
    if scale.runner == "threads":
        with ThreadPoolTaskRunner[Any](max_workers=_THREADS) as threads:
            yield threads
        return
    with _dask_runner(scale) as cluster:
        client = _connected(cluster, scale)
        client.subscribe_topic(dask_worker.TOPIC, _passed_on(client))  # type: ignore[no-untyped-call]
        yield cluster


def ready(scale: Scale) -> None:
    """Raise `ConfigurationError` where a part that is asked for is not installed, or a variable is not set."""
    if scale.runner == "dask" and find_spec("prefect_dask") is None:
        raise ConfigurationError(['[scale] runner = "dask" needs the extra dask: pip install "hasivu-perf[dask]"'])
    scheduler_address(scale)


def crash(future: _Future) -> str:
    """Why the process that ran an ended stage could not finish it; empty where the stage itself came to its end."""
    if future.wrapped_future.cancelled():
        return "the cluster gave it up before it was measured"
    error = future.wrapped_future.exception()
    return f"the process that measured it died ({type(error).__name__})" if error else ""


def _dask_runner(scale: Scale) -> DaskTaskRunner:
    from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - comes with the extra dask

    address = scheduler_address(scale)
    if address is not None:
        return DaskTaskRunner(address=address, client_kwargs={"timeout": _CONNECT_S})
    return DaskTaskRunner(cluster_class="distributed.LocalCluster", cluster_kwargs=local_cluster(scale))


def local_cluster(scale: Scale) -> dict[str, Any]:
    """Arguments of a `LocalCluster` of the run's own: on the loopback, encrypted, for this run alone.

    Its keys are made for it, so that nobody else on the machine can hand it work. Every component and every shard has
    a thread to wait in. Dask sets no limit to memory: a worker that it pauses would measure its own pause.
    """
    workers = scale.cluster_workers or 1
    return {
        "n_workers": workers,
        "threads_per_worker": math.ceil((len(ComponentId) + 2 * scale.shards) / workers) + 1,
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": None,
        "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # else all share port 8787
        "security": True,
        "memory_limit": 0,
    }


def _connected(runner: DaskTaskRunner, scale: Scale) -> PrefectDaskClient:
    """The client of a runner, its cluster started; a worker that dies is not replaced by measuring once more."""
    import dask  # noqa: PLC0415 - comes with the extra dask

    try:
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            client = runner.client
    except OSError:
        where = f"at the address in {scale.address}" if scale.address else "on this machine"
        raise NotMeasuredError(f"no Dask scheduler answers {where}: start it, or correct the address") from None
    if scale.address is None:
        quieten = logging.getLogger("distributed").setLevel  # each start and end of a worker is a line of its own
        quieten(logging.WARNING)
        client.run(quieten, logging.WARNING)
    return client


def _passed_on(client: PrefectDaskClient) -> Callable[[tuple[float, Mapping[str, Any]]], None]:
    """A handler that shows the signs of life of this client's own tasks to the watchers of this process."""

    def pass_on(event: tuple[float, Mapping[str, Any]]) -> None:
        _, sent = event
        if sent["key"] in client.futures:
            fields = sent["progress"]
            progress.show(Progress(**{**fields, "component": ComponentId(fields["component"])}))

    return pass_on
