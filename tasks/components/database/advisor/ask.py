"""Asks a planner what indexes would do: which of the candidates a statement uses, and what it costs with a set."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import geometric_mean

from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.fill import Filled, completed, guessed
from tasks.components.database.advisor.propose import candidates, covering, is_there
from tasks.components.database.advisor.records import Index, Plan, PlanError, WhatIf
from tasks.components.database.advisor.risk import at_risk
from tasks.components.database.advisor.uses import Parsed

PASS_MS = 200.0
"""Planning time of all statements with one set of indexes: of each so many variants are asked as fit its share."""

ROUNDS = 3
"""How often a statement is planned without the indexes that it used before."""

USEFUL = 0.9
"""A plan with candidates must cost at most this share of the one without: else none of them is kept."""


@dataclass
class Planner:
    """A what-if with the texts of the workload; it hides every index that it was shown and that is not asked for."""

    whatif: WhatIf
    texts: dict[str, Sequence[Filled]]
    originals: Mapping[str, str] = field(default_factory=dict)
    """The normalised texts, as they were found."""
    sizes: dict[str, int] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    """Cost of each statement without any added index."""
    risks: dict[str, list[float]] = field(default_factory=dict)
    """What is at risk without any added index, by variant: that much a statement bears today."""
    refused: dict[str, str] = field(default_factory=dict)
    """Statements that the planner did not take, and why."""
    _variants: dict[str, int] = field(default_factory=dict)
    """How many variants of a statement are asked: eight tables joined take their time."""
    _seen: dict[str, list[tuple[frozenset[str], frozenset[str], float]]] = field(default_factory=dict)
    """By statement: indexes that were visible, those of them that were used, and the cost."""

    def add(self, found: Iterable[Index]) -> list[str]:
        """Show indexes to the planner; names of those that it takes."""
        taken = []
        for index in found:
            if index.name not in self.indexes:
                try:
                    self.sizes[index.name] = self.whatif.add(index)
                except PlanError:
                    continue  # a candidate that cannot be built says nothing against the others
                self.indexes[index.name] = index
            taken.append(index.name)
        return taken

    def settle(self, statement: str) -> float:
        """The cost of a statement as things are; where the planner needs values for it, they are guessed.

        Raises PlanError with the first reason where no guess helps.
        """
        reasons = []
        for texts in self._attempts(statement):
            self.texts[statement] = texts
            try:
                return self._settled(statement)
            except PlanError as error:
                reasons.append(error)
        raise reasons[0]

    def _attempts(self, statement: str) -> Iterator[Sequence[Filled]]:
        """Texts to try in turn: with values, with some of them, with none, with guesses."""
        given = self.texts[statement]
        if not all(one.whole for one in given):
            with suppress(PlanError):
                yield completed(given, self.whatif.types)
        yield given
        if not given[0].whole or "$" in self.originals.get(statement, ""):
            original = Filled(self.originals.get(statement, given[0].text), whole=False)
            yield [original]
            yield from ([one] for one in (*guessed(given[0]), *guessed(original)))

    def plans(self, statement: str, visible: Iterable[str]) -> list[Plan]:
        """The statement's plans, one for each variant of its values, with only these of the added indexes.

        Raises PlanError.
        """
        hidden = self.indexes.keys() - set(visible)
        asked = self.texts[statement][: self._variants.get(statement)]
        return [self.whatif.plan(one.text, hidden=hidden) for one in asked]

    def cost(self, statement: str, visible: frozenset[str]) -> float:
        """The mean cost of the statement's variants; that of before where it cannot be planned now.

        What was planned with more indexes and used none beyond these ones costs the same with these ones.
        """
        for seen, used, cost in self._seen.get(statement, ()):
            if used <= visible <= seen:
                return cost
        try:
            return self.asked(statement, visible)[1]
        except PlanError as error:
            self.refused.setdefault(statement, str(error))
            return self.before.get(statement, 1.0)

    def asked(self, statement: str, visible: frozenset[str]) -> tuple[frozenset[str], float]:
        """The indexes that the statement's plans use, and their mean cost; raises PlanError."""
        plans = self.plans(statement, visible)
        used = frozenset[str]().union(*(plan.indexes for plan in plans)) & visible
        cost = self._mean(statement, plans)
        self._seen.setdefault(statement, []).insert(0, (visible, used, cost))
        return used, cost

    def _settled(self, statement: str) -> float:
        """Plan all variants once; where that takes long, ask fewer from now on."""
        self.plans(statement, ())  # what a session reads for the first time is no measure
        start = time.monotonic()
        plans = self.plans(statement, ())
        each_ms = 1e3 * (time.monotonic() - start) / len(plans)
        kept = max(1, min(len(plans), int(PASS_MS / len(self.texts) / each_ms)))
        self._variants[statement] = kept
        self.risks[statement] = [at_risk(plan.root) for plan in plans[:kept]]
        self.before[statement] = self._mean(statement, plans[:kept])
        return self.before[statement]

    def _mean(self, statement: str, plans: Sequence[Plan]) -> float:
        """The geometric mean: a rare value's plan counts as much as a common one's, a thousand times as dear.

        What a plan puts at risk beyond what is today counts as if it were lost.
        """
        today = self.risks.get(statement) or [0.0] * len(plans)
        costs = [plan.cost + max(0.0, at_risk(plan.root) - risk) for plan, risk in zip(plans, today, strict=True)]
        return geometric_mean(max(cost, 1e-3) for cost in costs)


