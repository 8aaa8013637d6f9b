"""Reads how strict each environment's gate is (thresholds.toml), and which failures somebody answers for (waivers).

A waiver without owner, reason or end is refused with the whole file, as any wrong setting is; one that has ended, or
lasts too long, is refused by the judgement that meets it (tasks.judge.waivers), and named in the report.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from deployments.settings import Settings
from storage.errors import ConfigurationError
from storage.records import GatePolicy, Waiver

WAIVERS = Path(__file__).parent / "waivers.toml"
OWN_WAIVERS = "HASIVU_PERF_WAIVERS"
"""Variable with the file of waivers that takes the place of the one that comes with this program."""


class GateProfile(Settings):
    """One table `[gate.NAME]` of thresholds.toml: a policy, and the environments that it is for."""

    environments: tuple[str, ...] = ()
    blocks: bool = True
    score: float = Field(default=85.0, gt=0, le=100)
    required: tuple[str, ...] = ()
    self_test: bool = False

    def policy(self, name: str) -> GatePolicy:
        """The policy by its name."""
        return GatePolicy(name=name, **self.model_dump(exclude={"environments"}))


class _WaiverFile(Settings):
    waiver: tuple[Waiver, ...] = ()


def gate_policy(profiles: Mapping[str, GateProfile], environment: str, *, named: str | None = None) -> GatePolicy:
    """The policy of an environment, or the one `named`; an environment without a profile is gated strictly.

    Raises `ConfigurationError` for a name that is none, and where two profiles claim the environment.
    """
    if named is not None:
        if named not in profiles:
            raise ConfigurationError([f"no gate profile {named!r}; profiles are {', '.join(profiles)}"])
        return profiles[named].policy(named)
    found = [name for name, profile in profiles.items() if environment in profile.environments]
    if len(found) > 1:
        raise ConfigurationError([f"gate profiles {' and '.join(found)} both claim {environment}: let one do it"])
    strict = profiles.get("strict", GateProfile())
    return profiles[found[0]].policy(found[0]) if found else strict.policy("strict")


def load_waivers(environment: str, path: Path | None = None) -> tuple[Waiver, ...]:
    """The waivers that hold for an environment, ended ones too; a `ConfigurationError` names every wrong field."""
    file = path or Path(os.environ.get(OWN_WAIVERS) or WAIVERS)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        found = _WaiverFile.model_validate(data)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError([f"{file}: {error}"]) from error
    except ValidationError as error:
        lines = [
            f"{file}: {'.'.join(map(str, item['loc'])) or '(whole file)'}: {item['msg']}; a waiver has check, owner,"
            " reason and until"
            for item in error.errors(include_url=False)
        ]
        raise ConfigurationError(lines) from None
    return tuple(one for one in found.waiver if not one.environments or environment in one.environments)
