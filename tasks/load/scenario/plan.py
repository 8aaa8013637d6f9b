"""What a worker of scenarios is asked to do: an environment's own journeys, or the endpoints of its `[api]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.config import Endpoint, RunConfig, Target
from deployments.load import Load
from deployments.masking import secrets_of
from deployments.scenarios import Entry, SigV4Settings
from storage.errors import ConfigurationError
from tasks.load.figures import address_of
from tasks.load.http_load import SEED
from tasks.load.mix import endpoint_plan
from tasks.load.plan import phases_of
from tasks.load.scenario.credentials import AwsKeys
from tasks.load.scenario.file import looked_at
from tasks.load.search import PAUSE_S, SearchPlan, pause_before, search_plan

PREPARE_S = 30.0
"""How long users may take to start before the load."""

_USERS_PER_RATE = 4
_FEWEST_USERS = 100
_MOST_CONNECTIONS = 4096


@dataclass(frozen=True)
class ScenarioPlan:
    """All that a scenario's worker needs; `url`, `headers` and `variables` may hold secrets and are never shown.

    `entries` as `scenario.file.looked_at` answers them; where `mix` is given, each journey is one request of its
    endpoints (as `mix.endpoint_plan` makes them) with their `values` instead. `model` is "open" (journeys begin at
    the load's rate) or "closed" (the load's users begin one journey per pace at most). `most_users` bounds journeys
    under way at once in the open model: by default 4 for each journey a second, and at least 100. Without `writes`
    no request that may change data is sent, but to the paths `harmless`. `drain_s` is how long journeys may go on
    after the load's end, and after each step of its search, before they are ended as `aborted`. `secrets` are texts
    that no message may hold.
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
    mix: Mapping[str, Any] | None = None

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
        rate = max([self.load.peak_rate, *(self.search.rates if self.search else ())])
        return self.most_users or max(_FEWEST_USERS, round(_USERS_PER_RATE * rate))

    @property
    def search(self) -> SearchPlan | None:
        """The search for the highest sustained rate of journeys, after the load; None where none is asked for."""
        return None if self.load.search is None else search_plan(self.load.search, self.load)

    @property
    def pause_s(self) -> float:
        """From the end of the load to the search: other components that search at that time go before."""
        if self.search is None:
            return 0.0
        if self.config is None:
            return PAUSE_S
        return pause_before(self.config.environment, self.config.components).duration_s

    @property
    def duration_s(self) -> float:
        """How long it takes without the drains after its parts."""
        return self.load.duration_s + self.pause_s + (self.search.seconds if self.search else 0.0)

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
            "mix": self.mix,
            "model": self.model,
            "stages": [self._stage(), *self._search_stages()],
            "timeout_s": self.timeout_s,
            "drain_s": self.drain_s,
            "prepare_s": PREPARE_S,
            "max_connections": min(_MOST_CONNECTIONS, 2 * self.users),
            "most_users": self.users if self.search else max(1, -(-self.users // self.shards)),
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
            "think_s": list(self.load.think),
            "prepared": -(-self.load.users // self.shards) if self.model == "open" else 0,
            "duration_s": sum(phase.duration_s for phase in phases),
        }

    def _search_stages(self) -> list[dict[str, Any]]:
        """A step's journeys are drained before it is judged, so the search may take longer than its steps."""
        if self.search is None:
            return []
        search = self.search
        runs = len(search.rates) + 1
        return [{**search.stage([], self.duration_s + runs * self.drain_s), "pause_s": self.pause_s}]


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
        model="closed" if environment.load.model == "users" else settings.model,
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


def users_plan(config: RunConfig, target: Target, endpoints: Sequence[Endpoint]) -> ScenarioPlan:
    """The plan of a closed model over weighted endpoints, which are those that the environment may be asked.

    `NotMeasuredError` says which address is missing.
    """
    environment = config.environment
    url, _ = address_of(target.api_url, environment.variables.api_url)
    return ScenarioPlan(
        url=url,
        variable=environment.variables.api_url,
        entries=(),
        load=environment.load,
        timeout_s=environment.api.timeout_s,
        model="closed",
        headers={name: value.get_secret_value() for name, value in target.headers.items()},
        writes=True,
        drain_s=environment.api.timeout_s,
        secrets=sorted(secrets_of(target)),
        config=config,
        mix={
            "endpoints": [endpoint_plan(endpoint) for endpoint in endpoints],
            "values": {name: one.model_dump(mode="json") for name, one in environment.api.values.items()},
        },
    )


def hidden_of(config: RunConfig, target: Target) -> dict[str, Any]:
    """What of a plan never travels: made where a share of it runs, whose machine needs the scenario's files too."""
    made = plan_of(config, target) if config.environment.scenario.file else users_plan(config, target, ())
    whole = made.to_json()
    return {name: whole[name] for name in ("url", "headers", "variables", "secrets", "sigv4")}
