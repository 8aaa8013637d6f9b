"""What became of collecting a component from a target that is hostile, broken or far."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError
from storage.records import Measurement
from tasks.components.base import CollectContext, Component, Samples
from tests.sinks import Sink

SECRET = "canary-secret"
AT_ONCE = 4
WHOLE = os.environ.get("HASIVU_PERF_FAULTS") == "whole"
"""`make faults`: every schedule in full; otherwise each in a bounded form."""

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """`refused` is the one line of what could not be measured, else there are `measured`; `took_s` of both."""

    took_s: float
    refused: str
    measured: tuple[Measurement, ...] = ()


def outcome(component: Component, config: RunConfig, target: Target) -> Outcome:
    """Collect, measure and advise; an error that is not the product's own is raised."""
    began, sink = time.monotonic(), Sink()
    try:
        collected = component.collect(CollectContext(config, target, sink))
    except NotMeasuredError as error:
        return Outcome(time.monotonic() - began, str(error))
    took_s = time.monotonic() - began
    samples = Samples(sink, collected)
    measured = tuple(component.measure(samples, config))
    findings = component.advise(samples, measured, config)
    told = collected.model_dump_json() + "".join(one.model_dump_json() for one in (*measured, *findings))
    assert SECRET not in told
    if collected.load is not None:
        assert collected.load.planned >= collected.load.sent
    return Outcome(took_s, "", measured)


def judge(found: Outcome, limit_s: float) -> str:
    """What is wrong with an outcome; empty where nothing is."""
    if found.took_s > limit_s:
        return f"took {found.took_s:.0f} s"
    if found.refused and (
        len(found.refused.splitlines()) != 1 or SECRET in found.refused or ";" not in found.refused
    ):
        return f"no one line with a remedy: {found.refused!r}"
    return ""


def wrong(ways: Iterable[T], one: Callable[[T], Any]) -> dict[T, Any]:
    """The ways in which something is wrong, a few at once."""
    kept = list(ways)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {way: found for way, found in zip(kept, pool.map(one, kept), strict=True) if found}
