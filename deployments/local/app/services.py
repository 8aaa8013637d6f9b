"""What every handler works with: the database, the cache, the subscribers, the counts and the planned faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from deployments.local.app.cache import Cache
from deployments.local.app.counting import Counters
from deployments.local.app.database import Database
from deployments.local.app.faults import Faults
from deployments.local.app.hub import Hub
from deployments.local.app.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that lives as long as the application."""

    settings: Settings
    database: Database
    cache: Cache
    hub: Hub
    counters: Counters
    faults: Faults
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def open(self) -> None:
        """Begin to connect."""
        await self.database.open()

    async def close(self) -> None:
        """Close every connection."""
        await self.database.close()
        await self.cache.close()


def build(settings: Settings) -> Services:
    """Everything, connected to nothing yet."""
    counters = Counters()
    return Services(
        settings=settings,
        database=Database(settings.database_url, settings.pool_size),
        cache=Cache(settings.redis_url, counters.cache),
        hub=Hub(counters.websocket),
        counters=counters,
        faults=Faults(settings.fault_plan),
    )
