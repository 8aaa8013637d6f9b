"""The parameters of a flow run: what the form in the Prefect UI asks for. They never hold a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from deployments.config import Profile, RunConfig, build_config
from deployments.scenarios import absolute_entries
from storage.errors import UsageError
from storage.records import ComponentId

_COMPONENTS: JsonDict = {"items": {"type": "string", "enum": [component.value for component in ComponentId]}}
"""What the run form offers where it asks for components."""


OUTPUT = "HASIVU_PERF_OUTPUT"
"""Variable with the output root of runs that name none."""

EMBEDDED = "HASIVU_PERF_EMBEDDED"
"""Variable with the environments, separated by commas, whose addresses are those of the embedded platform."""

Base = Literal["development", "staging", "production"]

Named = Annotated[str | None, Field(max_length=100), BeforeValidator(lambda given: given or None)]
"""A name that may be left out; an event without it fills its template with an empty text."""


class ValidationParams(BaseModel):
    """What to validate, and where the results go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile = Field(default="development", description="which environment and load")
    base: Base = Field(default="development", description="the environment behind 'quick' and 'custom'")
    components: tuple[str, ...] = Field(
        default=(), description="only these components; empty: all of the profile", json_schema_extra=_COMPONENTS
    )
    overrides: Mapping[str, str] = Field(default_factory=dict, description="fields, e.g. users: 200")
    release: Named = Field(default=None, description="the release that is validated")
    commit: Named = Field(default=None, description="what the release was built from")
    baseline: Named = Field(
        default=None, description="run or release to compare with; by default the previous release's run"
    )
    output: str = Field(
        default="", description=f"folder or s3:// bucket of the results; by default {OUTPUT} of the worker, else here"
    )
    run: str | None = Field(default=None, description="name of the run; by default made from the flow run")
    again: tuple[str, ...] = Field(
        default=(),
        description="measure these components of the existing run 'run' again, then judge and publish it again",
        json_schema_extra=_COMPONENTS,
    )
    local: bool = Field(default=False, description="the embedded platform stands in for the environment")


def output_root(params: ValidationParams) -> str:
    """Where the results go: the parameter, else the worker's variable, else the current folder."""
    return params.output or os.environ.get(OUTPUT) or "."


def configure(params: ValidationParams) -> RunConfig:
    """The validated configuration that parameters ask for; `UsageError` where they contradict each other."""
    if params.again and not params.run:
        raise UsageError("again names components of an existing run: name it by run")
    if params.again:  # a wrong name is refused; which components the run has is stored with it
        build_config(params.profile, base=params.base, components=params.again)
    return build_config(
        params.profile,
        base=params.base,
        components=params.components,
        overrides=params.overrides,
        local=params.local or _stood_in(params),
    )


def base_of(config: RunConfig) -> Base:
    """The environment behind a configuration, as the parameter names it."""
    found = next((name for name in get_args(Base) if name == config.environment.name), None)
    if found is None:
        raise UsageError(f"{config.environment.name} is none of {', '.join(get_args(Base))}")
    return cast("Base", found)


def _stood_in(params: ValidationParams) -> bool:
    """Whether this machine lets the embedded platform stand in for the environment that is asked for."""
    environment = params.base if params.profile in ("quick", "custom") else params.profile
    return environment in os.environ.get(EMBEDDED, "").split(",")


@dataclass(frozen=True)
class Overrides:
    """What the command line changes of an environment for one run.

    Parameters
    ----------
    users
        Users that each send one request per pace.
    duration
        Seconds of load.
    ramp_up
        Seconds of them in which the rate rises.
    scenario
        Your own test in place of the weighted endpoints: FILE.py:NAME, or FILE.py:A=3,FILE.py:B=1
    set
        Any field of the environment: --set api.timeout_s=5
    """

    users: int | None = None
    duration: float | None = None
    ramp_up: float | None = None
    scenario: str | None = None
    set: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, str]:
        """As `field: value`; `UsageError` where a pair has no equals sign."""
        wrong = [one for one in self.set if "=" not in one]
        if wrong:
            raise UsageError(f"--set {wrong[0]} is not field=value")
        load = {"users": self.users, "duration_s": self.duration, "ramp_up_s": self.ramp_up}
        given = {name: f"{value:g}" for name, value in load.items() if value is not None}
        given |= {"scenario.file": absolute_entries(self.scenario)} if self.scenario else {}
        return given | dict(one.split("=", 1) for one in self.set)
