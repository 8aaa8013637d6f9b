"""The owner's side of HTTP load: a plan runs in a process of its own and comes back as samples and facts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import Parser
from typing import Any

import pyarrow as pa

from deployments.config import RunConfig, ValueRange
from deployments.load import Load
from storage.records import LoadSummary, Window
from tasks.load.capacity import Step
from tasks.load.process import Progress, run_worker
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import RAMP, WARMUP, latency_ms, of_phase, percentile, sent_rate, summarise
from tasks.load.recording.spread import run_shares
from tasks.load.schedule import Jitter, Phase
from tasks.load.shards import merge, starts_apart_ms
from tasks.load.trust.trust import Verdict, Vitals, judge
from tasks.load.trust.vitals_of import vitals_of

SEED = 20_240_615
"""The seed of every load plan: two runs of one configuration ask for the same things in the same order."""

_WORKER = "tasks.load.http_worker"
_START_S = 30.0
_MOST_CONNECTIONS = 512
_FEWEST_CONNECTIONS = 16
_PER_RATE = 4
_RELEASE_HEADERS = ("x-release", "x-app-version", "x-version", "server")


@dataclass(frozen=True)
class HttpPlan:
    """All that a load worker needs; `url` may hold a secret and is never shown.

    `endpoints` as `mix.endpoint_plan` makes them; `stages` as `schedule_stage` and `search_stage` make them, one
    after the other; `drain_s` bounds how long after a stage queued requests may still be sent. Where `config`
    asks for shards, as many processes share the plan.
    """

    url: str = field(repr=False)
    variable: str
    endpoints: Sequence[Mapping[str, Any]]
    values: Mapping[str, ValueRange]
    stages: Sequence[Mapping[str, Any]]
    load: Load
    timeout_s: float
    max_connections: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    seed: int = SEED
    config: RunConfig | None = None

    @property
    def duration_s(self) -> float:
        """How long the stages last, without the drains after them."""
        return sum(float(stage["duration_s"]) for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """As the worker reads it."""
        return {
            "url": self.url,
            "variable": self.variable,
            "endpoints": list(self.endpoints),
            "values": {name: value.model_dump(mode="json") for name, value in self.values.items()},
            "stages": list(self.stages),
            "timeout_s": self.timeout_s,
            "drain_s": self.timeout_s,
            "max_connections": self.max_connections,
            "headers": dict(self.headers),
            "seed": self.seed,
            "guard": {
                "error_ratio": self.load.abort_error_ratio,
                "latency_ms": self.load.abort_latency_ms,
                "after_s": self.load.abort_after_s,
                "max_rate": self.load.max_rate,
            },
        }


def connections_for(rate: float) -> int:
    """How many connections a rate may open: 4 × rate, at least 16 and at most 512."""
    return min(_MOST_CONNECTIONS, max(_FEWEST_CONNECTIONS, math.ceil(_PER_RATE * rate)))


def schedule_stage(
    phases: Sequence[Phase], endpoints: Iterable[int], *, jitter: Jitter = "poisson"
) -> dict[str, Any]:
    """A stage that follows a schedule over some of the plan's endpoints."""
    return {
        "kind": "schedule",
        "phases": [phase.to_json() for phase in phases],
        "endpoints": list(endpoints),
        "jitter": jitter,
        "duration_s": sum(phase.duration_s for phase in phases),
    }


def search_stage(
    rates: Sequence[float],
    endpoints: Iterable[int],
    *,
    step_s: float,
    latency_ms: float,
    error_ratio: float,
    budget_s: float,
    until_s: float,
) -> dict[str, Any]:
    """A stage that raises the rate step by step; no step starts that would end after `until_s` of the whole load."""
    return {
        "kind": "search",
        "rates": list(rates),
        "endpoints": list(endpoints),
        "jitter": "uniform",
        "step_s": step_s,
        "latency_ms": latency_ms,
        "error_ratio": error_ratio,
        "duration_s": budget_s,
        "until_s": until_s,
    }


