"""What a Prefect server of ours should hold, as prefect.yaml declares it: the one truth about deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from deployments.config import problems_of
from deployments.settings import Settings
from storage.errors import ConfigurationError

PREFECT_YAML = Path(__file__).resolve().parent.parent / "prefect.yaml"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What setting one thing up came to; its text is one line for a person."""

    thing: str
    what: Literal["created", "changed", "unchanged"]

    def __str__(self) -> str:
        return f"{self.what:<9}  {self.thing}"


class Schedule(Settings):
    """When a deployment runs by itself. By the slug it is found again on the server."""

    slug: str
    cron: str
    timezone: str
    active: bool = True
    parameters: Mapping[str, Any] = Field(default_factory=dict, description="in place of the deployment's")


class Pool(Settings):
    """The work pool that gets a deployment's runs."""

    name: str


class Declared(Settings):
    """One deployment of prefect.yaml."""

    name: str
    description: str
    entrypoint: str = Field(pattern=r"^[a-z_]+(\.[a-z_]+)+$", description="module and flow: nothing is copied for it")
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    work_pool: Pool
    schedules: tuple[Schedule, ...] = ()
    triggers: tuple[dict[str, Any], ...] = Field(default=(), description="as Prefect's DeploymentEventTrigger")


class _File(Settings):
    """Other keys of prefect.yaml are Prefect's own."""

    deployments: tuple[Declared, ...] = Field(min_length=1)


def declared_deployments(path: Path = PREFECT_YAML) -> tuple[Declared, ...]:
    """The deployments of prefect.yaml; a `ConfigurationError` holds every problem of the file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _File.model_validate({"deployments": content["deployments"]}).deployments
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigurationError([f"{path}: it cannot be read as Prefect's deployments: {error}"]) from error
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, str(path))) from None
