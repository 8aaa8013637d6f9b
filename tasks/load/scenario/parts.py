"""The parts of a scenario's load, one after the other: its main schedule, the steps of a search, and their vitals."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from storage.clock import Clock
from tasks.load.capacity import Limits, Step, judge_step, phase_of
from tasks.load.client.client import Engine
from tasks.load.climb import climb
from tasks.load.recording.samples import Ints, Recorder
from tasks.load.scenario.crowd import Crowd
from tasks.load.scenario.executors import ClosedModel, OpenModel
from tasks.load.scenario.figures import SEPARATOR
from tasks.load.scenario.gate import Gate
from tasks.load.scenario.pulse import Heart
from tasks.load.scenario.records import Records
from tasks.load.schedule import Phase, arrivals
from tasks.load.trust.guard import Guard
from tasks.load.trust.vitals import Resources


@dataclass
class Parts:
    """Runs models on one crowd; `runs` are what the facts of a worker say of each, `steps` those of the search.

    `due` counts journeys that came due in all parts, `unstarted` those of them that never began.
    """

    worker: int
    clock: Clock
    seed: int
    engine: Engine
    gate: Gate
    guard: Guard
    crowd: Crowd
    heart: Heart
    records: Records
    drain_s: float
    runs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    search_ended: str | None = None
    due: int = 0
    unstarted: int = 0

    async def run(self, model: OpenModel | ClosedModel, names: Sequence[str], start_ns: int) -> float:
        """Run a model and let its journeys end; the share of a processor that it took."""
        before, then = Resources.read(), self._tally()
        self.heart.follow(model, names[0])
        await model.run(start_ns)
        await self.crowd.settle(self.drain_s)
        used = Resources.read().since(before)
        now = self._tally()
        count = {name: now[name] - then[name] for name in now}
        unstarted = model.due - model.withheld - count["begun"] if isinstance(model, OpenModel) else 0
        unstarted = max(0, unstarted)
        self.due += model.due
        self.unstarted += unstarted
        excused = bool(self.crowd.used_up or self.guard.reason)
        self.runs.append(
            {
                "worker": self.worker,
                "phases": list(names),
                "planned": count["sent"] + unstarted + model.withheld,
                "due": count["sent"] + (0 if excused else unstarted),
                "withheld": model.withheld,
                "held_back": count["held_back"],
                "pool_full": count["pool_full"],
                "start_ns": start_ns + self.clock.offset_ns,
                "end_ns": time.monotonic_ns() + self.clock.offset_ns,
                **self.heart.pauses.since(then["ticks"]),
                **used.to_json(),
            }
        )
        return used.cpu_share

    def _tally(self) -> dict[str, int]:
        return {
            "sent": len(self.records.requests),
            "begun": self.crowd.begun,
            "held_back": self.gate.held_back,
            "pool_full": self.engine.full,
            "ticks": len(self.heart.pauses.lags_ns),
        }

    async def search(self, stage: Mapping[str, Any]) -> None:
        """Raise the rate of journeys step by step: see `tasks.load.search`."""
        self.guard.watches_rate = False
        await self.crowd.until(time.monotonic_ns() + round(stage["pause_s"] * 1e9))

        def over() -> str | None:
            return "stopped" if self.crowd.stopped else None  # each step and its drain are bounded, so is the search

        async def make(number: int, attempt: int, rate: float) -> Step:
            return await self._step(stage, number, attempt, rate)

        self.search_ended = await climb(stage["rates"], make, over)

    async def _step(self, stage: Mapping[str, Any], number: int, attempt: int, rate: float) -> Step:
        """One step, judged by its requests; what it achieved are its good journeys."""
        phase = Phase(phase_of(number, attempt), rate, rate, stage["step_s"])
        schedule = arrivals([phase], jitter=stage["jitter"], seed=self.seed + 1000 * attempt + number)
        requests, journeys = len(self.records.requests), len(self.records.journeys)
        model = OpenModel(self.crowd, self.gate, self.records, schedule)
        start = time.monotonic_ns()
        cpu_share = await self.run(model, schedule.names, start)
        times, codes = self.records.requests.rows_since(requests)
        step = judge_step(
            times,
            codes,
            number=number,
            attempt=attempt,
            rate=rate,
            planned=len(schedule),
            step_s=stage["step_s"],
            start_ns=start,
            limits=Limits(stage["latency_ms"], stage["error_ratio"]),
            cpu_share=cpu_share,
            achieved=_whole(self.records.journeys, journeys) / stage["step_s"],
        )
        offset = self.clock.offset_ns
        step = replace(step, start_ns=step.start_ns + offset, end_ns=step.end_ns + offset)
        self.steps.append(step)
        return step


def _whole(journeys: Recorder, first: int) -> int:
    """Good journeys (not groups within them) among the rows from number `first` on."""
    _, codes = journeys.rows_since(first)
    names: Ints = codes[:, 0]
    parts = [number for number, name in enumerate(journeys.endpoints) if SEPARATOR in name]
    good = (codes[:, 3] < 0) & (codes[:, 4] == 0)
    return int((good & ~np.isin(names, parts)).sum())
