"""Which of the possible indexes to take: over the whole workload, by measured time. Pure but for the planner.

Predicted time of a statement = measured mean × cost after ÷ cost before. The gain of a set of indexes is mostly the
sum of the logarithms of speed-ups (each statement counts alike: the rare slow report matters too), for the rest the
share of total time that is saved. What an index costs stands against it: its bytes, and the writes that it slows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.components.database.advisor.exchange import exchanged
from tasks.components.database.advisor.records import Index

LOGS = 0.7
"""Weight of the logarithms of speed-ups; the share of total time that is saved has the rest."""

PRICE, PRICE_IN_BUDGET = 4.0, 0.7
"""Gain that an index as large as all tables must bring; where the caller named a budget, that is the limit first."""

INSURANCE = 1.0
"""Gain, beside what is measured, of an index on a join's column alone that plans use: without it the planner, where
it expects fewer rows than there are, repeats a scan of the whole table for each."""

LEAST = 0.02
"""Gain that any index must bring."""

WAL_PRICE = 3.0
"""Gain that doubling the WAL must be worth."""

WAL_GROWTH = 0.1
"""Share by which all new indexes together may make the WAL grow, unless the caller says otherwise."""

FLOOR_MS = 0.05
"""Time of a statement that no index can go below: round trip, parsing, planning."""

_SMALL_SHARE = 0.005
_WAL_SHARE = 0.25
"""What takes all the WAL that may be added counts for its price like a quarter of the tables' size."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A statement of the workload: milliseconds a call, calls, and the tables that it uses."""

    id: str
    mean_ms: float
    calls: float
    tables: frozenset[tuple[str, str]]
    indexes: frozenset[str] | None = None
    """The candidates that it could use at all; None: all of its tables."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An index with its bytes, the share by which it makes the WAL grow, and how it slows statements that write."""

    index: Index
    bytes: int
    wal_growth: float = 0.0
    joins: bool = False
    """Whether it is on a join's column alone."""
    slows: Mapping[str, float] = field(default_factory=dict)


Cost = Callable[[str, frozenset[str]], float]
"""(statement, names of the indexes that exist) → planner's cost."""


