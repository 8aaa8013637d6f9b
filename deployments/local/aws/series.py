"""The metrics of AWS/Lambda, made from the corpus: for each metric, its samples by time.

Facts kept as AWS has them: a sample carries the minute in which the invocation began; throttled requests are no
Invocations; Errors and Throttles hold a zero for each invocation that neither failed nor was throttled, so that
their Average is a rate; a function that was not called has no metric at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.local.aws.corpus import FAILED, PROVISIONED, Corpus, Invocations
from deployments.local.aws.functions import Function
from deployments.local.aws.names import ALIAS

NAMESPACE = "AWS/Lambda"
INSIGHTS = "LambdaInsights"
MINUTE_MS = 60_000

Dimensions = tuple[tuple[str, str], ...]
"""(name, value) pairs, sorted."""

INVOCATION_METRICS = ("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions")
PROVISIONED_METRICS = (
    "ProvisionedConcurrencyInvocations",
    "ProvisionedConcurrencySpilloverInvocations",
    "ProvisionedConcurrentExecutions",
    "ProvisionedConcurrencyUtilization",
)

UNITS: dict[str, str] = {"Duration": "Milliseconds"}
"""The units of metrics that are not counts."""

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one metric: the minute of each (epoch ms, ascending) and its value."""

    times: _Ints
    values: _Floats
    unit: str


class MetricStore:
    """All metrics of the account."""

    def __init__(self, corpus: Corpus, *, insights: bool = False) -> None:
        self._corpus = corpus
        self._metrics: dict[tuple[str, Dimensions], Series] = {}
        self._insights: dict[tuple[str, Dimensions], Series] = {}
        for function in corpus.functions:
            self._add(function, corpus.invocations[function.key])
        self._add_account()
        if insights:
            self._add_insights()

    def get(self, namespace: str, name: str, dimensions: Dimensions) -> Series | None:
        """The samples of one metric, or None where there never was any."""
        return self._of(namespace).get((name, dimensions))

    def names(self, namespace: str = NAMESPACE) -> list[tuple[str, Dimensions]]:
        """Every metric of a namespace that has samples, in a fixed order."""
        return sorted(self._of(namespace))

    def _of(self, namespace: str) -> dict[tuple[str, Dimensions], Series]:
        return {NAMESPACE: self._metrics, INSIGHTS: self._insights}.get(namespace, {})

    def last(self, name: str, dimensions: Dimensions) -> int:
        """The minute of the newest sample of a metric, epoch ms."""
        return int(self._metrics[name, dimensions].times[-1])

    def _put(self, name: str, dimensions: Dimensions, times: _Ints, values: _Floats) -> None:
        if not len(times):
            return
        minutes = times // MINUTE_MS * MINUTE_MS
        order = np.argsort(minutes, kind="stable")
        self._metrics[name, dimensions] = Series(minutes[order], values[order], UNITS.get(name, "Count"))

    def _share(self, name: str, source: Dimensions, target: Dimensions) -> None:
        if (series := self._metrics.get((name, source))) is not None:
            self._metrics[name, target] = series

    def _add(self, function: Function, it: Invocations) -> None:
        by_name: Dimensions = (("FunctionName", function.name),)
        latest: Dimensions = (*by_name, ("Resource", function.name))
        live: Dimensions = (*by_name, ("Resource", f"{function.name}:{ALIAS}"))
        self._add_subset(by_name, it, np.ones(len(it.start), dtype=np.bool_), it.throttled)
        if not function.provisioned:
            for name in INVOCATION_METRICS:
                self._share(name, by_name, latest)
            return
        provisioned = it.has(PROVISIONED)
        self._add_subset(latest, it, ~provisioned, it.throttled)
        self._add_subset(live, it, provisioned, it.throttled[:0])
        self._add_provisioned(live, it, provisioned, function.provisioned)
        for name in PROVISIONED_METRICS:
            self._share(name, live, by_name)

    def _add_subset(self, at: Dimensions, it: Invocations, chosen: npt.NDArray[np.bool_], throttled: _Ints) -> None:
        start = it.start[chosen]
        self._put("Invocations", at, start, np.ones(len(start)))
        self._put("Errors", at, start, it.has(FAILED)[chosen].astype(np.float64))
        self._put("Duration", at, start, it.duration[chosen])
        self._put("ConcurrentExecutions", at, start, in_flight(start, it.reported[chosen]))
        both = np.concatenate([start, throttled])
        self._put("Throttles", at, both, np.concatenate([np.zeros(len(start)), np.ones(len(throttled))]))

    def _add_provisioned(self, at: Dimensions, it: Invocations, chosen: npt.NDArray[np.bool_], count: int) -> None:
        start = it.start[chosen]
        busy = in_flight(start, it.reported[chosen])
        self._put("ProvisionedConcurrencyInvocations", at, start, np.ones(len(start)))
        self._put("ProvisionedConcurrencySpilloverInvocations", at, start, np.zeros(len(start)))
        self._put("ProvisionedConcurrentExecutions", at, start, busy)
        self._put("ProvisionedConcurrencyUtilization", at, start, busy / count)

    def _add_insights(self) -> None:
        """Lambda Insights on the functions with tracing: share of memory in per cent, and inits, by invocation."""
        for function in self._corpus.functions:
            it = self._corpus.invocations[function.key]
            if not function.traced or not len(it.start):
                continue
            by_name: Dimensions = (("function_name", function.name),)
            minutes = it.start // MINUTE_MS * MINUTE_MS
            self._insights["memory_utilization", by_name] = Series(minutes, it.used / it.memory * 100.0, "Percent")
            self._insights["init_duration", by_name] = Series(minutes[it.cold], it.init[it.cold], "Milliseconds")

    def _add_account(self) -> None:
        each = [self._corpus.invocations[function.key] for function in self._corpus.functions]
        self._add_subset(
            (), _merge(each), np.ones(sum(len(it.start) for it in each), dtype=np.bool_), _throttled(each)
        )
        shared = _merge(self._corpus.invocations[f.key] for f in self._corpus.functions if not f.reserved)
        self._put("UnreservedConcurrentExecutions", (), shared.start, in_flight(shared.start, shared.reported))


def in_flight(start: _Ints, end: _Ints) -> _Floats:
    """At the start of each invocation (ascending), how many run at once, itself included."""
    ended = np.searchsorted(np.sort(end), start, side="right")
    return (np.arange(1, len(start) + 1) - ended).astype(np.float64)


def _throttled(each: list[Invocations]) -> _Ints:
    return np.concatenate([it.throttled for it in each])


def _merge(several: Iterable[Invocations]) -> Invocations:
    """The invocations of several functions as if they were one, by start."""
    each = list(several)
    start = np.concatenate([it.start for it in each])
    order = np.argsort(start, kind="stable")
    return Invocations(
        start=start[order],
        duration=np.concatenate([it.duration for it in each])[order],
        init=np.concatenate([it.init for it in each])[order],
        memory=np.concatenate([it.memory for it in each])[order],
        used=np.concatenate([it.used for it in each])[order],
        flags=np.concatenate([it.flags for it in each])[order],
        environment=np.concatenate([it.environment for it in each])[order],
        throttled=np.empty(0, dtype=np.int64),
    )