@dataclass(frozen=True, slots=True)
class Uses:
    """Sets of candidates that the planner uses together in one statement, best first."""

    together: Mapping[frozenset[str], float] = field(default_factory=dict)
    """By set the logarithm of the cost's fall: what the set promises."""
    tried: frozenset[str] = frozenset()
    """Candidates that the planner saw: what it took in no round, without the better ones either, helps hardly."""

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset[str]().union(*self.together)

    @property
    def useless(self) -> frozenset[str]:
        """Candidates that were tried and never used."""
        return self.tried - self.names

    def promise(self, name: str) -> float:
        """The most that a set with the index promises."""
        return max(worth for names, worth in self.together.items() if name in names)


def useful(planner: Planner, statement: str, parsed: Parsed, catalog: Catalog, *, looked_at: bool = True) -> Uses:
    """Which candidates help one statement; notes in `planner.refused` where it cannot be planned.

    One that is not to be `looked_at` is only planned as things are.
    """
    try:
        before = planner.settle(statement)
    except PlanError as error:
        planner.refused[statement] = str(error)
        return Uses()
    names = planner.add(candidates(parsed.uses, catalog)) if looked_at else []
    sets: dict[frozenset[str], float] = {}
    tried = set(names)
    for _ in range(ROUNDS):  # the best ones, then what does without them
        used, cost = _used(planner, statement, tried)
        if not used or cost > USEFUL * before:
            break
        sets.setdefault(used, math.log(before / max(cost, 1e-3)))
        wider = planner.add(_covering(planner, used, parsed, catalog))
        if wider:
            better, cheaper = _used(planner, statement, {*tried, *wider})
            if better & set(wider) and cheaper < USEFUL * cost:
                sets.setdefault(better, math.log(before / max(cheaper, 1e-3)))
        tried -= used
    return Uses(sets, frozenset(names))


def unused(planner: Planner, statement: str, visible: Iterable[str]) -> frozenset[str]:
    """Those of some indexes that a statement's plans take in no round, without the better ones either."""
    left = set(visible)
    for _ in range(2 * ROUNDS):
        used, _cost = _used(planner, statement, left)
        if not used:
            break
        left -= used
    return frozenset(left)


def _used(planner: Planner, statement: str, visible: set[str]) -> tuple[frozenset[str], float]:
    try:
        return planner.asked(statement, frozenset(visible))
    except PlanError:
        return frozenset(), 0.0


def _covering(planner: Planner, used: Iterable[str], parsed: Parsed, catalog: Catalog) -> list[Index]:
    """The used candidates with all that their blocks need of the tables."""
    found = []
    for name in sorted(used):
        index = planner.indexes[name]
        for use in parsed.uses:
            if use.table.full_name == (index.schema, index.table):
                wide = covering(index, use)
                if wide is not None and not is_there(wide, catalog.tables.get((index.schema, index.table))):
                    found.append(wide)
    return found
