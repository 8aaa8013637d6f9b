"""The owner's side of a scenario: a plan runs in a process of its own and comes back as samples, journeys, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from deployments.config import RunConfig, Target
from deployments.load import Load
from deployments.masking import secrets_of
from deployments.scenarios import Entry, SigV4Settings
from storage.errors import ConfigurationError, NotMeasuredError
from storage.records import LoadSummary
from tasks import dask_worker
from tasks.load.figures import address_of
from tasks.load.http_load import SEED, HttpRun
from tasks.load.plan import phases_of
from tasks.load.process import Progress, WorkerOutput, run_worker
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import sent_rate
from tasks.load.recording.spread import run_shares
from tasks.load.scenario.credentials import AwsKeys
from tasks.load.scenario.figures import whole_journeys
from tasks.load.scenario.file import looked_at
from tasks.load.shards import merge

CLOSED = (
    "closed model: a user waits for its answers, so that a target which stands still is asked less and its "
    "percentiles look better than callers would find them (coordinated omission)"
)
"""What stands beside the figures of a closed model."""

_WORKER = "tasks.load.scenario.worker"
_START_S = 30.0
_PREPARE_S = 30.0
_USERS_PER_RATE = 4
_FEWEST_USERS = 100
_MOST_CONNECTIONS = 4096
_MOST_TOLD = 5


@dataclass(frozen=True)
class ScenarioPlan:
    """All that a scenario's worker needs; `url`, `headers` and `variables` may hold secrets and are never shown.

    `entries` as `scenario_file.looked_at` answers them. `model` is "open" (journeys begin at the load's rate) or
    "closed" (the load's users begin one journey per pace at most). `most_users` bounds journeys under way at once in
    the open model: by default 4 for each journey a second, and at least 100. Without `writes` no request that may
    change data is sent, but to the paths `harmless`. `drain_s` is how long journeys may go on
    after the load's end before they are ended as `aborted`. `secrets` are texts that no message may hold.
    """

    url: str = field(repr=False)
    variable: str
    entries: Sequence[Entry]
    load: Load
    timeout_s: float
    model: str = "open"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    hosts: Sequence[str] = ()
    writes: bool = False
    harmless: Sequence[str] = ()
    sigv4: SigV4Settings | None = None
    most_users: int | None = None
    drain_s: float = 30.0
    seed: int = SEED
    secrets: Sequence[str] = field(default=(), repr=False)
    config: RunConfig | None = None

    def __post_init__(self) -> None:
        if self.model == "closed" and self.load.day is not None:
            raise ConfigurationError(
                ['a closed model has no periods of a day: remove load.day, or use model = "open"']
            )

    @property
    def users(self) -> int:
        """The most users, and so journeys under way at once, of all processes together."""
        if self.model == "closed":
            return self.load.users
        return self.most_users or max(_FEWEST_USERS, round(_USERS_PER_RATE * self.load.peak_rate))

    @property
    def shards(self) -> int:
        """How many processes share it."""
        return 1 if self.config is None else self.config.environment.scale.shards

    def to_json(self) -> dict[str, Any]:
        """As the worker reads it; the signing keys are looked for now."""
        signing = None
        secrets = [*self.secrets, *self.variables.values()]
        secrets += [value for name, value in self.headers.items() if name.lower() in _SECRET_HEADERS]
        if self.sigv4 is not None:
            keys = AwsKeys.found()
            secrets += [keys.secret_key, *([keys.token] if keys.token else [])]
            signing = {"keys": keys.to_json(), **self.sigv4.model_dump()}
        return {
            "url": self.url,
            "variable": self.variable,
            "scenarios": [{"file": one.file, "name": one.name, "weight": one.weight} for one in self.entries],
            "model": self.model,
            "stages": [self._stage()],
            "timeout_s": self.timeout_s,
            "drain_s": self.drain_s,
            "prepare_s": _PREPARE_S,
            "max_connections": min(_MOST_CONNECTIONS, 2 * self.users),
            "most_users": max(1, -(-self.users // self.shards)),
            "headers": dict(self.headers),
            "variables": dict(self.variables),
            "hosts": list(self.hosts),
            "writes": self.writes,
            "harmless": list(self.harmless),
            "sigv4": signing,
            "seed": self.seed,
            "secrets": [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET],
            "guard": {
                "error_ratio": self.load.abort_error_ratio,
                "latency_ms": self.load.abort_latency_ms,
                "after_s": self.load.abort_after_s,
                "max_rate": self.load.max_rate,
            },
        }

    def _stage(self) -> dict[str, Any]:
        phases = phases_of(self.load)
        return {
            "kind": "schedule",
            "phases": [phase.to_json() for phase in phases],
            "jitter": self.load.jitter,
            "users": self.load.users,
            "pace_s": self.load.pace_s,
            "prepared": -(-self.load.users // self.shards) if self.model == "open" else 0,
            "duration_s": sum(phase.duration_s for phase in phases),
        }


_SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})
_SHORTEST_SECRET = 8
"""Shorter values are no secrets: to mask them would mask ordinary words."""


def plan_of(config: RunConfig, target: Target) -> ScenarioPlan:
    """The plan that an environment's `[scenario]` asks for.

    `ConfigurationError` holds what is wrong with its files, `NotMeasuredError` says which address is missing.
    """
    environment, settings = config.environment, config.environment.scenario
    url, _ = address_of(target.api_url, environment.variables.api_url)
    return ScenarioPlan(
        url=url,
        variable=environment.variables.api_url,
        entries=looked_at(settings.file),
        load=environment.load,
        timeout_s=environment.api.timeout_s,
        model=settings.model,
        headers={name: value.get_secret_value() for name, value in target.headers.items()},
        variables={name: value.get_secret_value() for name, value in target.variables.items()},
        hosts=settings.hosts,
        writes=environment.writes,
        harmless=settings.harmless,
        sigv4=settings.sigv4,
        most_users=settings.most_users,
        drain_s=settings.drain_s,
        secrets=sorted(secrets_of(target)),
        config=config,
    )


@dataclass(frozen=True)
class ScenarioRun(HttpRun):
    """What a scenario left: `table` has a row per request, `journeys` one per journey and group, `checks` counts."""

    journeys: pa.Table
    checks: pa.Table
    model: str = "open"

    @property
    def exceptions(self) -> Mapping[str, int]:
        """Exceptions of the scenarios' own code: type, first line of the words and place → how often."""
        found: Mapping[str, int] = self.facts["exceptions"]
        return found

    def journey_summary(
        self, *, steady: Sequence[str], judged: Sequence[str], rate: float, seconds: float, same_machine: bool
    ) -> LoadSummary:
        """As `HttpRun.summary`, with rates in journeys a second: that is what the plan asks for."""
        summary = self.summary(steady=steady, judged=judged, rate=rate, seconds=seconds, same_machine=same_machine)
        achieved = sent_rate(whole_journeys(self.journeys), steady, seconds)
        reasons = (*summary.reasons, *([CLOSED] if self.model == "closed" else []))
        return LoadSummary.model_validate({**summary.model_dump(), "achieved_rate": achieved, "reasons": reasons})

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

    The requests of a load of one process lie in `journals` meanwhile.
    """
    data = plan.to_json()
    deadline_s = _START_S + _PREPARE_S + plan.load.duration_s + plan.drain_s + 2 * plan.timeout_s
    if plan.config is None or plan.shards == 1:
        output = run_worker(_WORKER, data, deadline_s=deadline_s, on_progress=on_progress, journals=journals)
        outputs = [output]
    else:
        if dask_worker.current() is not None:  # its plan holds secrets, which must not pass through a scheduler
            raise NotMeasuredError("a scenario is not shared over a Dask cluster: set scale.shards to 1")
        outputs = run_shares(_WORKER, data, plan.config, deadline_s=deadline_s, on_progress=on_progress)
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
