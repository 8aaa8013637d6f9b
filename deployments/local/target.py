"""The embedded platform in the place of every environment that has no addresses: any profile can be tried."""

from __future__ import annotations

import os
from collections.abc import Mapping

from deployments.config import known, load_environment
from deployments.local.platform import Platform
from deployments.parameters import EMBEDDED

_AWS = "AWS_"
_PROFILE = "AWS_PROFILE"


def stand_in(running: Platform, variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The platform's addresses under the names of each environment none of whose variables is set.

    A single missing one beside others is not filled in: half of an environment would be another one. The AWS API
    stands in only where it can be taken for nobody else's: every environment is embedded, and no account is named.
    """
    without = [name for name in known() if not any(variables.get(one) for one in _names(name))]
    aws = {name: value for name, value in running.environment.items() if name.startswith(_AWS)}
    found = {k: v for name in without for k, v in running.variables(name.upper()).items() if not k.startswith(_AWS)}
    if without == known() and not any(variables.get(name) for name in (*aws, _PROFILE)):
        found |= aws
    return {**found, EMBEDDED: ",".join(without)} if without else {}


def _names(environment: str) -> list[str]:
    return list(load_environment(environment).variables.model_dump().values())
