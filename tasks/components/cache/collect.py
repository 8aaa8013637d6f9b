"""Watches the cache and times GETs on it for as long as the load of the profile runs; reads only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from deployments.config import Environment, RunConfig, Target
from storage.errors import NotMeasuredError
from storage.records import Collected, ComponentId, LoadSummary, Window
from tasks.components.base import CollectContext, Progress, now
from tasks.components.cache.observe import Observer
from tasks.load.cache_worker import CachePlan
from tasks.load.process import WorkerOutput, run_worker
from tasks.load.redis_wire import RedisAddress
from tasks.load.samples import SCHEMA, STEADY, latency_ms, percentile, sent_rate, summarise
from tasks.load.trust import Vitals, judge

_START_S = 20.0


def url_of(config: RunConfig, target: Target) -> SecretStr:
    """The cache's address; `NotMeasuredError` names the variable where there is none."""
    if target.redis_url is None:
        variable = config.environment.variables.redis_url
        raise NotMeasuredError(f"the cache was not measured: {variable} is not set; set it, or use --local")
    return target.redis_url


def plan_of(environment: Environment, url: SecretStr) -> CachePlan:
    """The probe that an environment asks for, never above its `max_rate`."""
    load, settings = environment.load, environment.cache
    return CachePlan(
        url=url,
        keys=tuple(family.keys for family in settings.families if family.keys is not None),
        rate=min(settings.probe_rate, load.max_rate),
        duration_s=load.duration_s,
        error_ratio=load.abort_error_ratio,
        latency_ms=load.abort_latency_ms,
        after_s=load.abort_after_s,
    )


class _Probe:
    """The probe's process, owned by a thread; `end` ends it whatever happens here."""

    def __init__(self, plan: CachePlan) -> None:
        self._plan = plan
        self._abandoned = False
        self.done = threading.Event()
        self.latest: Mapping[str, Any] = {}
        self.output: WorkerOutput | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cache-probe", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.output = run_worker(
                "tasks.load.cache_worker",
                self._plan.to_json(),
                deadline_s=self._plan.deadline_s + _START_S,
                on_progress=self._on_progress,
            )
        except BaseException as error:  # noqa: BLE001 - a thread has no caller: the owner raises or notes it
            self.error = error
        finally:
            self.done.set()

    def _on_progress(self, progress: Mapping[str, Any]) -> None:
        self.latest = progress
        if self._abandoned:
            raise NotMeasuredError("the probe of the cache was given up")

    def end(self) -> None:
        """Give the probe up at its next sign of life, which comes once a second."""
        self._abandoned = True
        self._thread.join(_START_S)


def collect(context: CollectContext) -> Collected:
    """Watch and probe; store `samples`, `info`, `scans`, `keys`, `commands`, `slowlog`.

    `TargetUnreachableError` where nobody answers at the start. Where the probe alone fails, the server's own counters
    are kept, and a note says why there is no latency.
    """
    environment = context.config.environment
    url = url_of(context.config, context.target)
    address = RedisAddress.parse(url.get_secret_value())
    plan = plan_of(environment, url)
    observer = Observer(address, environment.cache)
    started = now()
    try:
        observer.start()
        probe = _Probe(plan)
        try:
            observer.run(_waiter(probe, plan, context.progress))
        finally:
            probe.end()
        observer.finish()
    finally:
        observer.close()
    if probe.error is not None and not isinstance(probe.error, NotMeasuredError):
        raise probe.error
    samples = probe.output.tables["samples"] if probe.output is not None else SCHEMA.empty_table()
    context.sink.write("samples", samples)
    for name, table in observer.tables().items():
        context.sink.write(name, table)
    load = _summary(plan, probe.output, same_machine=context.target.local) if probe.output is not None else None
    facts = probe.output.facts if probe.output is not None else {}
    return Collected(
        window=Window(start=started, end=max(now(), started)),
        load=load,
        load_plan=_load_plan(plan, environment, facts),
        fingerprint=_fingerprint(address, observer.server),
        notes=(*observer.notes, *_notes(probe, plan)),
    )


def _waiter(probe: _Probe, plan: CachePlan, progress: Callable[[Progress], None]) -> Callable[[float], bool]:
    """Wait between rounds, tell how far the probe is, and answer whether it has ended."""

    def stopped(rest_s: float) -> bool:
        ended = probe.done.wait(rest_s)
        latest = probe.latest
        if latest:
            progress(
                Progress(
                    component=ComponentId.CACHE,
                    elapsed_s=latest["elapsed_s"],
                    total_s=plan.duration_s,
                    rate=latest["rate"],
                    p95_ms=latest["p95_ms"],
                    failed=latest["failed"],
                )
            )
        return ended

    return stopped


def _summary(plan: CachePlan, output: WorkerOutput, *, same_machine: bool) -> LoadSummary:
    samples, vitals = output.tables["samples"], Vitals(**output.facts["vitals"])
    verdict = judge(vitals, latency_p99_ms=percentile(latency_ms(samples), 0.99), same_machine=same_machine)
    return summarise(
        samples,
        planned=output.facts["planned"],
        target_rate=plan.rate,
        achieved_rate=sent_rate(samples, STEADY, plan.phases[1].duration_s),
        trust=verdict.trust,
        reasons=verdict.reasons,
        late_p99_ms=vitals.late_p99_ms,
    )


def _load_plan(plan: CachePlan, environment: Environment, facts: Mapping[str, Any]) -> dict[str, str]:
    stopped = {"stopped": facts["stopped"]} if facts.get("stopped") else {}
    return {
        "probe_rate": f"{plan.rate:g}",
        "duration_s": f"{plan.duration_s:g}",
        "warmup_s": f"{plan.phases[0].duration_s:g}",
        "timeout_s": f"{plan.timeout_s:g}",
        "scan_limit": str(environment.cache.scan_limit),
        "access_times_untouched": "yes" if facts.get("no_touch", True) else "no",
        **stopped,
    }


def _fingerprint(address: RedisAddress, server: Mapping[str, str]) -> dict[str, str]:
    found = {
        "target": address.name,
        "server": server.get("server_name", "redis"),
        "version": server.get("valkey_version") or server.get("redis_version", ""),
        "mode": server.get("server_mode") or server.get("redis_mode", ""),
        "policy": server.get("maxmemory_policy", ""),
    }
    return {name: value for name, value in found.items() if value}


def _notes(probe: _Probe, plan: CachePlan) -> list[str]:
    notes = []
    if probe.error is not None:
        notes.append(f"the latency probe failed: {probe.error}")
    if probe.output is not None and probe.output.facts["stopped"]:
        notes.append(f"the latency probe was stopped early: {probe.output.facts['stopped']}")
    if not plan.keys:
        notes.append("no family of the environment has `keys`: the latency probe asks for a key that does not exist")
    return notes
