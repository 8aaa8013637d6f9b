"""The configuration of one run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from deployments.config.environment import Environment
from deployments.config.files import load_environment, load_gate, load_thresholds, validate_environment
from deployments.gates import load_waivers
from deployments.settings import Settings
from storage.errors import ConfigurationError
from storage.records import ComponentId, GatePolicy, Threshold, Waiver

PROFILES = ("development", "staging", "production", "quick", "custom")

Profile = Literal["development", "staging", "production", "quick", "custom"]


class RunConfig(Settings):
    """All that one run may do, without any secret: stored with the run, handed to tasks and flows as JSON."""

    profile: Profile
    environment: Environment
    components: tuple[ComponentId, ...]
    thresholds: tuple[Threshold, ...]
    weights: Mapping[ComponentId, float]
    overrides: Mapping[str, str] = Field(default_factory=dict)
    local: bool = False
    gate: GatePolicy = Field(default_factory=GatePolicy)
    waivers: tuple[Waiver, ...] = ()


def _with_overrides(environment: Environment, overrides: Mapping[str, str]) -> Environment:
    """Apply dotted `field=value` pairs; a bare field of the load profile may leave out `load.`."""
    data = environment.model_dump(mode="json")
    problems = []
    for dotted, value in overrides.items():
        *parents, leaf = (dotted if "." in dotted else f"load.{dotted}").split(".")
        node: Any = data
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf not in node:
            problems.append(
                f"--set {dotted}={value}: no such field; fields of the load are {', '.join(data['load'])}"
            )
            continue
        try:
            node[leaf] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            node[leaf] = value
    if problems:
        raise ConfigurationError(problems)
    return validate_environment(
        data, f"{environment.name} with {', '.join(f'{k}={v}' for k, v in overrides.items())}"
    )


def build_config(
    profile: str,
    *,
    base: str = "development",
    components: tuple[str, ...] = (),
    overrides: Mapping[str, str] | None = None,
    local: bool = False,
    folder: Path | None = None,
) -> RunConfig:
    """The configuration of one run: a profile's file, the thresholds, and what the caller overrode.

    `quick` is the database of `base` alone, `custom` is `base` with any field overridden.
    """
    if profile not in PROFILES:
        raise ConfigurationError([f"profile {profile!r} is unknown; profiles are {', '.join(PROFILES)}"])
    name = base if profile in ("quick", "custom") else profile
    environment = _with_overrides(load_environment(name, folder), overrides or {})
    unknown = [c for c in components if c not in set(ComponentId)]
    if unknown:
        known_ids = ", ".join(ComponentId)
        raise ConfigurationError([f"component {c!r} is unknown; components are {known_ids}" for c in unknown])
    chosen = tuple(ComponentId(c) for c in components)
    if not chosen:
        chosen = (ComponentId.DATABASE,) if profile == "quick" else environment.components
    off = [c for c in chosen if c not in environment.components]
    if off:
        raise ConfigurationError([f"component {c} is switched off in the environment {name}" for c in off])
    thresholds, weights = load_thresholds(name)
    return RunConfig.model_validate(
        {
            "profile": profile,
            "environment": environment,
            "components": chosen,
            "thresholds": thresholds,
            "weights": weights,
            "overrides": dict(overrides or {}),
            "local": local,
            "gate": load_gate(name),
            "waivers": load_waivers(name),
        }
    )
