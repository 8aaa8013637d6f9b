"""What the watch of the database sees, as figures: how full the application's pool is, connections by state."""

from __future__ import annotations

import time
from collections import Counter, deque

import numpy as np

from deployments.config import DatabaseSettings
from storage.records import Measurement, Unit
from tasks.components.database.facts import Facts
from tasks.components.database.measure.sessions import BUSY
from tasks.load.recording.samples import percentile
from tasks.monitoring.database_watch.judge import Look
from tasks.monitoring.database_watch.teller import slots_of
from tasks.monitoring.watch import names
from tasks.monitoring.watch.board import Board
from tasks.monitoring.watch.probe import window

METRIC = "database.pool.utilisation"


class Sessions:
    """Call it with each look of a `DatabaseWatch`; it puts figures on the board."""

    def __init__(self, settings: DatabaseSettings, board: Board, *, window_s: float) -> None:
        self._settings, self._board, self._window_s = settings, board, window_s
        self._shares: deque[tuple[float, float]] = deque(maxlen=2000)

    def __call__(self, look: Look, facts: Facts) -> None:
        """Take one look."""
        now = time.monotonic()
        slots = slots_of(facts)
        self._board.put([self._pool(look, facts, slots, now)])
        self._board.show(
            {
                names.CONNECTIONS.name: _by_state(look),
                names.SLOTS.name: {} if slots is None else {(): float(slots)},
            }
        )

    def _pool(self, look: Look, facts: Facts, slots: int | None, now: float) -> Measurement:
        """p95 over the looks of busy connections ÷ connections that the pool may open, as the component has it."""
        settings = self._settings
        name, size = settings.application, settings.pool_size or slots
        who = f"application {name!r}" if name else "all applications but this one"
        source = (
            f"watch: pg_stat_activity, connections of {who} that are active or in a transaction ÷ {size}, "
            f"95th percentile over the looks of its window"
        )
        ours = [row for row in look.groups if row["here"] and (name is None or row["application"] == name)]
        problem = ""
        if not facts.reads_all_stats:
            problem = "the states of other sessions are hidden: GRANT pg_monitor to the role"
        elif not size:
            problem = "neither pool_size nor max_connections is known"
        elif name and not ours and not self._shares:
            problem = f"no session of {who} was seen: set [database] application to the pool's application_name"
        else:
            busy = sum(row["sessions"] for row in ours if row["state"] in BUSY)
            self._shares.append((now, busy / size))
        while self._shares and self._shares[0][0] < now - self._window_s:
            self._shares.popleft()
        value = percentile(np.array([share for _, share in self._shares], dtype=np.float64), 0.95)
        return Measurement(
            metric=METRIC,
            value=None if problem else value,
            unit=Unit.RATIO,
            n=len(self._shares),
            source=source,
            window=window(self._window_s),
            note=f"no data: {problem}" if problem else "",
        )


def _by_state(look: Look) -> dict[tuple[str, ...], float]:
    """Connections of the whole server by state, this program's own left out."""
    counted: Counter[str] = Counter()
    for row in look.groups:
        counted[row["state"] or "unknown"] += row["sessions"]
    return {(state,): float(number) for state, number in counted.items()}
