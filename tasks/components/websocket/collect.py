"""Runs the WebSocket load in its own process and tells what it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from deployments.config import Environment, RunConfig, Target
from storage.errors import NotMeasuredError
from storage.records import Collected, ComponentId, LoadSummary, Window
from tasks.components.base import CollectContext, Progress
from tasks.load.process import WorkerOutput, run_worker
from tasks.load.recording.samples import STEADY, latency_ms, of_phase, percentile, sent_rate, summarise
from tasks.load.trust.trust import Vitals, judge
from tasks.load.websocket.plan import WebsocketPlan

_START_S = 20.0


def url_of(config: RunConfig, target: Target) -> SecretStr:
    """The WebSocket address; `NotMeasuredError` names the variable where there is none."""
    if target.ws_url is None:
        variable = config.environment.variables.ws_url
        raise NotMeasuredError(f"the WebSocket was not measured: {variable} is not set; set it, or use --local")
    return target.ws_url


def plan_of(environment: Environment, url: SecretStr) -> WebsocketPlan:
    """The load that an environment asks for; its pace is stretched where it would pass `max_rate`."""
    load, settings = environment.load, environment.websocket
    connections = settings.connections or load.users
    return WebsocketPlan(
        url=url,
        connections=connections,
        pace_s=max(settings.pace_s, connections / load.max_rate),
        ramp_up_s=load.ramp_up_s,
        duration_s=load.duration_s,
        channel=settings.subscribe,
        orders=settings.orders,
        timeout_s=settings.timeout_s,
        protocol=settings.protocol,
        transport=settings.transport,
        namespace=settings.namespace,
        reconnects=settings.reconnects,
        backoff_s=settings.backoff_s,
        backoff_factor=settings.backoff_factor,
        backoff_limit_s=settings.backoff_limit_s,
        backoff_jitter=settings.backoff_jitter,
        storm_at_s=settings.storm_at_s,
        storm_s=settings.storm_s,
        error_ratio=load.abort_error_ratio,
        latency_ms=load.abort_latency_ms,
        after_s=load.abort_after_s,
    )


def collect(context: CollectContext) -> Collected:
    """Send the load, store its tables, and say how it went; `NotMeasuredError` where nothing could be tried."""
    config, target = context.config, context.target
    plan = plan_of(config.environment, url_of(config, target))

    def tell(progress: Mapping[str, Any]) -> None:
        context.progress(
            Progress(
                component=ComponentId.WEBSOCKET,
                elapsed_s=progress["elapsed_s"],
                total_s=plan.duration_s,
                rate=progress["rate"],
                p95_ms=progress["p95_ms"],
                failed=progress["failed"],
                message=f"{progress['open']} of {plan.connections} connections open",
            )
        )

    output = run_worker(
        "tasks.load.websocket.worker",
        plan.to_json(),
        deadline_s=plan.deadline_s + _START_S,
        on_progress=tell,
        journals=context.journals,
    )
    for name, table in output.tables.items():
        context.sink.write(name, table)
    return _collected(plan, output, same_machine=target.local)


def _collected(plan: WebsocketPlan, output: WorkerOutput, *, same_machine: bool) -> Collected:
    facts = output.facts
    steady_s = _steady_s(plan, facts)
    return Collected(
        window=Window(start=_moment(facts["start_ns"]), end=_moment(facts["end_ns"])),
        load=_summary(plan, output, steady_s, same_machine=same_machine),
        load_plan={
            "connections": str(plan.connections),
            "pace_s": f"{plan.pace_s:g}",
            "ramp_up_s": f"{plan.ramp_up_s:g}",
            "duration_s": f"{plan.duration_s:g}",
            "steady_s": f"{steady_s:.3f}",
            "track_order_share": f"{plan.track_share:g}",
            "timeout_s": f"{plan.timeout_s:g}",
            "reconnect_backoff_s": f"{plan.backoff_s:g}",
            "protocol": plan.protocol,
            **({"transport": plan.transport} if plan.protocol == "socketio" else {}),
            **({"storm_at_s": f"{plan.storm_at_s:g}"} if plan.storm_at_s is not None else {}),
            **({"stopped": facts["stopped"]} if facts["stopped"] else {}),
        },
        fingerprint={"target": facts["target"]},
        notes=tuple(_notes(facts)),
    )


def _steady_s(plan: WebsocketPlan, facts: Mapping[str, Any]) -> float:
    """How long the steady phase really was: to the planned end, or to the moment at which the load stopped."""
    elapsed = min(plan.duration_s, float(facts["end_ns"] - facts["start_ns"]) / 1e9)
    return max(0.0, elapsed - plan.ramp_up_s - plan.steady_apart_s)


def _summary(plan: WebsocketPlan, output: WorkerOutput, steady_s: float, *, same_machine: bool) -> LoadSummary:
    samples, vitals = output.tables["samples"], Vitals(**output.facts["vitals"])
    verdict = judge(vitals, latency_p99_ms=percentile(latency_ms(samples), 0.99), same_machine=same_machine)
    return summarise(
        samples,
        planned=output.facts["planned"],
        target_rate=plan.rate,
        achieved_rate=_achieved_rate(plan, samples, steady_s),
        trust=verdict.trust,
        reasons=verdict.reasons,
        late_p99_ms=vitals.late_p99_ms,
    )


def _achieved_rate(plan: WebsocketPlan, samples: pa.Table, steady_s: float) -> float:
    """Messages a second of the steady phase; a planned storm parts it, so that its rows are counted instead."""
    if plan.storm_at_s is None:
        return sent_rate(samples, STEADY, steady_s)
    return of_phase(samples, STEADY).num_rows / steady_s if steady_s > 0 else 0.0


def _notes(facts: Mapping[str, Any]) -> list[str]:
    notes = []
    if facts["stopped"]:
        notes.append(f"the load was stopped early: {facts['stopped']}")
    if facts["pushes"]:
        notes.append(f"{facts['pushes']} messages were pushed by the server")
    if facts["late"]:
        notes.append(f"{facts['late']} answers came after their time-out")
    if facts["repeated"]:
        notes.append(f"{facts['repeated']} answers came more than once")
    if facts["unparsed"]:
        notes.append(f"{facts['unparsed']} messages of the server were not JSON objects")
    if facts["failures"]:
        codes = ", ".join(f"{code} × {number}" for code, number in sorted(facts["failures"].items()))
        notes.append(f"answers of an unexpected type: {codes}")
    return notes


def _moment(utc_ns: int) -> datetime:
    return datetime.fromtimestamp(utc_ns / 1e9, UTC)
