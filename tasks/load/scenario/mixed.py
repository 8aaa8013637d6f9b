"""The weighted endpoints of an environment as journeys of one request each: what users of a closed model ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx

from deployments.config import ValueRange
from tasks.load.mix import Request
from tasks.load.scenario.file import Scenario
from tasks.load.scenario.user import User
from tasks.load.wire.address import Address

_JSON = {"content-type": "application/json"}


def scenarios_of(mix: Mapping[str, Any], address: Address) -> list[Scenario]:
    """One for each endpoint of a plan's `mix`; its requests have the endpoint's name, and its statuses are good."""
    values = {name: ValueRange.model_validate(value) for name, value in mix["values"].items()}
    base = replace(address, path="")  # the client has the rest of the URL
    return [
        Scenario(str(one["name"]), float(one["weight"]), _asking(Request(one, values, base, {})), None, None)
        for one in mix["endpoints"]
    ]


def _asking(request: Request) -> Callable[[User], Awaitable[None]]:
    named = {"name": request.name}

    async def ask(user: User) -> None:
        method, target, body = request.parts(user.rng)
        user.exactly = request.expect
        with suppress(httpx.TransportError):  # it has a row, which tells its kind
            if body is None:
                await user.http.request(method, target, extensions=named)
            else:
                await user.http.request(method, target, content=body, headers=_JSON, extensions=named)

    return ask
