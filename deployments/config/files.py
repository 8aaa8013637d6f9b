"""Reads environment files and thresholds; every problem of a file is told at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from deployments.config.environment import Environment
from deployments.gates import GateProfile, gate_policy
from deployments.settings import Settings
from storage.errors import ConfigurationError
from storage.records import ComponentId, GatePolicy, Threshold

ENVIRONMENTS = Path(__file__).parents[1] / "environments"

OWN_ENVIRONMENTS = "HASIVU_PERF_ENVIRONMENTS"
"""Variable with the folder of environment files that take the place of those that come with this program."""

THRESHOLDS = Path(__file__).parents[1] / "thresholds.toml"


def problems_of(error: ValidationError, where: str) -> list[str]:
    """One line per problem: file, field, what is wrong and what was given (never for secrets)."""
    lines = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        lines.append(f"{where}: {field}: {item['msg']}")
    return lines


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: no such file; environments are {', '.join(known())}"]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError([f"{path}: {error}"]) from error


def environments_folder() -> Path:
    """Where the environment files lie; a folder that is named and is not there is a `ConfigurationError`."""
    own = os.environ.get(OWN_ENVIRONMENTS)
    if own and not Path(own).is_dir():
        raise ConfigurationError([f"{OWN_ENVIRONMENTS} names no folder: {own}; set it to one with *.toml files"])
    return Path(own) if own else ENVIRONMENTS


def known(folder: Path | None = None) -> list[str]:
    """Names of the environments that have a file."""
    return sorted(path.stem for path in (folder or environments_folder()).glob("*.toml"))


def load_environment(name: str, folder: Path | None = None) -> Environment:
    """Read `folder/name.toml`; a `ConfigurationError` holds every problem of it."""
    path = (folder or environments_folder()) / f"{name}.toml"
    return validate_environment(_read_toml(path), str(path))


def validate_environment(data: Mapping[str, Any], where: str) -> Environment:
    """The settings as an environment; `where` names their file in the `ConfigurationError`."""
    try:
        return Environment.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, where)) from None


class _ThresholdFile(Settings):
    weights: Mapping[ComponentId, float]
    threshold: tuple[Threshold, ...]
    environment: Mapping[str, Mapping[str, Mapping[str, Any]]] = Field(default_factory=dict)
    gate: Mapping[str, GateProfile] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(self.weights.values())
        if abs(total - 1) > 1e-9:  # noqa: PLR2004 - rounding of a decimal sum
            msg = f"weights add up to {total}, not 1"
            raise ValueError(msg)
        return self


def load_thresholds(
    environment: str | None = None, path: Path = THRESHOLDS
) -> tuple[tuple[Threshold, ...], Mapping[ComponentId, float]]:
    """Thresholds with an environment's overrides applied, and the components' weights."""
    file = _threshold_file(environment, path)
    return file.threshold, file.weights


def load_gate(environment: str, path: Path = THRESHOLDS, *, named: str | None = None) -> GatePolicy:
    """How strict an environment's gate is; `named` asks for a profile by its name instead."""
    return gate_policy(_threshold_file(None, path).gate, environment, named=named)


def _threshold_file(environment: str | None, path: Path) -> _ThresholdFile:
    data = _read_toml(path)
    overrides = data.get("environment", {}).get(environment, {}) if environment else {}
    for row in data.get("threshold", []):
        row.update(overrides.get(row.get("metric"), {}))
    try:
        return _ThresholdFile.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, str(path))) from None
