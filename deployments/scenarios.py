"""The `[scenario]` table of an environment file: a user's own test in place of the weighted endpoints.

It holds names of variables, never a secret: `${NAME}` is filled in from the environment when the load starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from deployments.settings import Settings
from storage.errors import ConfigurationError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ENTRY = re.compile(r"^(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)(?:=(?P<weight>\d+(?:\.\d+)?))?$")
_FORM = "FILE.py:NAME, or FILE.py:NAME=WEIGHT,FILE.py:NAME=WEIGHT"


@dataclass(frozen=True)
class Entry:
    """A function of a file, and how often it is chosen in proportion to others."""

    file: str
    name: str
    weight: float = 1.0


def parse_entries(text: str) -> list[Entry]:
    """`lunch.py:lunch=3,lunch.py:browse=1` taken apart; `ValueError` says what is wrong with it."""
    entries = []
    for part in text.split(","):
        found = _ENTRY.match(part.strip())
        if found is None:
            raise ValueError(f"scenario {part.strip()!r} is not {_FORM}")
        entries.append(Entry(found["file"], found["name"], float(found["weight"] or 1)))
    names = [one.name for one in entries]
    if len(set(names)) < len(names):
        raise ValueError("scenarios need names of their own, since figures are told apart by them: rename one")
    if not any(one.weight for one in entries):
        raise ValueError("every scenario has the weight 0: give one a weight above it")
    return entries


def absolute_entries(text: str, folder: Path | None = None) -> str:
    """The same with absolute paths, since the process that runs it may have another folder than its caller.

    A relative path begins at `folder`, else at the current one. `ConfigurationError` where it cannot be read so.
    """
    try:
        entries = parse_entries(text)
    except ValueError as error:
        raise ConfigurationError([str(error)]) from None
    return ",".join(f"{(folder or Path()).joinpath(one.file).resolve()}:{one.name}={one.weight:g}" for one in entries)


class SigV4Settings(Settings):
    """Requests are signed by AWS Signature Version 4, with the credentials that boto3's chain finds."""

    service: str = "execute-api"
    region: str = Field(min_length=1)


class ScenarioSettings(Settings):
    """Which scenario files run, and how; without `file` the weighted endpoints of `[api]` are asked instead."""

    file: str = Field(default="", description="FILE.py:NAME[=WEIGHT], several separated by commas; empty for none")
    model: Literal["open", "closed"] = Field(
        default="open",
        description="open: journeys begin at users ÷ pace_s a second, whatever the target does; closed: each user "
        "begins its next journey when the last one has ended and its pace has passed",
    )
    variables: Mapping[str, str] = Field(default_factory=dict, description="what `user.variables` holds")
    hosts: tuple[str, ...] = Field(default=(), description="further hosts that may be asked, redirects included")
    harmless: tuple[str, ...] = Field(
        default=("/auth/login", "/rfid/verify", "/rfid/verify-bulk"),
        description="paths that change nothing by any method: asked also where the environment forbids writes",
    )
    drain_s: float = Field(default=30, ge=0, le=600, description="how long journeys may go on after the load's end")
    most_users: int | None = Field(
        default=None, ge=1, le=100_000, description="journeys under way at once in the open model; further ones wait"
    )
    sigv4: SigV4Settings | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.file:
            parse_entries(self.file)
        return self

    def variable_names(self) -> frozenset[str]:
        """Names of the environment variables that a load needs."""
        if not self.file:
            return frozenset()
        return frozenset(name for value in self.variables.values() for name in _VARIABLE.findall(value))

    def filled(self, variables: Mapping[str, str]) -> dict[str, SecretStr]:
        """`variables` with each `${NAME}` filled in; all of `variable_names` must be there."""
        return {
            name: SecretStr(_VARIABLE.sub(lambda found: variables[found.group(1)], value))
            for name, value in self.variables.items()
        }
