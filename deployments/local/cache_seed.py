"""Fills the cache as a school day leaves it: key families of facts/redis_keys.json with their times to live.

Each SQL file of seed/cache is one family and gives key, value and seconds to live (NULL: for ever). The families that
the application reads hold what it would have written. `payment_analytics` is left empty: see defects.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import psycopg
import redis

from storage.errors import LocalPlatformError

FOLDER = Path(__file__).parent / "seed" / "cache"
TIMEOUT_S = 10


def families() -> tuple[str, ...]:
    """The families that are filled, by name."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.sql")))


def fill(redis_url: str, database_url: str) -> dict[str, int]:
    """Write all families; the values come from the database. Returns the number of keys of each.

    Raises LocalPlatformError where the database or the cache fails.
    """
    try:
        with (
            psycopg.connect(database_url, autocommit=True) as connection,
            redis.Redis.from_url(redis_url, socket_timeout=TIMEOUT_S) as client,
        ):
            return {name: _fill_family(name, connection, client) for name in families()}
    except (psycopg.Error, redis.RedisError) as error:
        raise LocalPlatformError(f"the cache could not be filled: {error}") from error


def _fill_family(name: str, connection: psycopg.Connection[tuple[object, ...]], client: redis.Redis) -> int:
    statement = (FOLDER / f"{name}.sql").read_bytes()
    rows = cast("list[tuple[str, str, int | None]]", connection.execute(statement).fetchall())
    with client.pipeline(transaction=False) as pipeline:
        for key, value, ttl_s in rows:
            pipeline.set(key, value, ex=ttl_s)
        pipeline.execute()
    return len(rows)
