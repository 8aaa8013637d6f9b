"""Health and status of the platform, and what only this embedded platform has: its counts and planned faults."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout
from pydantic import ValidationError

from deployments.local.app.faults import PLAN, Plan
from deployments.local.app.http import (
    Answer,
    Call,
    Handler,
    InvalidInputError,
    NotFoundError,
    RouteEntry,
    problems_of,
)
from deployments.local.app.services import Services
from deployments.local.identity import SEED_VERSION

_DATABASE_FAILURES = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)


async def health(call: Call) -> Answer:
    """Whether database and cache answer: 200, or 503 that says which does not."""
    checks = await _checks(call.services)
    healthy = all(state == "up" for state in checks.values())
    return Answer({"status": "healthy" if healthy else "unhealthy", "checks": checks}, 200 if healthy else 503)


async def status(call: Call) -> Answer:
    """The build: release, version, start; by them a report says what it measured."""
    services = call.services
    return Answer(
        {
            "service": "hasivu-api",
            "release": services.settings.release,
            "version": version("hasivu-perf"),
            "seedVersion": SEED_VERSION,
            "startedAt": services.started_at,
            "checks": await _checks(services),
        }
    )


async def ready(call: Call) -> Answer:
    """The readiness probe: as /health, but never counted."""
    return await health(call)


async def counters(call: Call) -> Answer:
    """Everything that the application counted since its start."""
    services, counts = call.services, call.services.counters
    sockets = counts.websocket
    return Answer(
        {
            "startedAt": services.started_at,
            "process": os.getpid(),
            "http": counts.http(),
            "httpTotals": counts.totals(),
            "broken": counts.broken(),
            "websocket": {
                "connections": sockets.connections,
                "open": sockets.open,
                "refused": sockets.refused,
                "messages": dict(sorted(sockets.received.items())),
                "sent": dict(sorted(sockets.sent.items())),
                "dropped": sockets.dropped,
            },
            "cache": {"families": counts.cache.families(), "errors": counts.cache.errors},
            "pool": services.database.pool(),
        }
    )


async def faults(call: Call) -> Answer:
    """The faults planned now."""
    return Answer(_dump(call.services.faults.plan))


def plan_faults(routes: frozenset[str]) -> Handler:
    """The handler that replaces the plan; `routes` are those that a plan may name."""

    async def handler(call: Call) -> Answer:
        services = call.services
        if not services.settings.faults_allowed:
            raise NotFoundError("PLATFORM_FAULTS", "Faults are off: start the application with PLATFORM_FAULTS=1")
        try:
            plan = PLAN.validate_json(call.body)
        except ValidationError as error:
            raise InvalidInputError(problems_of(error)) from None
        unknown = services.faults.unknown(plan, routes)
        if unknown:
            raise InvalidInputError([(route, "is no route of the application") for route in unknown])
        services.faults.replace(plan)
        return Answer(_dump(plan))

    return handler


def _dump(plan: Plan) -> dict[str, Any]:
    return {route: fault.model_dump(by_alias=True) for route, fault in plan.items()}


async def _checks(services: Services) -> dict[str, str]:
    try:
        await services.database.row("SELECT 1 AS one")
        database = "up"
    except _DATABASE_FAILURES:
        database = "down"
    return {"database": database, "cache": "up" if await services.cache.ping() else "down"}


ROUTES: tuple[RouteEntry, ...] = (("GET", "/health", health), ("GET", "/status", status))
PLATFORM_ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/__platform__/ready", ready),
    ("GET", "/__platform__/status", status),
    ("GET", "/__platform__/counters", counters),
    ("GET", "/__platform__/faults", faults),
)
