"""Where the Dask scheduler of an environment is; its address stands in a variable, for it may hold what is secret."""

from __future__ import annotations

import os
from collections.abc import Mapping

from deployments.config import Scale
from storage.errors import ConfigurationError


def scheduler_address(scale: Scale, variables: Mapping[str, str] = os.environ) -> str | None:
    """The scheduler's address, None where the run needs none; an empty variable is a `ConfigurationError`."""
    if scale.address is None:
        return None
    if not variables.get(scale.address):
        problem = f"{scale.address} is not set; set it to the address of the Dask scheduler, or change [scale]"
        raise ConfigurationError([problem])
    return variables[scale.address]