@dataclass(frozen=True)
class HttpRun:
    """What a load left: samples, and the facts that `tasks.load.http_worker` reports."""

    table: pa.Table
    facts: Mapping[str, Any]

    @property
    def steps(self) -> list[Step]:
        """The steps of the capacity search, in their order."""
        return [Step.from_json(step) for step in self.facts["steps"]]

    @property
    def window(self) -> Window:
        """From the start of the first stage to the end of the last one."""
        runs = self.facts["runs"]
        return Window(
            start=_moment(min(run["start_ns"] for run in runs)), end=_moment(max(run["end_ns"] for run in runs))
        )

    @property
    def same_machine(self) -> bool:
        """Whether the target's address is one of a generator's own machine."""
        here, there = self.facts["ends"]
        return (bool(here) and here == there) or any(share.get("own_target") for share in self.facts["shares"])

    @property
    def stopped(self) -> str | None:
        """Why the guard stopped the load; None where it did not."""
        reason: str | None = self.facts["stopped"]
        return reason

    @property
    def shards(self) -> str:
        """How many processes sent the load, and what was seen of their clocks and starts, for a load plan."""
        shares = self.facts["shares"]
        offset = max(abs(share["clock_offset_ms"]) for share in shares)
        apart = starts_apart_ms(self.facts["runs"])
        owners = Counter(host for host, _ in {(share["host"], share["owner"]) for share in shares})
        where = ", ".join(f"{number} on {host}" for host, number in sorted(owners.items()))
        return f"{len(shares)}, their owners {where}; clocks {offset:.1f} ms off, starts {apart:.1f} ms apart at most"

    @property
    def release(self) -> Mapping[str, str]:
        """What the target's answers say of its release, from the headers of the first good one."""
        _, _, fields = str(self.facts["head"]).partition("\r\n")
        headers = Parser().parsestr(fields.replace("\r\n", "\n"), headersonly=True)
        return {name: headers[name] for name in _RELEASE_HEADERS if headers[name]}

    def vitals(self, phases: Sequence[str]) -> Vitals:
        """What the generator saw of itself in the runs of some phases; a run counts where it has one of them.

        Of several generators the worst speaks.
        """
        runs = [run for run in self.facts["runs"] if not set(run["phases"]).isdisjoint(phases)]
        rows = of_phase(self.table, *{phase for run in runs for phase in run["phases"]})
        timed = [phase for phase in phases if phase not in (RAMP, WARMUP)]
        return vitals_of(rows, of_phase(self.table, *timed), runs, self.facts)

    def verdict(self, phases: Sequence[str], *, same_machine: bool) -> Verdict:
        """Whether the figures of some phases can be trusted."""
        rows = of_phase(self.table, *phases)
        p99 = percentile(latency_ms(rows), 0.99)
        return judge(self.vitals(phases), latency_p99_ms=p99, same_machine=same_machine or self.same_machine)

    def summary(
        self, *, steady: Sequence[str], judged: Sequence[str], rate: float, seconds: float, same_machine: bool
    ) -> LoadSummary:
        """What was planned and what became of it; `rate` was asked for in the phases `steady` of `seconds` in all.

        `judged` names the phases whose figures are reported: the verdict on the generator speaks of them.
        """
        verdict = self.verdict(judged, same_machine=same_machine)
        stopped = () if self.stopped is None else (f"the load was {self.stopped}",)
        return summarise(
            self.table,
            planned=int(self.facts["planned"]),
            target_rate=rate,
            achieved_rate=sent_rate(self.table, steady, seconds),
            trust=verdict.trust,
            reasons=(*stopped, *verdict.reasons),
            late_p99_ms=self.vitals(judged).late_p99_ms,
        )


def run_http(plan: HttpPlan, on_progress: Progress = lambda _: None, *, journals: Journals | None = None) -> HttpRun:
    """Run a plan in a worker process, or in as many as it is shared by; raises what `process.run_worker` raises.

    `journals` is where its rows lie meanwhile.
    """
    drains = len(plan.stages) * 2 * plan.timeout_s + (2 * plan.timeout_s if plan.stages else 0)
    deadline_s = _START_S + plan.duration_s + drains
    data, shared = plan.to_json(), plan.config
    if shared is None or shared.environment.scale.shards == 1:
        output = run_worker(_WORKER, data, deadline_s=deadline_s, on_progress=on_progress, journals=journals)
    else:
        output = merge(
            run_shares(_WORKER, data, shared, deadline_s=deadline_s, on_progress=on_progress, journals=journals)
        )
    return HttpRun(output.tables["samples"], output.facts)


def _moment(utc_ns: int) -> datetime:
    return datetime.fromtimestamp(utc_ns / 1e9, UTC)
