"""The application's cache: values are JSON bytes, keys and lifetimes those of facts/redis_keys.json.

A cache that fails never fails a request: the error is counted and the database is asked instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from deployments.local.app.counting import CacheCounters

CONNECTIONS = 16
TIMEOUT_S = 1.0

DEFAULT_S = 300
SHORT_S = 60
MEDIUM_S = 600
ATTEMPTS_S = 1800
USER_PROFILE_S = 3600
CSRF_S = 3600
ORDER_LIST_S = 300
PAYMENT_METHODS_S = 1800
SUBSCRIPTION_PLAN_S = 3600
DAY_S = 86_400


class Cache:
    """Reads and writes with counts by key family; errors of the server are counted, not raised."""

    def __init__(self, url: str, counters: CacheCounters) -> None:
        retry = Retry(NoBackoff(), 1)  # one: a pooled connection may have been closed by a restarted server
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=retry,
            client_name="hasivu-api",
        )
        self._redis: Redis = Redis(connection_pool=self._pool)
        self._counters = counters

    async def ping(self) -> bool:
        """Whether the server answers."""
        try:
            return bool(await self._redis.ping())
        except (RedisError, OSError):
            self._counters.errors += 1
            return False

    async def get(self, key: str) -> bytes | None:
        """The value of `key`, None where there is none or the server fails."""
        return (await self.get_many((key,)))[0]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of `keys`, in their order, in one command."""
        if not keys:
            return []
        try:
            values = cast("list[bytes | None]", await self._redis.mget(keys))
        except (RedisError, OSError):
            self._counters.errors += 1
            values = [None] * len(keys)
        hits, misses = self._counters.hits, self._counters.misses
        for key, value in zip(keys, values, strict=True):
            (misses if value is None else hits)[family(key)] += 1
        return values

    async def set(self, key: str, value: bytes, ttl_s: int) -> bool:
        """Store `value` for `ttl_s` seconds; False where the server failed."""
        self._counters.writes[family(key)] += 1
        try:
            await self._redis.set(key, value, ex=ttl_s)
        except (RedisError, OSError):
            self._counters.errors += 1
            return False
        return True

    async def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> bool:
        """Store several values for `ttl_s` seconds in one round trip; False where the server failed."""
        if len(values) == 1:
            ((key, value),) = values.items()
            return await self.set(key, value, ttl_s)
        if not values:
            return True
        pipeline = self._redis.pipeline(transaction=False)
        for key, value in values.items():
            self._counters.writes[family(key)] += 1
            pipeline.set(key, value, ex=ttl_s)
        try:
            await pipeline.execute()
        except (RedisError, OSError):
            self._counters.errors += 1
            return False
        return True

    async def increment(self, key: str, ttl_s: int) -> int:
        """Count one more on `key`, which lives `ttl_s` seconds from now; 0 where the server failed."""
        self._counters.writes[family(key)] += 1
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.incr(key)
        pipeline.expire(key, ttl_s)
        try:
            return int((await pipeline.execute())[0])
        except (RedisError, OSError):
            self._counters.errors += 1
            return 0

    async def delete(self, *keys: str) -> None:
        """Forget `keys`."""
        try:
            await self._redis.delete(*keys)
        except (RedisError, OSError):
            self._counters.errors += 1

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._pool.disconnect()


def family(key: str) -> str:
    """The part of a key by which its figures are kept: all before the first colon."""
    return key.partition(":")[0]
