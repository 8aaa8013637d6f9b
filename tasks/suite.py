"""The Python door to a validation under load: `RealTimePerformanceSuite(config).run()`.

```python
suite = RealTimePerformanceSuite(base_url="https://api.school.test", users=50, duration_s=300, ramp_up_s=60)
result = suite.run()
print(result.score, result.components["api"].measurements["api.latency.p95"])
```

It goes the way of every run (`tasks.validation`, `tasks.judging`): a component for each address that is given, what
was collected is stored, judged against the thresholds and reported. What was not measured says why, and has no
figure.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from uuid import uuid4

from deployments.config import Variables, resolve_target
from deployments.parameters import ValidationParams, configure
from deployments.scenarios import absolute_entries
from storage.clock import Clock, holding
from storage.errors import ConfigurationError, HasivuError
from storage.records import ComponentId, FailedComponent, MeasuredComponent, Report
from storage.runs import RunFolder
from tasks import attempts, judging, results, validation
from tasks.publish import publish_report

_VARIABLES = Variables(
    api_url="HASIVU_SUITE_API_URL",
    ws_url="HASIVU_SUITE_WS_URL",
    redis_url="HASIVU_SUITE_REDIS_URL",
    database_url="HASIVU_SUITE_DATABASE_URL",
)
_OF_ADDRESS: Mapping[str, tuple[str, tuple[ComponentId, ...]]] = {
    "base_url": ("api_url", (ComponentId.API, ComponentId.RFID)),
    "websocket_url": ("ws_url", (ComponentId.WEBSOCKET,)),
    "redis_url": ("redis_url", (ComponentId.CACHE,)),
}
_ENVIRON = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """What to load, and how: each address that is given adds its components (api and rfid, websocket, cache).

    `users`, `duration_s` and `ramp_up_s` are those of the environment's load; `scenario` (`FILE.py:NAME`, with
    weights) takes the place of the weighted endpoints of `base_url`; `components` picks some of those that the
    addresses allow; `overrides` are further fields as of `--set`. `environment` is whose file gives everything else,
    `output` where results go.
    """

    base_url: str | None = field(default=None, repr=False)
    websocket_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    users: int = 200
    duration_s: float = 1800
    ramp_up_s: float = 300
    scenario: str = ""
    components: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    environment: str = "development"
    output: str = ""


@dataclass(frozen=True)
class ComponentOutcome:
    """One component: `score` 0..100 and `measurements` by metric (those without labels), or why there are none.

    A measurement of None was not measured; `notes` says why, by metric.
    """

    measured: bool
    score: float | None
    measurements: Mapping[str, float | None]
    notes: Mapping[str, str]
    error: str = ""


@dataclass(frozen=True)
class SuiteResult:
    """What a run came to; `report` holds all of it, with the evidence.

    `score` 0..100 is the mean of what was measured, None where nothing was; `coverage` is the measured share of the
    weight of the whole platform, which a suite never measures completely.
    """

    run: str
    score: float | None
    coverage: float
    components: Mapping[str, ComponentOutcome]
    report: Report = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the report, in types that JSON knows."""
        return {
            "run": self.run,
            "score": self.score,
            "coverage": self.coverage,
            "components": {name: asdict(one) for name, one in self.components.items()},
        }


