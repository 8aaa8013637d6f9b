"""Watches the cache and times calls to it for as long as the load of the profile runs.

It reads only, unless the environment allows writes and a share of them was asked for: then keys of this tool's own
are written too, and none of them is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from deployments.config import Environment, RunConfig, Target
from storage.clock import current_clock
from storage.errors import NotMeasuredError
from storage.records import Collected, ComponentId, LoadSummary, Window
from tasks.components.base import CollectContext, Progress
from tasks.components.cache.observe import Observer
from tasks.load.process import WorkerOutput, run_worker
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import SCHEMA, STEADY, latency_ms, percentile, sent_rate, summarise
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.commands import OwnKeys, new_run
from tasks.load.redis.topology import Topology, discover
from tasks.load.redis.wire import RedisConnection, ReplyError, code_of
from tasks.load.redis.worker import CachePlan
from tasks.load.trust.trust import Vitals, judge

_START_S = 20.0


def url_of(config: RunConfig, target: Target) -> SecretStr:
    """The cache's address; `NotMeasuredError` names the variable where there is none."""
    if target.redis_url is None:
        variable = config.environment.variables.redis_url
        raise NotMeasuredError(f"the cache was not measured: {variable} is not set; set it, or use --local")
    return target.redis_url


def plan_of(environment: Environment, url: SecretStr, write_share: float = 0.0) -> CachePlan:
    """The probe that an environment asks for: never above its `max_rate`, without writes where it forbids them."""
    load, settings = environment.load, environment.cache
    return CachePlan(
        url=url,
        keys=tuple(family.keys for family in settings.families if family.keys is not None),
        rate=min(settings.probe_rate, load.max_rate),
        duration_s=load.duration_s,
        error_ratio=load.abort_error_ratio,
        latency_ms=load.abort_latency_ms,
        after_s=load.abort_after_s,
        write_share=write_share if environment.writes else 0.0,
        run=new_run(),
    )


class _Probe:
    """The probe's process, owned by a thread; `end` ends it whatever happens here."""

    def __init__(self, plan: CachePlan, journals: Journals | None) -> None:
        self._plan = plan
        self._journals = journals
        self.keys = len(plan.keys)
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
                "tasks.load.redis.worker",
                self._plan.to_json(),
                deadline_s=self._plan.deadline_s + _START_S,
                on_progress=self._on_progress,
                journals=self._journals,
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


def collect(context: CollectContext, *, write_share: float = 0.0) -> Collected:
    """Watch and probe; store `samples`, `info`, `scans`, `keys`, `commands`, `slowlog`.

    `write_share` of the probe's calls write, read and delete keys of its own, where the environment allows writes.
    `TargetUnreachableError` where nobody answers at the start. Where the probe alone fails, the server's own counters
    are kept, and a note says why there is no latency.
    """
    environment = context.config.environment
    url = url_of(context.config, context.target)
    address = RedisAddress.parse(url.get_secret_value())
    plan = plan_of(environment, url, write_share)
    observer = Observer(address, environment.cache)
    clock = current_clock()
    started = clock.now()
    left: tuple[str, ...] = ()
    try:
        observer.start()
        probe = _Probe(plan, context.journals)
        try:
            observer.run(_waiter(probe, plan, context.progress))
        finally:
            probe.end()
            if plan.write_share:
                left = clean(address, plan)
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
        window=Window(start=started, end=clock.now()),
        load=load,
        load_plan=_load_plan(plan, environment, facts),
        fingerprint=_fingerprint(address, observer.server, observer.topology),
        notes=(*observer.notes, *_notes(probe), *left),
    )


def clean(address: RedisAddress, plan: CachePlan) -> tuple[str, ...]:
    """Delete every key that the probe may have left; a note where that fails: then they expire by themselves."""
    deletes = OwnKeys(plan.run).deletes
    try:
        topology = discover(address)
        for number, node in enumerate(topology.nodes):
            own = [command for command in deletes if topology.node_of(command.slot) == number]
            with RedisConnection(node) as connection:
                refused = [reply for reply in connection.send(own) if isinstance(reply, ReplyError)]
            if refused:
                return (_left(f"the cache refuses DEL ({code_of(refused[0])}): grant +del on its keys"),)
    except NotMeasuredError as error:
        return (_left(str(error)),)
    return ()


def _left(why: str) -> str:
    return f"keys of the probe's own may be left for up to {OwnKeys.LIFE_S} s: {why}"


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
        **({"write_share": f"{plan.write_share:g}"} if plan.write_share else {}),
        **stopped,
    }


def _fingerprint(address: RedisAddress, server: Mapping[str, str], topology: Topology) -> dict[str, str]:
    found = {
        "target": address.name,
        "server": server.get("server_name", "redis"),
        "version": server.get("valkey_version") or server.get("redis_version", ""),
        "mode": server.get("server_mode") or server.get("redis_mode", ""),
        "policy": server.get("maxmemory_policy", ""),
        "primaries": str(len(topology.nodes)) if topology.cluster else "",
    }
    return {name: value for name, value in found.items() if value}


def _notes(probe: _Probe) -> list[str]:
    notes = []
    if probe.error is not None:
        notes.append(f"the latency probe failed: {probe.error}")
    if probe.output is not None:
        notes += _facts_told(probe.output.facts, probe.keys)
    return notes


_REMEDIES = {
    "NOPERM": "grant its user what docs/cache.md lists",
    "CLUSTERDOWN": "no node of the cluster serves the key's slot: see CLUSTER INFO on any of them",
    "OOM": "it is full and may not evict: see maxmemory-policy",
    "READONLY": "it is a replica: name the primary, or its sentinels, in the address",
    "MOVED": "it is a cluster whose map could not be followed: grant +cluster|slots to its user",
}
_EVENTS = {
    "moved": "calls were sent on to another node (MOVED)",
    "asked": "calls were sent on for a slot that was being moved (ASK)",
    "lost": "connections were lost or could not be opened again",
    "failovers": "times other servers than before came to be in charge",
}


def _facts_told(facts: Mapping[str, Any], keys: int) -> list[str]:
    """What the probe reports besides its answers, as sentences."""
    notes = [f"the latency probe was stopped early: {facts['stopped']}"] if facts["stopped"] else []
    if not keys:
        found = facts["sampled_keys"]
        asked = f"{found} keys that SCAN found" if found else "a key that does not exist, since SCAN found none"
        notes.append(f"no family of the environment has `keys`: the latency probe asks for {asked}")
    for code, count in sorted(facts["refused"].items()):
        remedy = _REMEDIES.get(code)
        notes.append(f"the cache refused {count} calls of the probe ({code})" + (f": {remedy}" if remedy else ""))
    events = facts["events"]["raw"]
    return notes + [f"{events[name]} {text}" for name, text in _EVENTS.items() if events.get(name)]
