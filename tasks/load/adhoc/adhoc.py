"""Runs an ad-hoc load test in worker processes on the load engine: samples and facts come back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from deployments.load import Load
from storage.clock import current_clock
from tasks.load.adhoc.plan import AdhocPlan
from tasks.load.capacity import Capacity, Step, outcome
from tasks.load.http_load import SEED, HttpPlan, HttpRun, connections_for, schedule_stage, search_stage
from tasks.load.process import Progress, WorkerOutput, run_worker
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import RAMP, STEADY
from tasks.load.recording.spread import run_here
from tasks.load.schedule import Phase
from tasks.load.shards import Share, merge, shares, split

_CLOSED_WORKER = "tasks.load.adhoc.worker"
_OPEN_WORKER = "tasks.load.http_worker"
_DRAIN_S = 0.2
_LEAD_S = 3.0
_LATE_MS = 50.0
_START_S = 30.0


ERRORS_OF_A_STEP = 0.01
"""The share of requests that may fail in a step of a search where no limit is named."""


@dataclass(frozen=True)
class AdhocRun:
    """What a load left: samples, what was planned, and the facts of its workers."""

    plan: AdhocPlan
    table: pa.Table
    facts: Mapping[str, Any]

    @property
    def client_cpu_s(self) -> float:
        """Processor seconds of the load's processes while they loaded: neither start nor evaluation."""
        return sum(float(run["cpu_s"]) for run in self.facts["runs"])

    @property
    def judged(self) -> tuple[str, ...]:
        """The phases that figures speak of: the full load, without the ramp; of a search its best step."""
        if not self.plan.search:
            return (STEADY,)
        best = self.capacity.best
        return () if best is None else (best.phase,)

    @property
    def capacity(self) -> Capacity:
        """What a search found."""
        return outcome([Step.from_json(one) for one in self.facts["steps"]], str(self.facts["search_ended"]))


def run_adhoc(
    plan: AdhocPlan, on_progress: Progress = lambda _: None, *, journals: Journals | None = None
) -> AdhocRun:
    """Run the load in processes of its own; raises what `process.run_worker` raises.

    A load of one process leaves its rows in `journals` meanwhile.
    """
    if plan.model == "closed":
        output = _run_closed(plan, on_progress, journals)
    elif plan.shards == 1:
        whole = http_plan(plan).to_json()
        limit_s = _deadline_s(plan)
        output = run_worker(_OPEN_WORKER, whole, deadline_s=limit_s, on_progress=on_progress, journals=journals)
    else:
        output = _run_open_shards(plan, on_progress)
    return AdhocRun(plan, output.tables["samples"], output.facts)


def as_http_run(run: AdhocRun) -> HttpRun:
    """An open run with the engine's own verdict on it."""
    return HttpRun(run.table, run.facts)


def phases_of(plan: AdhocPlan, rate: float) -> list[Phase]:
    """The schedule of an open load: the ramp where there is one, then the full rate."""
    ramp = [Phase(RAMP, 0.0, rate, plan.ramp_up_s)] if plan.ramp_up_s else []
    return [*ramp, Phase(STEADY, rate, rate, plan.steady_s)]


def http_plan(plan: AdhocPlan) -> HttpPlan:
    """An open load as the engine plans it."""
    rate = (plan.rates[-1] if plan.search else plan.rate) or 0.0
    users = math.ceil(rate)
    pace = users / rate
    load = Load(
        users=users,
        pace_s=pace,
        duration_s=plan.duration_s,
        ramp_up_s=plan.ramp_up_s,
        max_rate=max(plan.max_rate or rate, users / pace),
    )
    return HttpPlan(
        url=plan.origin,
        variable="the URL",
        endpoints=[plan.endpoint()],
        values={},
        stages=[_search(plan) if plan.search else schedule_stage(phases_of(plan, rate), [0], jitter=plan.jitter)],
        load=load,
        timeout_s=plan.timeout_s,
        max_connections=connections_for(rate),
        headers=plan.headers,
    )


def _search(plan: AdhocPlan) -> dict[str, Any]:
    seconds = _search_s(plan)
    return search_stage(
        plan.rates,
        [0],
        step_s=plan.duration_s,
        latency_ms=plan.p95_ms or math.inf,
        error_ratio=ERRORS_OF_A_STEP if plan.error_ratio is None else plan.error_ratio,
        budget_s=seconds,
        until_s=seconds,
    )


def _search_s(plan: AdhocPlan) -> float:
    """The step that breaks runs twice, and each may have to wait for its last answers."""
    return (len(plan.rates) + 1) * plan.duration_s + 2 * plan.timeout_s + len(plan.rates) * _DRAIN_S


def _run_open_shards(plan: AdhocPlan, on_progress: Progress) -> WorkerOutput:
    whole = http_plan(plan).to_json()
    plans = [split(whole, share) for share in _agreed(plan.shards)]
    return merge(run_here(_OPEN_WORKER, plans, deadline_s=_deadline_s(plan), on_progress=on_progress))


def _deadline_s(plan: AdhocPlan) -> float:
    """What the workers may take in all: their start, an agreed moment, the load, and twice a drain with answers."""
    seconds = _search_s(plan) if plan.search else plan.duration_s
    return _START_S + _LEAD_S + plan.shards + seconds + 4 * plan.timeout_s


def _agreed(number: int) -> list[Share]:
    start = current_clock().now_ns() + round((_LEAD_S + number) * 1e9)
    return shares(number, start, _LATE_MS, [0] * number)


def _run_closed(plan: AdhocPlan, on_progress: Progress, journals: Journals | None) -> WorkerOutput:
    """One worker per shard, the connections dealt out among them."""
    total = plan.connections or 0
    plans = [
        {
            "url": plan.origin,
            "endpoint": plan.endpoint(),
            "headers": dict(plan.headers),
            "connections": total // plan.shards + (number < total % plan.shards),
            "duration_s": plan.duration_s,
            "ramp_up_s": plan.ramp_up_s,
            "timeout_s": plan.timeout_s,
            "seed": SEED,
            "worker": number,
        }
        for number in range(plan.shards)
    ]
    if plan.shards == 1:
        limit_s = _deadline_s(plan)
        return run_worker(_CLOSED_WORKER, plans[0], deadline_s=limit_s, on_progress=on_progress, journals=journals)
    outputs = run_here(_CLOSED_WORKER, plans, deadline_s=_deadline_s(plan), on_progress=on_progress)
    facts = [output.facts for output in outputs]
    together = {
        **facts[0],
        "runs": [run for one in facts for run in one["runs"]],
        "planned": sum(one["planned"] for one in facts),
        "connects": sum(one["connects"] for one in facts),
        "stopped": next((one["stopped"] for one in facts if one["stopped"]), None),
    }
    tables = [output.tables["samples"] for output in outputs]
    return WorkerOutput({"samples": pa.concat_tables(tables).unify_dictionaries()}, together)