@dataclass
class Choice:
    """Chooses among candidates; `cost` is asked as seldom as possible and its answers are kept."""

    statements: Sequence[Weighted]
    candidates: dict[str, Candidate]
    cost: Cost
    table_bytes: int
    budget_bytes: int | None = None
    most: int | None = None
    most_wal: float = WAL_GROWTH
    size_price: float = PRICE
    severity: float = 1.0
    """Factor of every price: below 1 where a rehearsal will judge again."""
    patience: Callable[[], bool] = lambda: True
    """Whether there is time for one more round."""
    together: Collection[frozenset[str]] = ()
    """Sets that the planner uses together: each may be worth nothing alone."""
    promises: Mapping[str, float] = field(default_factory=dict)
    """What plans promise of an index: where time is short, those of little promise are not rated."""
    leisure: Callable[[], bool] = lambda: True
    """Whether there is time to rate one more move before the first is made."""
    _known: dict[tuple[str, frozenset[str]], float] = field(default_factory=dict)
    too_much: dict[str, str] = field(default_factory=dict)
    """Definitions of indexes that pay but would make the WAL grow too much, and by how much."""
    _rated: dict[frozenset[str], tuple[float, float]] = field(default_factory=dict)
    """Net worth and worth for its size of each move, as of the last time that it was asked for."""
    _moves: frozenset[frozenset[str]] = frozenset()
    """All moves that there was time to rate."""

    def choose(self) -> list[str]:
        """Names of the indexes to take, the best first.

        Lazily greedy: what a move was worth before is taken as the most that it can be worth now, except where it
        shares an index with the last move; so only few moves are rated again in each round.
        """
        moves = {frozenset({name}) for name in self.candidates} | set(self.together)
        self._rated = {}
        for move in sorted(moves, key=self._promise, reverse=True):
            if self._rated and not self.leisure():
                break
            self._rated[move] = self._net([], move)
        self._moves = frozenset(self._rated)
        chosen = self._pruned(self._grown([], self._moves))
        while (better := exchanged(self, chosen, self._moves, least=LEAST)) is not None:
            chosen = self.regrown(better, self._moves)
        self._note_too_much(chosen, self._moves)
        return self._ordered(chosen)

    def regrown(self, chosen: Sequence[str], moves: Collection[frozenset[str]]) -> list[str]:
        """A set with all further moves that are worth their price, and without what those make useless."""
        self._rated = {move: self._net(chosen, move) for move in moves}
        return self._pruned(self._grown(list(chosen), moves))

    def more(self, chosen: Sequence[str], *, without: Collection[str]) -> list[str]:
        """What is worth its price beside a set that stays, and fits into the limits, the best first."""
        moves = [move for move in self._moves if not move & set(without)]
        return [name for name in self.regrown(chosen, moves) if name not in chosen]

    def learn(self, sizes: Mapping[str, int]) -> None:
        """Take measured bytes for estimated ones."""
        self.candidates |= {name: replace(self.candidates[name], bytes=size) for name, size in sizes.items()}

    def _grown(self, chosen: list[str], moves: Collection[frozenset[str]]) -> list[str]:
        """Take one move after the other as long as one is worth its price."""
        while moves and self.patience():
            best = self._best(chosen, moves)
            if best is None:
                break
            tables = {self._table(name) for name in best}
            chosen = self._pruned([*chosen, *sorted(best - set(chosen))], tables)
            gone = best - set(chosen)  # others do their work already
            moves = {move for move in moves if not move <= set(chosen) and not move & gone}
            self._rated = {move: self._net(chosen, move) if move & best else self._rated[move] for move in moves}
        return chosen

    def _promise(self, move: frozenset[str]) -> tuple[float, list[str]]:
        """What is rated first: an index of much promise, then the sets of which the least one has much."""
        return min(self.promises.get(name, 0.0) for name in move), sorted(move)

    def _best(self, chosen: Sequence[str], moves: Collection[frozenset[str]]) -> frozenset[str] | None:
        """The move that is worth most for its size; None where none is worth its price."""
        fresh: set[frozenset[str]] = set()
        while True:
            best = max(moves, key=lambda move: (self._rated[move][0] > 0, self._rated[move][1], sorted(move)))
            if self._rated[best][0] <= 0:
                return None
            if best in fresh:
                return best
            self._rated[best] = self._net(chosen, best)
            fresh.add(best)

    def _ordered(self, chosen: Sequence[str]) -> list[str]:
        """Best first: by what would be lost without each."""
        whole = self.gain(chosen)
        lost = {name: whole - self.gain([one for one in chosen if one != name]) for name in chosen}
        return sorted(chosen, key=lambda name: (-lost[name], name))

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
        return LOGS * logs + (1 - LOGS) * (len(self.statements) * saved / total if total else 0.0)

    def predicted_ms(self, one: Weighted, names: frozenset[str]) -> float:
        """Milliseconds a call with these indexes."""
        before = self.cost_of(one, frozenset())
        ratio = self.cost_of(one, names) / before if before > 0 else 1.0
        slower = sum(self.candidates[name].slows.get(one.id, 0.0) for name in names)
        return one.mean_ms * (ratio + slower)

    def cost_of(self, one: Weighted, names: frozenset[str]) -> float:
        """The planner's cost with these indexes."""
        if one.indexes is not None:
            relevant = names & one.indexes
        else:
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
        if not new or self._room(after) > 1 or self._too_much_wal(chosen, new):
            return -math.inf, -math.inf
        share = sum(self.candidates[name].bytes for name in new) / max(self.table_bytes, 1)
        gained = self.gain(after) - self.gain(chosen)
        net = gained + (self._insured(new) if gained > 0 else 0.0) - sum(self.price(name) for name in new)
        scarce = sum(self.candidates[name].wal_growth for name in new) / self.most_wal if self.most_wal else 0.0
        return net, net / (share + _WAL_SHARE * scarce + _SMALL_SHARE)

    def price(self, name: str, size: int | None = None) -> float:
        """What an index must at least be worth, by its estimated size or a measured one."""
        one = self.candidates[name]
        share = (one.bytes if size is None else size) / max(self.table_bytes, 1)
        return self.severity * (LEAST + self.size_price * share + WAL_PRICE * one.wal_growth)

    def adopt(self, index: Index, like: str) -> None:
        """Know an index that is another form of a candidate, with the same cost to those who write."""
        self.candidates.setdefault(index.name, replace(self.candidates[like], index=index))

    def full(self, chosen: Collection[str]) -> float:
        """How much of the scarcest of what is limited some indexes take: bytes, number, WAL; above 1 is too much."""
        return max(self._room(chosen), _share(self._wal(chosen), self.most_wal))

    def _room(self, chosen: Collection[str]) -> float:
        size = sum(self.candidates[name].bytes for name in chosen)
        return max(_share(size, self.budget_bytes), _share(len(chosen), self.most))

    def worth(self, chosen: Collection[str]) -> float:
        """The gain of a set beyond its price."""
        return self.gain(chosen) + self._insured(chosen) - sum(self.price(name) for name in chosen)

    def _insured(self, names: Collection[str]) -> float:
        return sum(INSURANCE for name in names if self.candidates[name].joins)

    def _wal(self, chosen: Collection[str]) -> float:
        return sum(self.candidates[name].wal_growth for name in chosen)

    def _too_much_wal(self, chosen: Collection[str], new: Collection[str]) -> bool:
        return self._wal(new) > 0 and self._wal([*chosen, *new]) > self.most_wal

    def _note_too_much(self, chosen: Sequence[str], moves: Collection[frozenset[str]]) -> None:
        """Say which single indexes would pay beside those that were chosen if it were not for the WAL."""
        self.too_much.clear()
        for (name,) in (move for move in moves if len(move) == 1 and not move <= set(chosen)):
            fits = self._room([*chosen, name]) <= 1
            if fits and self._too_much_wal(chosen, [name]) and self.gain([name]) > self.price(name):
                one, whole = self.candidates[name], self._wal([*chosen, name])
                beside = f" ({whole:.0%} with what pays more)" if whole > one.wal_growth else ""
                why = f"it would make the WAL grow by {one.wal_growth:.0%}{beside}, {self.most_wal:.0%} are allowed"
                self.too_much[one.index.definition()] = f"{why}: --max-wal-growth allows more"

    def _pruned(self, chosen: list[str], tables: Collection[tuple[str, str]] | None = None) -> list[str]:
        """Without those that others have made useless, of some tables or of all."""
        whole = self.gain(chosen)
        for name in [one for one in chosen[:-1] if tables is None or self._table(one) in tables]:
            rest = [one for one in chosen if one != name]
            if whole - self.gain(rest) + self._insured({name}) < self.price(name):
                chosen, whole = rest, self.gain(rest)
        return chosen


def _share(taken: float, limit: float | None) -> float:
    if not taken or limit is None:
        return 0.0
    return taken / limit if limit else math.inf
