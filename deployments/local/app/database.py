"""The application's database: one pool of connections, plain statements, rows as JSON-ready dictionaries.

Statements name their columns as the API does (`AS "orderNumber"`), so a row is an answer. Single statements commit by
themselves; `transaction` holds several together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

APPLICATION_NAME = "hasivu-api"
STATEMENT_TIMEOUT_MS = 10_000
WAIT_FOR_CONNECTION_S = 5.0

Row = dict[str, Any]
Parameters = Mapping[str, Any]
Connection = AsyncConnection[Row]


class Database:
    """A pool that opens two connections at once and more as they are needed.

    Its methods raise psycopg.Error, and psycopg_pool.PoolTimeout where no connection becomes free in time.
    """

    def __init__(self, url: str, size: int) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[Row],
            min_size=min(2, size),
            max_size=size,
            timeout=WAIT_FOR_CONNECTION_S,
            open=False,
            name="hasivu-api",
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "application_name": APPLICATION_NAME,
                "connect_timeout": 5,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
            },
        )

    async def open(self) -> None:
        """Begin to connect; does not wait, so that the application starts while the database still does."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=3)

    async def rows(self, statement: LiteralString, parameters: Parameters | None = None) -> list[Row]:
        """All rows of one statement."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall()

    async def row(self, statement: LiteralString, parameters: Parameters | None = None) -> Row | None:
        """The first row of one statement, None where it has none."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchone()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction, which commits at the end and rolls back on an error."""
        async with self._pool.connection() as connection, connection.transaction():
            yield connection

    def pool(self) -> dict[str, int]:
        """Size, free connections, waiting requests and the other figures that psycopg_pool keeps."""
        return self._pool.get_stats()
