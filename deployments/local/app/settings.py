"""What the application reads from its environment, once, when it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.errors import ConfigurationError

POOL_SIZE = 10
TICK_S = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The application's settings; addresses may hold passwords and are kept out of its repr.

    `pool_size` is the largest number of database connections, `tick_s` the seconds between two broadcasts of
    `realtime_stats`, `fault_plan` JSON as POST /__platform__/faults takes it ("" plans none).
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    release: str = "local"
    pool_size: int = POOL_SIZE
    tick_s: float = TICK_S
    faults_allowed: bool = False
    fault_plan: str = ""


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raise ConfigurationError with every problem, one line each, none with a value in it."""
    problems: list[str] = []
    settings = Settings(
        database_url=_required(environment, "DATABASE_URL", problems),
        redis_url=_required(environment, "REDIS_URL", problems),
        release=environment.get("PLATFORM_RELEASE") or "local",
        pool_size=_whole(environment, "PLATFORM_POOL_SIZE", POOL_SIZE, problems),
        tick_s=_number(environment, "PLATFORM_TICK_S", TICK_S, problems),
        faults_allowed=environment.get("PLATFORM_FAULTS") == "1",
        fault_plan=environment.get("PLATFORM_FAULT_PLAN", ""),
    )
    if problems:
        raise ConfigurationError(problems)
    return settings


def _required(environment: Mapping[str, str], name: str, problems: list[str]) -> str:
    value = environment.get(name, "")
    if not value:
        problems.append(f"{name} is not set: the application needs it to start")
    return value


def _whole(environment: Mapping[str, str], name: str, default: int, problems: list[str]) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        problems.append(f"{name} is not a whole number above 0: correct or remove it")
        return default
    return int(text)


def _number(environment: Mapping[str, str], name: str, default: float, problems: list[str]) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        problems.append(f"{name} is not a number above 0: correct or remove it")
        return default
    return value
