"""The process of a scenario: `python -m tasks.load.scenario.worker`, a plan in, samples, journeys and checks out.

The plan is what `tasks.load.scenario.load.ScenarioPlan` writes, or a share of it that `tasks.load.shards` makes. Here
alone a scenario's file is run. The facts are those of `tasks.load.http_worker`, so that the same verdict is passed on
them, and what journeys add.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from deployments.masking import mask
from tasks.load.client.client import Engine, Exchange
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.scenario.crowd import Crowd
from tasks.load.scenario.executors import ClosedModel, OpenModel
from tasks.load.scenario.file import Scenario, load
from tasks.load.scenario.gate import Gate
from tasks.load.scenario.mixed import scenarios_of
from tasks.load.scenario.parts import Parts
from tasks.load.scenario.pulse import Heart
from tasks.load.scenario.records import Records
from tasks.load.scenario.sleeper import Sleeper
from tasks.load.scenario.user import User, UserClient, Writes
from tasks.load.schedule import Phase, arrivals
from tasks.load.shards import Share
from tasks.load.trust.calibrate import Calibrator
from tasks.load.trust.guard import Guard
from tasks.load.trust.vitals import Lookup, is_own, look_up, rss_mb
from tasks.load.wire.address import parse, probe

_AHEAD_S = 0.02


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run a plan on the fastest event loop that is there.

    The loop is left as it stands: to close it would wait for journeys that do not let themselves be ended.
    """
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    return loop.run_until_complete(_Load(plan, tell).run())


