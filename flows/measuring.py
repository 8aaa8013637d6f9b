"""Submits the components, waits for them with signs of life, and ends their load when the run is to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from prefect.futures import PrefectWrappedFuture
from prefect.task_runners import TaskRunner

from flows.orphan import stop_if_orphaned
from tasks import stopping
from tasks.stages import component_stage
from tasks.task_runner import crash
from tasks.validation import failure_text

Manifests = dict[str, dict[str, Any]]
Failures = dict[str, str]
_Future = PrefectWrappedFuture[Any, Any]

_POLL_S = 0.25
_END_S = 3.0


def measure(
    runner: TaskRunner[Any], run: Mapping[str, str], components: Mapping[str, str], sign_of_life: Callable[[], None]
) -> tuple[Manifests, Failures]:
    """Measure components in parallel on a runner, each with the reason to measure it again or none.

    Returns the manifests of those that were measured, and why the others were not. Where this process is told to end,
    or is left alone by the worker that started it, the load of all components is stopped first.
    """
    futures = {component: _submitted(runner, run, component, why) for component, why in components.items()}
    try:
        _wait(futures, sign_of_life)
    except BaseException:  # a signal, a lost lease, an orphan: whatever it is, no load may go on
        stopping.ask()
        for future in futures.values():
            future.wrapped_future.cancel()  # on a cluster; what a thread runs ends by the flag
        _wait_at_most(futures, _END_S)
        raise
    manifests, failures = {}, {}
    for component, future in futures.items():
        died = crash(future)
        if not died and future.state.is_completed():
            manifests[component] = future.result()
        else:
            failures[component] = died or failure_text(future.result(raise_on_failure=False))
    return manifests, failures


def _submitted(runner: TaskRunner[Any], run: Mapping[str, str], component: str, why: str) -> _Future:
    stage = component_stage.with_options(name=component, task_run_name=component)
    future: _Future = runner.submit(stage, {"component": component, "run": dict(run), "again": why})
    return future


def _wait(futures: Mapping[str, _Future], sign_of_life: Callable[[], None]) -> None:
    for future in futures.values():
        while not _ended(future):
            sign_of_life()
            stop_if_orphaned()
            stopping.leave()


def _wait_at_most(futures: Mapping[str, _Future], seconds: float) -> None:
    until = time.monotonic() + seconds
    for future in futures.values():
        while not _ended(future) and time.monotonic() < until:
            pass  # `_ended` waits


def _ended(future: _Future) -> bool:
    """Whether a stage has ended, after waiting for it a moment."""
    future.wait(timeout=_POLL_S)
    return bool(future.wrapped_future.done())  # `state` would ask the server, four times a second
