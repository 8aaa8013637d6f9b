"""Faults that tests plan: latency, errors and broken connections, by route, in exact shares.

A plan is JSON: {"GET /orders/{orderId}": {"latencyMs": 200, "errorShare": 0.1, "dropShare": 0}, "*": {…}}. A route is
a method and a path template, "WS /ws" or "*" for all that are not named. Shares are not drawn: every 1/share-th
request is struck, so a test can count on them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

ALL = "*"
WEBSOCKET = "WS /ws"

Share = Annotated[float, Field(ge=0, le=1)]


class Fault(BaseModel):
    """What happens on one route: `latency_ms` is added to every request before it is worked on, `error_share` of
    them get 503 (a WebSocket message an error), `drop_share` no whole answer (the connection is closed; a WebSocket
    message is ignored; at 1 handshakes are refused).
    """  # noqa: D205 - one sentence for three fields

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    latency_ms: Annotated[float, Field(ge=0, le=60_000)] = 0
    error_share: Share = 0
    drop_share: Share = 0


Plan = dict[str, Fault]
PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


class InjectedError(Exception):
    """A planned error: the request gets 503."""


class InjectedDropError(Exception):
    """A planned break: the request gets no whole answer."""


class Faults:
    """The plan in force, and how many requests of each route it has seen."""

    def __init__(self, text: str = "") -> None:
        self._plan: Plan = PLAN.validate_json(text) if text else {}
        self._seen: Counter[str] = Counter()

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self._plan

    def replace(self, plan: Plan) -> None:
        """Put another plan in force; its shares start anew."""
        self._plan = plan
        self._seen.clear()

    def unknown(self, plan: Plan, routes: Iterable[str]) -> list[str]:
        """The routes of `plan` that the application does not serve."""
        known = {*routes, WEBSOCKET, ALL}
        return [route for route in plan if route not in known]

    def refuses(self, route: str) -> bool:
        """Whether every connection of `route` is to be refused."""
        fault = self._fault(route)
        return fault is not None and fault.drop_share >= 1

    async def strike(self, route: str) -> None:
        """Delay one request of `route`; raise InjectedError or InjectedDropError where its turn has come."""
        fault = self._fault(route)
        if fault is None:
            return
        seen = self._seen[route] = self._seen[route] + 1
        if fault.latency_ms:
            await asyncio.sleep(fault.latency_ms / 1000)
        if due(fault.drop_share, seen):
            raise InjectedDropError(route)
        if due(fault.error_share, seen):
            raise InjectedError(route)

    def _fault(self, route: str) -> Fault | None:
        return (self._plan.get(route) or self._plan.get(ALL)) if self._plan else None


def due(share: float, nth: int) -> bool:
    """Whether the `nth` event (from 1) is one of an exact share of all: of n events floor(n × share) are."""
    return int(nth * share + 1e-9) > int((nth - 1) * share + 1e-9)
