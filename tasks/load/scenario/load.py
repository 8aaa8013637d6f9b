"""The owner's side of a scenario: a plan runs in a process of its own and comes back as samples, journeys, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.records import LoadSummary
from tasks.load.closed import CLOSED, stall_of
from tasks.load.http_load import HttpRun
from tasks.load.process import Progress, WorkerOutput, run_worker
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import of_phase, sent_rate
from tasks.load.recording.spread import run_shares
from tasks.load.scenario.figures import whole_journeys
from tasks.load.scenario.plan import PREPARE_S, ScenarioPlan, hidden_of
from tasks.load.shards import merge

_WORKER = "tasks.load.scenario.worker"
_START_S = 30.0
_MOST_TOLD = 5


@dataclass(frozen=True)
class ScenarioRun(HttpRun):
    """What a scenario left: `table` has a row per request, `journeys` one per journey and group, `checks` counts.

    Journeys of a `mix` have no rows: each is one request.
    """

    journeys: pa.Table
    checks: pa.Table
    model: str = "open"

    @property
    def exceptions(self) -> Mapping[str, int]:
        """Exceptions of the scenarios' own code: type, first line of the words and place → how often."""
        found: Mapping[str, int] = self.facts["exceptions"]
        return found

    def summary(
        self, *, steady: Sequence[str], judged: Sequence[str], rate: float, seconds: float, same_machine: bool
    ) -> LoadSummary:
        """As `HttpRun.summary`; of a closed model its reasons say so, and tell of a stall that it hides."""
        found = super().summary(steady=steady, judged=judged, rate=rate, seconds=seconds, same_machine=same_machine)
        return found.model_copy(update={"reasons": (*found.reasons, *self._closed_reasons(steady))})

    def journey_summary(
        self, *, steady: Sequence[str], judged: Sequence[str], rate: float, seconds: float, same_machine: bool
    ) -> LoadSummary:
        """As `summary`, with rates in journeys a second: that is what the plan asks for."""
        summary = self.summary(steady=steady, judged=judged, rate=rate, seconds=seconds, same_machine=same_machine)
        achieved = sent_rate(whole_journeys(self.journeys), steady, seconds)
        return summary.model_copy(update={"achieved_rate": achieved})

    def _closed_reasons(self, steady: Sequence[str]) -> tuple[str, ...]:
        if self.model != "closed":
            return ()
        stall = stall_of(of_phase(self.table, *steady))
        return (CLOSED, *([stall.told()] if stall is not None else []))

    def notes(self) -> tuple[str, ...]:
        """What a reader must know, the loudest first; each in one line."""
        count = self.facts["journeys"]
        notes = []
        if count["ended"] and count["failed"] == count["ended"]:
            notes.append(
                f"EVERY journey failed ({count['ended']} of {count['ended']}): the figures say nothing of lunch"
            )
        elif not count["ended"]:
            notes.append("no journey came to its end: there are no figures of journeys")
        shown = sorted(self.exceptions.items(), key=lambda pair: -pair[1])
        notes += [f"{number} journeys or starts ended with {text}" for text, number in shown[:_MOST_TOLD]]
        if len(shown) > _MOST_TOLD:
            notes.append(f"and {len(shown) - _MOST_TOLD} further kinds of exceptions")
        if count["waited"]:
            notes.append(
                f"{count['waited']} journeys waited for a user: raise scenario.most_users, or lower the rate"
            )
        if count["used_up"]:
            notes.append(f"the load ended early: {count['used_up']}")
        if count["unstarted"]:
            notes.append(f"{count['unstarted']} journeys that were due never began")
        for host, number in self.facts["refused_hosts"].items():
            notes.append(f"{number} requests to {host} were refused: it is no host of this environment")
        if self.model == "closed":
            notes.append(CLOSED)
        return tuple(notes)

    @property
    def described(self) -> dict[str, str]:
        """Its part of a load plan's description."""
        count = self.facts["journeys"]
        return {
            "model": CLOSED if self.model == "closed" else "open model: journeys begin when they are due",
            "journeys": f"{count['begun']} began, {count['failed']} of {count['ended']} failed",
            "fallbacks": ", ".join(f"{number} {why}" for why, number in self.facts["fallbacks"].items()) or "none",
        }


def run_scenario(
    plan: ScenarioPlan, on_progress: Progress = lambda _: None, *, journals: Journals | None = None
) -> ScenarioRun:
    """Run a plan in a worker process, or in as many as it is shared by; raises what `process.run_worker` raises.

    Requests lie in `journals` meanwhile, those of a cluster's shares do not.
    """
    data = plan.to_json()
    drains_s = plan.drain_s * (1 if plan.search is None else len(plan.search.rates) + 2)
    deadline_s = _START_S + PREPARE_S + plan.duration_s + drains_s + 2 * plan.timeout_s
    if plan.config is None or plan.shards == 1:
        output = run_worker(_WORKER, data, deadline_s=deadline_s, on_progress=on_progress, journals=journals)
        outputs = [output]
    else:
        outputs = run_shares(
            _WORKER,
            data,
            plan.config,
            deadline_s=deadline_s,
            on_progress=on_progress,
            journals=journals,
            hidden=hidden_of,
        )
        output = merge(outputs)
    facts = {**output.facts, **_together(outputs)}
    return ScenarioRun(
        output.tables["samples"],
        facts,
        pa.concat_tables([one.tables["journeys"] for one in outputs]).unify_dictionaries(),
        pa.concat_tables([one.tables["checks"] for one in outputs]),
        plan.model,
    )


def _together(outputs: Sequence[WorkerOutput]) -> dict[str, Any]:
    """Facts of journeys, over all processes."""
    facts = [one.facts for one in outputs]
    journeys = dict(facts[0]["journeys"])
    for name in journeys:
        if name == "used_up":
            journeys[name] = next((one["journeys"][name] for one in facts if one["journeys"][name]), None)
        else:
            journeys[name] = sum(one["journeys"][name] for one in facts)
    return {
        "journeys": journeys,
        **{name: _added([one[name] for one in facts]) for name in ("exceptions", "fallbacks", "refused_hosts")},
    }


def _added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}
