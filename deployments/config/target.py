"""The addresses of a run, read from variables when it starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from pydantic import Field, SecretStr

from deployments.config.run import RunConfig
from deployments.settings import Settings
from storage.errors import ConfigurationError
from storage.records import ComponentId

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Target(Settings):
    """The addresses of one environment, resolved; secrets never leave `SecretStr` but at the wire."""

    api_url: SecretStr | None = None
    ws_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    database_url: SecretStr | None = None
    pooler_url: SecretStr | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict, description="of every HTTP request")
    variables: Mapping[str, SecretStr] = Field(default_factory=dict, description="of the scenario")
    tokens: tuple[SecretStr, ...] = Field(
        default=(), description="values of variables that stand in headers and in the scenario's variables"
    )
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    local: bool = Field(default=False, description="generator and target share a machine: load is indicative only")


NEEDS: dict[ComponentId, tuple[str, ...]] = {
    ComponentId.DATABASE: ("database_url",),
    ComponentId.LAMBDA: (),
    ComponentId.API: ("api_url",),
    ComponentId.WEBSOCKET: ("ws_url",),
    ComponentId.CACHE: ("redis_url",),
    ComponentId.RFID: ("api_url",),
}
"""Which addresses a component needs."""


def missing_variables(config: RunConfig, variables: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the variables that the chosen components need and that are not set."""
    names = {getattr(config.environment.variables, need) for c in config.components for need in NEEDS[c]}
    missing = sorted(name for name in names if not variables.get(name))
    if ComponentId.LAMBDA in config.components and not variables.get("AWS_REGION"):
        missing.append("AWS_REGION")
    return missing + sorted(name for name in _secret_variables(config) if not variables.get(name))


def header_variables(config: RunConfig) -> frozenset[str]:
    """Names of the variables that the headers of HTTP requests hold, where a chosen component sends some."""
    if not _sends(config):
        return frozenset()
    return frozenset(name for value in config.environment.api.headers.values() for name in _VARIABLE.findall(value))


def _secret_variables(config: RunConfig) -> frozenset[str]:
    """Names of all variables whose values a load sends along."""
    scenario = config.environment.scenario.variable_names() if _runs_scenario(config) else frozenset()
    return header_variables(config) | scenario


def needs_platform(config: RunConfig, variables: Mapping[str, str] = os.environ) -> bool:
    """Whether the embedded platform stands in for the environment.

    It does with `--local`, and where the environment's file allows it and none of its addresses is set. A variable
    that is missing beside others that are set is an error, not a reason to measure something else.
    """
    if config.local:
        return True
    missing = missing_variables(config, variables)
    if not missing:
        return False
    names = config.environment.variables.model_dump().values()
    if config.environment.embedded and not any(variables.get(name) for name in names):
        return True
    raise ConfigurationError([f"{name} is not set; set it, or use --local" for name in missing])


def resolve_target(config: RunConfig, variables: Mapping[str, str] = os.environ) -> Target:
    """Read the addresses of a run from variables; a missing one is a `ConfigurationError` that names it."""
    missing = missing_variables(config, variables)
    if missing:
        raise ConfigurationError([f"{name} is not set; set it, or use --local" for name in missing])
    names = config.environment.variables
    headers = config.environment.api.headers if _sends(config) else {}
    return Target(
        api_url=_secret(variables, names.api_url),
        ws_url=_secret(variables, names.ws_url),
        redis_url=_secret(variables, names.redis_url),
        database_url=_secret(variables, names.database_url),
        pooler_url=_secret(variables, config.environment.database.pooler_variable or ""),
        headers={name: SecretStr(_filled(value, variables)) for name, value in headers.items()},
        variables=config.environment.scenario.filled(variables) if _runs_scenario(config) else {},
        tokens=tuple(SecretStr(variables[name]) for name in sorted(_secret_variables(config))),
        aws_region=variables.get("AWS_REGION"),
        aws_endpoint_url=variables.get("AWS_ENDPOINT_URL"),
        local=config.local,
    )


def _sends(config: RunConfig) -> bool:
    return bool({ComponentId.API, ComponentId.RFID} & set(config.components))


def _runs_scenario(config: RunConfig) -> bool:
    return bool(config.environment.scenario.file) and ComponentId.API in config.components


def _filled(value: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables[found.group(1)], value)


def _secret(variables: Mapping[str, str], name: str) -> SecretStr | None:
    value = variables.get(name)
    return SecretStr(value) if value else None
