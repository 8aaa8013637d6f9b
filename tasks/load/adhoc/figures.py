"""The figures of an ad-hoc load test, its limits, and what the command answers for them. Pure.

Numbers are not rounded. A limit speaks of all requests: one without its expected answer is slower than any limit, and
where nothing was sent a limit is not met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from storage.errors import ExitCode
from storage.records import Trust
from tasks.load.adhoc.adhoc import AdhocRun, as_http_run
from tasks.load.capacity import Step
from tasks.load.closed import stall_of
from tasks.load.recording import journal, samples
from tasks.load.recording.samples import Floats
from tasks.load.search import capacity_note
from tasks.load.trust.trust import Verdict, Vitals, judge

PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
CLOSED_CAVEAT = (
    "closed model: each connection waits for its answer before it sends again, so a stall of the target hides the "
    "requests that users would have sent meanwhile; use --rate for the latency of users"
)


@dataclass(frozen=True)
class Limit:
    """A limit that was asked for and how it stands; `value` is None where no number meets it or none was measured."""

    name: Literal["p95_ms", "error_ratio"]
    limit: float
    value: float | None
    n: int
    verdict: Literal["pass", "broken", "not measured"]
    note: str = ""


def figures(run: AdhocRun) -> dict[str, Any]:
    """Everything that the command says, as JSON has it; latency, service time and rate are of the full load."""
    plan, table = run.plan, run.table
    full = samples.of_phase(table, *run.judged)
    best = run.capacity.best if plan.search else None
    number = samples.counts(table)
    verdict = _verdict(run, full)
    window = _window(run)
    limits = _limits(run, full)
    found = {
        "url": plan.shown,
        "method": plan.method,
        "model": plan.model,
        "caveat": CLOSED_CAVEAT if plan.model == "closed" else "",
        "stamps": _stamps(run),
        "interrupted": False,
        "stopped": run.facts["stopped"],
        "window": window,
        "planned": int(run.facts["planned"]),
        "sent": number["sent"],
        "unsent": int(run.facts["planned"]) - number["sent"],
        "requests": number["sent"],
        "answered": number["answered"],
        "statuses": {str(status): count for status, count in samples.statuses(table).items()},
        "errors": _errors(table),
        "rate": {"target": best.rate if best else plan.rate, "achieved": _achieved(run, full)},
        "search": search_told(run) if plan.search else None,
        "connections": {"asked": plan.connections, "opened": int(run.facts["connects"])},
        "client_cpu_seconds": run.client_cpu_s,
        "latency_ms": _spread(samples.latency_ms(full)),
        "service_ms": _spread(samples.service_ms(full)),
        "late_ms": _spread((samples.column(full, "taken_ns") - samples.column(full, "intended_ns")) / 1e6),
        "stall": _stall(full) if plan.model == "closed" else None,
        "trust": {"level": verdict.trust.value, "reasons": list(verdict.reasons)},
        "limits": [asdict(limit) for limit in limits],
        "shards": plan.shards,
    }
    return found | {"exit_code": int(exit_code(found))}


def partial(folder: Path, judged: Sequence[str] = (samples.STEADY,)) -> dict[str, Any]:
    """What the journals of a load that was broken off hold; empty where there are none."""
    rows = [batch for paths in journal.found(folder).values() for path in paths for batch in journal.batches(path)]
    if not rows:
        return {}
    table = journal.table(rows, samples.SCHEMA)
    full, number = samples.of_phase(table, *judged), samples.counts(table)
    return {
        "requests": number["sent"],
        "answered": number["answered"],
        "statuses": {str(status): count for status, count in samples.statuses(table).items()},
        "errors": _errors(table),
        "latency_ms": _spread(samples.latency_ms(full)),
        "service_ms": _spread(samples.service_ms(full)),
    }


def exit_code(found: Mapping[str, Any]) -> ExitCode:
    """1 a limit is broken; 3 no answer was the expected one, the load was stopped, or limits cannot be judged.

    Of a search: 1 where its first step was not sustained, 3 where the generator was the limit or is not trusted.
    """
    if found.get("search") is not None:
        return _exit_of_search(found)
    verdicts = [limit["verdict"] for limit in found["limits"]]
    if "broken" in verdicts:
        return ExitCode.GATE_FAILED
    good = found["requests"] - found["errors"]["total"]
    if not good or found["stopped"] or "not measured" in verdicts:
        return ExitCode.INCOMPLETE
    if verdicts and found["trust"]["level"] == Trust.NOT_TRUSTED.value:
        return ExitCode.INCOMPLETE
    return ExitCode.PASS


def _exit_of_search(found: Mapping[str, Any]) -> ExitCode:
    search = found["search"]
    if not found["answered"] or search["generator_limited"]:
        return ExitCode.INCOMPLETE
    if search["sustained_rate"] is None:
        return ExitCode.GATE_FAILED
    trusted = found["trust"]["level"] != Trust.NOT_TRUSTED.value
    return ExitCode.PASS if trusted else ExitCode.INCOMPLETE


def search_told(run: AdhocRun) -> dict[str, Any]:
    """What a search found: the highest sustained step, what it means, and every step in its order."""
    found, steps = run.capacity, [Step.from_json(one) for one in run.facts["steps"]]
    best, broken = found.best, found.broken
    names = ("rate", "attempt", "sent", "p95_ms", "error_ratio", "achieved", "sustained", "why")
    return {
        "sustained_rate": None if best is None else best.rate,
        "achieved": None if best is None else best.achieved,
        "ended": found.ended,
        "generator_limited": broken is not None and broken.generator_limited,
        "note": capacity_note(found, run.plan.rates[-1]),
        "steps": [{name: getattr(step, name) for name in names} for step in steps],
    }


def _spread(values: Floats) -> dict[str, Any]:
    """Percentiles in ms with their 95 % intervals (None where the sample is too small for one), and the count."""
    found: dict[str, Any] = {name: samples.percentile(values, q) for name, q in PERCENTILES.items()}
    intervals = {name: samples.percentile_interval(values, q) for name, q in PERCENTILES.items()}
    return found | {"max": float(values.max()) if len(values) else None, "n": len(values), "interval": intervals}


def _errors(table: pa.Table) -> dict[str, Any]:
    """Requests without their expected answer: how many, their share, and by kind."""
    kinds = {**samples.errors_by_kind(table), **samples.unexpected_by_kind(table)}
    return {"total": sum(kinds.values()), "ratio": samples.error_ratio(table), "by_kind": kinds}


def _limits(run: AdhocRun, full: pa.Table) -> list[Limit]:
    found: list[Limit] = []
    if run.plan.search:  # each step is held against them
        return found
    if run.plan.p95_ms is not None:
        found.append(_p95_limit(full, run.plan.p95_ms))
    if run.plan.error_ratio is not None:
        ratio, n = samples.error_ratio(run.table), run.table.num_rows
        found.append(_limit("error_ratio", run.plan.error_ratio, ratio, n))
    return found


def _p95_limit(full: pa.Table, limit_ms: float) -> Limit:
    """95 % of the requests sent must get their expected answer within the limit."""
    good = samples.answered(full) & ~samples.failed(full)
    latency = (samples.column(full, "received_ns") - samples.column(full, "intended_ns")) / 1e6
    value = samples.percentile(np.where(good, latency, math.inf), PERCENTILES["p95"])
    if value is not None and math.isinf(value):
        note = f"{int((~good).sum())} of {full.num_rows} requests did not get the expected answer"
        return Limit("p95_ms", limit_ms, None, full.num_rows, "broken", note)
    return _limit("p95_ms", limit_ms, value, full.num_rows)


def _limit(name: Literal["p95_ms", "error_ratio"], limit: float, value: float | None, n: int) -> Limit:
    if value is None:
        return Limit(name, limit, None, n, "not measured", "no request of the full load was sent")
    return Limit(name, limit, value, n, "pass" if value <= limit else "broken")


def _achieved(run: AdhocRun, full: pa.Table) -> float:
    """Requests a second at full load: sent in an open model, answered in a closed one."""
    if run.plan.search:
        best = run.capacity.best
        return 0.0 if best is None else full.num_rows / run.plan.duration_s
    if run.plan.model == "open":
        return samples.sent_rate(run.table, samples.STEADY, run.plan.steady_s)
    end_ns = max(part["end_ns"] for part in run.facts["runs"])
    seconds = (end_ns - min(part["start_ns"] for part in run.facts["runs"])) / 1e9 - run.plan.ramp_up_s
    in_time = samples.answered(full) & (samples.column(full, "received_ns") <= end_ns)
    return float(in_time.sum()) / seconds if seconds > 0 else 0.0


def _window(run: AdhocRun) -> dict[str, Any]:
    start = min(part["start_ns"] for part in run.facts["runs"])
    end = max(part["end_ns"] for part in run.facts["runs"])
    moments = {
        name: datetime.fromtimestamp(ns / 1e9, UTC).isoformat() for name, ns in (("start", start), ("end", end))
    }
    return {**moments, "seconds": (end - start) / 1e9}


def _stamps(run: AdhocRun) -> str | None:
    """Who stamped the answers, the loop where one worker has no kernel stamps; None where the workers do not say."""
    told = [one["stamps"] for one in (run.facts, *run.facts.get("shares", ())) if "stamps" in one]
    return None if not told else "loop" if "loop" in told else "kernel"


def _stall(full: pa.Table) -> dict[str, Any] | None:
    """What a closed loop hides."""
    stall = stall_of(full)
    return None if stall is None else stall.to_json()


def _verdict(run: AdhocRun, full: pa.Table) -> Verdict:
    """The generator's verdict on itself; a closed loop is late for nothing, but it may be what limits the rate."""
    if run.plan.model == "open":
        return as_http_run(run).verdict(run.judged, same_machine=False)
    runs = run.facts["runs"]
    here, there = run.facts["ends"]
    delays = [part["run_delay_s"] / part["elapsed_s"] for part in runs if part["run_delay_s"] is not None]
    vitals = Vitals(
        due=run.table.num_rows,
        sent=run.table.num_rows,
        cpu_share=max(part["cpu_s"] / part["elapsed_s"] for part in runs),
        run_queue_share=max(delays, default=None),
        stamps=run.facts["stamps"],
    )
    p99 = samples.percentile(samples.latency_ms(full), PERCENTILES["p99"])
    return judge(vitals, latency_p99_ms=p99, same_machine=bool(here) and here == there)
