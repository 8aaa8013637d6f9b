"""Which of the possible indexes to take: over the whole workload, by measured time. Pure but for the planner.

Predicted time of a statement = measured mean × cost after ÷ cost before. The gain of a set of indexes is half the sum
of the logarithms of speed-ups (each statement counts alike: the rare slow report matters too) and half the share of
total time that is saved. What an index costs stands against it: its bytes, and the writes that it slows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.components.database.advisor.records import Index

PRICE = 2.0
"""Gain that an index as large as all tables must bring."""

LEAST = 0.02
"""Gain that any index must bring."""

WAL_PRICE = 3.0
"""Gain that doubling the WAL must be worth."""

FLOOR_MS = 0.05
"""Time of a statement that no index can go below: round trip, parsing, planning."""

_SMALL_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Weighted:
    """A statement of the workload: milliseconds a call, calls, and the tables that it uses."""

    id: str
    mean_ms: float
    calls: float
    tables: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An index with its bytes, the share by which it makes the WAL grow, and how it slows statements that write."""

    index: Index
    bytes: int
    wal_growth: float = 0.0
    slows: Mapping[str, float] = field(default_factory=dict)


Cost = Callable[[str, frozenset[str]], float]
"""(statement, names of the indexes that exist) → planner's cost."""


@dataclass
class Choice:
    """Chooses among candidates; `cost` is asked as seldom as possible and its answers are kept."""

    statements: Sequence[Weighted]
    candidates: Mapping[str, Candidate]
    cost: Cost
    table_bytes: int
    budget_bytes: int | None = None
    most: int | None = None
    severity: float = 1.0
    """Factor of every price: below 1 where a rehearsal will judge again."""
    together: Collection[frozenset[str]] = ()
    """Sets that the planner uses together: each may be worth nothing alone."""
    _known: dict[tuple[str, frozenset[str]], float] = field(default_factory=dict)

    def choose(self) -> list[str]:
        """Names of the indexes to take, the best first."""
        chosen: list[str] = []
        moves = sorted({frozenset({name}) for name in self.candidates} | set(self.together), key=sorted)
        while moves:
            rated = [(*self._net(chosen, move), sorted(move), move) for move in moves]
            net, _, _, best = max(rated, key=lambda one: (one[1], one[2]))
            if net <= 0:
                break
            chosen = self._pruned([*chosen, *sorted(best - set(chosen))])
            gone = best - set(chosen)  # others do their work already
            moves = [move for move in moves if not move <= set(chosen) and not move & gone]
        return self._ordered(chosen)

    def _ordered(self, chosen: Sequence[str]) -> list[str]:
        """Best first: each the one that gains most beside those before it."""
        found: list[str] = []
        left = sorted(chosen)
        while left:
            best = max(left, key=lambda name: (self.gain([*found, name]), name))
            found.append(best)
            left.remove(best)
        return found

    def gain(self, chosen: Collection[str]) -> float:
        """What a set is worth, costs not counted."""
        names = frozenset(chosen)
        return self.gain_of({one.id: self.predicted_ms(one, names) for one in self.statements})

    def gain_of(self, after_ms: Mapping[str, float]) -> float:
        """What times are worth; statements that are not named stay as they are."""
        total = sum(one.mean_ms * one.calls for one in self.statements)
        logs, saved = 0.0, 0.0
        for one in self.statements:
            after = after_ms.get(one.id, one.mean_ms)
            logs += math.log(max(one.mean_ms, FLOOR_MS) / max(after, FLOOR_MS))
            saved += (one.mean_ms - after) * one.calls
        return 0.5 * logs + 0.5 * (len(self.statements) * saved / total if total else 0.0)

    def predicted_ms(self, one: Weighted, names: frozenset[str]) -> float:
        """Milliseconds a call with these indexes."""
        before = self.cost_of(one, frozenset())
        ratio = self.cost_of(one, names) / before if before > 0 else 1.0
        slower = sum(self.candidates[name].slows.get(one.id, 0.0) for name in names)
        return one.mean_ms * (ratio + slower)

    def cost_of(self, one: Weighted, names: frozenset[str]) -> float:
        """The planner's cost with these indexes."""
        relevant = frozenset(name for name in names if self._table(name) in one.tables)
        key = (one.id, relevant)
        if key not in self._known:
            self._known[key] = self.cost(one.id, relevant)
        return self._known[key]

    def _table(self, name: str) -> tuple[str, str]:
        index = self.candidates[name].index
        return index.schema, index.table

    def _net(self, chosen: Sequence[str], move: frozenset[str]) -> tuple[float, float]:
        """What adding some indexes is worth beyond their price, and that for their size."""
        new = move - set(chosen)
        after = [*chosen, *sorted(new)]
        if not new or self._too_large(after) or (self.most is not None and len(after) > self.most):
            return -math.inf, -math.inf
        share = sum(self.candidates[name].bytes for name in new) / max(self.table_bytes, 1)
        net = self.gain(after) - self.gain(chosen) - sum(self.price(name) for name in new)
        return net, net / (share + _SMALL_SHARE)

    def price(self, name: str, size: int | None = None) -> float:
        """What an index must at least be worth, by its estimated size or a measured one."""
        one = self.candidates[name]
        share = (one.bytes if size is None else size) / max(self.table_bytes, 1)
        return self.severity * (LEAST + PRICE * share + WAL_PRICE * one.wal_growth)

    def _too_large(self, chosen: Collection[str]) -> bool:
        total = sum(self.candidates[name].bytes for name in chosen)
        return self.budget_bytes is not None and total > self.budget_bytes

    def _pruned(self, chosen: list[str]) -> list[str]:
        """Without those that others have made useless."""
        whole = self.gain(chosen)
        for name in list(chosen[:-1]):
            rest = [one for one in chosen if one != name]
            if whole - self.gain(rest) < self.price(name):
                chosen, whole = rest, self.gain(rest)
        return chosen
