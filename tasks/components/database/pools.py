"""PgBouncer's pools, sampled at its admin console where a variable names its address.

`SHOW POOLS` tells clients that wait and servers that work, `SHOW DATABASES` how many servers a pool may open. The
role needs to be one of `stats_users`; the console is never told to do anything but SHOW.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from storage.errors import NotMeasuredError
from tasks.load.database.session import QueryError, Session, Watchdog, parse

_TIMEOUT_MS = 2000


class Pools:
    """Samples of one console; a console that does not answer becomes one note, and no row."""

    def __init__(self, url: str, variable: str, database: str, watchdog: Watchdog, notes: list[str]) -> None:
        """Look at the pools of `database` only, by the name that the server has for it."""
        self._url, self._variable, self._database = url, variable, database
        self._watchdog, self._notes = watchdog, notes
        self._session: Session | None = None
        self._failed = False

    def sample(self, number: int, at: datetime) -> list[dict[str, Any]]:
        """Rows of `pools` at this moment; none where the console does not answer."""
        if self._failed:
            return []
        try:
            if self._session is None or not self._session.alive:
                server = parse(self._url, self._variable)
                self._session = Session(server, self._watchdog, timeout_ms=_TIMEOUT_MS, console=True)
            sizes = {row["name"]: row for row in self._session.query("SHOW DATABASES")}
            pools = self._session.query("SHOW POOLS")
        except (NotMeasuredError, QueryError) as error:
            self._failed = True
            self._notes.append(f"PgBouncer's pools could not be read ({self._variable}): {error}")
            return []
        wanted = {name for name, row in sizes.items() if row["database"] == self._database}
        return [_row(number, at, pool, sizes[pool["database"]]) for pool in pools if pool["database"] in wanted]

    def close(self) -> None:
        """End the session with the console."""
        if self._session is not None:
            self._session.close()


def _row(number: int, at: datetime, pool: dict[str, Any], database: dict[str, Any]) -> dict[str, Any]:
    """One pool; PgBouncer's console answers text. `maxwait` is whole seconds, `maxwait_us` what is left of them."""
    waited_ms = int(pool["maxwait"]) * 1000 + int(pool["maxwait_us"]) / 1000
    return {
        "sample": number,
        "at": at,
        "pool": pool["database"],
        "user": pool["user"],
        "mode": pool.get("pool_mode"),
        "size": int(database["pool_size"]),
        "clients_active": int(pool["cl_active"]),
        "clients_waiting": int(pool["cl_waiting"]),
        "servers_active": int(pool["sv_active"]),
        "servers_idle": int(pool["sv_idle"]) + int(pool["sv_used"]) + int(pool["sv_tested"]),
        "waited_ms": waited_ms,
    }