class RealTimePerformanceSuite:
    """See the module; `config` is a `SuiteConfig`, a dict of its fields, or its fields are given by keyword.

    `ConfigurationError` where a field is unknown or wrong, or no address is given.
    """

    def __init__(self, config: SuiteConfig | Mapping[str, Any] | None = None, **given: Any) -> None:
        if isinstance(config, SuiteConfig):
            self.config = config
        else:
            self.config = _config_of({**(config or {}), **given})
        self._components = _components_of(self.config)

    def run(self) -> SuiteResult:
        """Load every component, one after the other, and judge what was found; callable once at a time.

        A component that cannot be measured leaves the others alone and says why in the result.
        """
        with _addresses(self.config), holding(Clock.read()) as clock:
            return self._run(clock)

    def _run(self, clock: Clock) -> SuiteResult:
        params = self._params()
        started = clock.now()
        name = f"suite-{started:%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
        folder = validation.open_run(params, name, started)
        config = results.stored_config(folder)
        target = resolve_target(config)
        attempts.begin(folder, config, target, 1, opened=started, waited_s=0.0)
        failures: dict[str, str] = {}
        manifests = {}
        for component in self._components:
            try:
                manifests[component.value] = validation.measure_component(folder, component, 1)
            except HasivuError as error:
                failures[component.value] = validation.failure_text(error)
        attempts.end(folder, config, target, 1, clock)
        report = judging.judge(folder, manifests, failures)
        publish_report(folder, report)
        return _result(folder, report)

    def _params(self) -> ValidationParams:
        config = self.config
        overrides = {
            "users": str(config.users),
            "duration_s": f"{config.duration_s:g}",
            "ramp_up_s": f"{config.ramp_up_s:g}",
            **{f"variables.{name}": value for name, value in _VARIABLES.model_dump().items()},
            **({"scenario.file": absolute_entries(config.scenario)} if config.scenario else {}),
            **config.overrides,
        }
        params = ValidationParams.model_validate(
            {
                "profile": "custom",
                "base": config.environment,
                "components": tuple(one.value for one in self._components),
                "overrides": overrides,
                "output": config.output,
            }
        )
        configure(params)
        return params


def _config_of(given: Mapping[str, Any]) -> SuiteConfig:
    known = [one.name for one in fields(SuiteConfig)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigurationError([f"field {name!r} is unknown; fields are {', '.join(known)}" for name in unknown])
    return SuiteConfig(**given)


def _components_of(config: SuiteConfig) -> tuple[ComponentId, ...]:
    """The components that the given addresses allow, and that were asked for."""
    given = {name: pair for name, pair in _OF_ADDRESS.items() if getattr(config, name)}
    if not given:
        raise ConfigurationError([f"nothing to load: give one of {', '.join(_OF_ADDRESS)}"])
    if config.scenario and not config.base_url:
        raise ConfigurationError(["a scenario needs an address to ask: give base_url"])
    possible = [component for _, components in given.values() for component in components]
    if config.scenario:  # it takes the place of the weighted endpoints, and verifies cards itself where it wants to
        possible = [one for one in possible if one is not ComponentId.RFID]
    wrong = [one for one in config.components if one not in possible]
    if wrong:
        can = ", ".join(possible)
        raise ConfigurationError([f"component {one!r} has no address here; possible are {can}" for one in wrong])
    return tuple(one for one in possible if not config.components or one in config.components)


@contextmanager
def _addresses(config: SuiteConfig) -> Iterator[None]:
    """The addresses in the variables that the configuration names, for the block; a second suite is refused."""
    if not _ENVIRON.acquire(blocking=False):
        raise ConfigurationError(
            ["a suite runs already in this process: wait for it, since loads would disturb each other"]
        )
    names = _VARIABLES.model_dump()
    try:
        for field_name, (variable, _) in _OF_ADDRESS.items():
            address = getattr(config, field_name)
            if address:
                os.environ[names[variable]] = address
        yield
    finally:
        for name in names.values():
            os.environ.pop(name, None)
        _ENVIRON.release()


def _result(folder: RunFolder, report: Report) -> SuiteResult:
    scores = {one.component: one.score for one in report.score.components}
    outcomes: dict[str, ComponentOutcome] = {}
    for result in report.components:
        if isinstance(result, MeasuredComponent):
            plain = [one for one in result.measurements if not one.labels]
            outcomes[result.component.value] = ComponentOutcome(
                measured=True,
                score=scores.get(result.component),
                measurements={one.metric: one.value for one in plain},
                notes={one.metric: one.note for one in plain if one.note},
            )
        elif isinstance(result, FailedComponent):
            outcomes[result.component.value] = ComponentOutcome(
                measured=False, score=None, measurements={}, notes={}, error=result.error
            )
    return SuiteResult(folder.run, report.score.measured_mean, report.score.coverage, outcomes, report)