class _Load:
    """A plan on its way."""

    def __init__(self, plan: Mapping[str, Any], tell: Progress) -> None:
        self._plan = plan
        self._tell = tell
        self._share = Share(**plan.get("share", {}))
        self._clock = self._share.clock()
        self._address = parse(plan["url"], variable=plan["variable"])
        self._url = httpx.URL(self._base)
        self._stage = plan["stages"][0]
        self._auth = _signer(plan["sigv4"]) if plan["sigv4"] else None
        self._scenarios = self._found()
        self._writes = Writes(allowed=plan["writes"], harmless=frozenset(plan["harmless"]))
        files = [str(one["file"]) for one in plan["scenarios"]]
        self._records = Records(self._share.number, self._masked, files, journeys=plan["mix"] is None)

    def _found(self) -> list[Scenario]:
        mix = self._plan["mix"]
        if mix is not None:
            return scenarios_of(mix, self._address)
        return load(self._plan["scenarios"], self._share.number, self._share.of)

    def _masked(self, text: str) -> str:
        return mask(text, self._plan["secrets"])

    async def run(self) -> WorkerOutput:
        lookup = await asyncio.to_thread(look_up, self._address)
        found = await asyncio.to_thread(probe, self._address)
        self._records.keep(self._clock)
        phases = [Phase.from_json(phase) for phase in self._stage["phases"]]
        rate = max(phase.to_rate for phase in phases) / self._share.of
        async with Calibrator(float(self._stage["duration_s"]), rate) as calibrator:
            await calibrator.take(self._share.start_ns(self._clock))
            engine = self._engine()
            await engine.prepare(self._base)
            try:
                facts = await self._measure(engine, phases)
            finally:
                engine.close()
            await calibrator.take()
        told = {
            "stamps": engine.stamps,
            "own_target": is_own(found.ip),
            **_looked(lookup),
            "rss_mb": rss_mb(),
            **calibrator.to_json(),
        }
        whole = {**facts, "probe": found.detail, "shares": [self._share.told() | told]}
        return WorkerOutput(self._records.tables(self._clock), whole)

    @property
    def _base(self) -> str:
        return self._address.shown

    def _engine(self) -> Engine:
        return Engine(
            allow=[self._address.host, *self._plan["hosts"]],
            connections=self._plan["max_connections"],
            timeout_s=self._plan["timeout_s"],
            ca_file=os.environ.get("SSL_CERT_FILE"),
        )

    async def _measure(self, engine: Engine, phases: Sequence[Phase]) -> dict[str, Any]:
        sleeper = Sleeper(engine.loop)
        gate = Gate(sleeper, self._plan["guard"]["max_rate"] / self._share.of)
        guard = Guard.from_plan(self._plan["guard"])
        seed = int(self._plan["seed"])
        crowd = Crowd(
            self._scenarios,
            self._records,
            gate,
            lambda number: self._user(number, engine, gate, sleeper, heart),
            rng=random.Random(seed + self._share.number),  # noqa: S311 - a load plan, not a secret
            most=self._plan["most_users"],
        )
        model = self._model(crowd, gate, sleeper, phases)
        heart = Heart(engine, guard, crowd, model, self._records, self._tell)
        agreed = self._share.start_ns(self._clock)
        await crowd.prepare(self._stage["prepared"], self._time_to_prepare(agreed))
        gc.collect()
        gc.freeze()
        await asyncio.sleep(max(0.0, (agreed - time.monotonic_ns()) / 1e9 - _AHEAD_S))
        start = max(time.monotonic_ns(), agreed)
        heart.begin(start)
        parts = Parts(
            worker=self._share.number,
            clock=self._clock,
            seed=seed,
            engine=engine,
            gate=gate,
            guard=guard,
            crowd=crowd,
            heart=heart,
            records=self._records,
            drain_s=self._plan["drain_s"],
        )
        started = len(self._records.requests)
        await parts.run(model, [phase.name for phase in phases], start)
        for stage in self._plan["stages"][1:]:
            gate.allow(self._plan["guard"]["max_rate"])  # other shares have none of it
            await parts.search(stage)
        await crowd.drain(0)
        heart.close()
        sleeper.close()
        if crowd.broken is not None:
            raise crowd.broken
        ends = [pool.ends for pool in engine.pools.values()]
        return {
            "planned": started + sum(run["planned"] for run in parts.runs),
            "runs": parts.runs,
            "steps": [step.to_json() for step in parts.steps],
            "search_ended": parts.search_ended,
            "stopped": guard.reason,
            "connects": engine.connects,
            "ends": list(ends[0]) if ends else ["", ""],
            "precise_timer": sleeper.precise,
            "head": "",
            "clock_offset_ns": self._clock.offset_ns,
            "journeys": {
                "due": parts.due,
                "begun": crowd.begun,
                "ended": self._records.ended,
                "failed": self._records.failed,
                "waited": crowd.waited,
                "unstarted": parts.unstarted,
                "used_up": crowd.used_up,
                "paused": gate.paused,
            },
            "exceptions": dict(self._records.exceptions.most_common()),
            "fallbacks": dict(engine.fallbacks),
            "refused_hosts": dict(engine.refused),
        }

    def _time_to_prepare(self, agreed_ns: int) -> float:
        """Seconds for the users' start; shares of a plan must be ready a second before their agreed moment."""
        most = float(self._plan["prepare_s"])
        return min(most, (agreed_ns - time.monotonic_ns()) / 1e9 - 1) if agreed_ns else most

    def _model(self, crowd: Crowd, gate: Gate, sleeper: Sleeper, phases: Sequence[Phase]) -> OpenModel | ClosedModel:
        number, of = self._share.number, self._share.of
        if self._plan["model"] == "closed":
            users = int(self._stage["users"])
            model = ClosedModel(crowd, sleeper, self._records, phases, range(users)[number::of], users)
            model.pace_ns = round(self._stage["pace_s"] * 1e9)
            model.think_s = tuple(self._stage["think_s"])
            return model
        schedule = arrivals(phases, jitter=self._stage["jitter"], seed=self._plan["seed"])
        return OpenModel(crowd, gate, self._records, schedule.shard(number, of))

    def _user(self, number: int, engine: Engine, gate: Gate, sleeper: Sleeper, heart: Heart) -> User:
        user = User(
            number * self._share.of + self._share.number,
            seed=self._plan["seed"],
            records=self._records,
            sleeper=sleeper,
            variables=self._plan["variables"],
        )

        def told(exchange: Exchange) -> None:
            heart.beat(exchange, good=user.told(exchange))

        user.http = UserClient(
            gate,
            engine,
            writes=self._writes,
            base_url=self._url,
            headers=self._headers(),
            auth=self._auth,
            on_exchange=told,
        )
        return user

    def _headers(self) -> dict[str, str]:
        own = {"authorization": self._address.authorization} if self._address.authorization else {}
        ours = {"user-agent": "hasivu-perf"} if self._plan["mix"] is not None else {}
        return ours | own | dict(self._plan["headers"])


def _signer(plan: Mapping[str, Any]) -> httpx.Auth:
    from tasks.load.scenario.credentials import SigV4  # noqa: PLC0415 - botocore costs 0.3 s, and few scenarios need it

    return SigV4.from_plan(plan)


def _looked(lookup: Lookup) -> dict[str, Any]:
    return {"lookup_ms": lookup.took_ms, "lookups": lookup.asked}


if __name__ == "__main__":
    serve(work)
