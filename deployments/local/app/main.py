"""Builds the application: routes, counting, and what lives as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp

from deployments.local.app import services as services_module
from deployments.local.app import settings
from deployments.local.app.counting import Counting
from deployments.local.app.http import Endpoint, RouteEntry, not_found
from deployments.local.app.routes import ALL, system
from deployments.local.app.services import Services
from deployments.local.app.websocket import PATH, WebSocketEndpoint, broadcast_stats


def create() -> ASGIApp:
    """The application by this process's environment; raises ConfigurationError where that is not complete."""
    return build(services_module.build(settings.read()))


def build(services: Services) -> ASGIApp:
    """The application over `services`, which it opens and closes."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await services.open()
        ticker = asyncio.create_task(broadcast_stats(services))
        try:
            yield
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker
            await services.close()

    router = Router(_routes(services), redirect_slashes=False, default=not_found, lifespan=lifespan)
    return Counting(router, services.counters)


def _routes(services: Services) -> list[BaseRoute]:
    names = frozenset(_name(method, path) for method, path, _ in ALL)
    faults: RouteEntry = ("POST", "/__platform__/faults", system.plan_faults(names))
    routes: list[BaseRoute] = [WebSocketRoute(PATH, WebSocketEndpoint(services))]
    for method, path, handler in (*ALL, *system.PLATFORM_ROUTES, faults):
        routes.append(Route(path, Endpoint(services, _name(method, path), handler), methods=[method]))
    return routes


def _name(method: str, path: str) -> str:
    return f"{method} {path}"
