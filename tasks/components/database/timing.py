"""The timed reads, from the collector's side: the plan for the worker, and the verdict on what it sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from deployments.config import RunConfig
from storage.records import LoadSummary
from tasks.load.process import WorkerOutput, run_worker
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import STEADY, latency_ms, of_phase, percentile, sent_rate, summarise
from tasks.load.trust import trust
from tasks.load.trust.vitals_of import added

WORKER = "tasks.load.database.worker"
SEED = 20_260
_EXTRA_S = 30.0
_STAMP_NOTE = "receive times are stamped by the client after the last row, in a process of its own"


def rate(config: RunConfig) -> float:
    """Reads a second, never above the environment's `max_rate`."""
    return min(config.environment.database.read_rate, config.environment.load.max_rate)


def plan(config: RunConfig, url: str) -> dict[str, Any]:
    """What the worker is to do; it holds the address and goes by its standard input."""
    settings, load = config.environment.database, config.environment.load
    return {
        "url": url,
        "variable": config.environment.variables.database_url,
        "statements": [(item.name, item.sql) for item in settings.statements],
        "values": {name: value.model_dump() for name, value in settings.values.items()},
        "rate": rate(config),
        "duration_s": load.duration_s,
        "timeout_ms": settings.statement_timeout_ms,
        "limits": {
            "error_ratio": load.abort_error_ratio,
            "latency_ms": load.abort_latency_ms,
            "after_s": load.abort_after_s,
        },
        "seed": SEED,
    }


def run(
    config: RunConfig,
    url: str,
    on_progress: Callable[[Mapping[str, Any]], None],
    journals: Journals | None = None,
) -> WorkerOutput:
    """Time the reads over the load window; its deadline is the window, one last time-out and the start."""
    settings, load = config.environment.database, config.environment.load
    deadline = load.duration_s + settings.statement_timeout_ms / 1000 + _EXTRA_S
    return run_worker(WORKER, plan(config, url), deadline_s=deadline, on_progress=on_progress, journals=journals)


def summary(config: RunConfig, output: WorkerOutput, *, same_machine: bool) -> LoadSummary:
    """What was planned and sent, and whether the generator can be believed."""
    samples: pa.Table = output.tables["samples"]
    vitals = replace(trust.Vitals(**output.facts["vitals"]), added=added(of_phase(samples, STEADY)))
    verdict = trust.judge(vitals, latency_p99_ms=percentile(latency_ms(samples), 0.99), same_machine=same_machine)
    stopped = output.facts["stopped"]
    duration = config.environment.load.duration_s
    return summarise(
        samples,
        planned=output.facts["planned"],
        target_rate=rate(config),
        achieved_rate=sent_rate(of_phase(samples, STEADY), STEADY, duration - min(1.0, duration / 10)),
        trust=verdict.trust,
        reasons=[*([f"stopped early: {stopped}"] if stopped else []), *verdict.reasons, _STAMP_NOTE],
        late_p99_ms=vitals.late_p99_ms,
    )
