"""Proves a choice of indexes by the clock, on a copy: builds them, times every read, drops what does not pay.

The planner's cost is no run time: an advisor that believes it can make a workload slower. Here each index must earn
its real bytes in measured milliseconds, and no statement may become slower.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import geometric_mean

from tasks.components.database.advisor.choose import Choice, Weighted
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.records import Index, PlanError
from tasks.components.database.advisor.rehearsal import Rehearsal

STATEMENT_S, LEAST_S = 20.0, 5.0
"""Time limits of one run."""

SLOWER = 1.1
"""A statement that takes longer than this factor of its time before is harmed."""

_NOISE_MS = 0.1
_LATE = "statement timeout"
_SLOW_MS = 500.0
_REPEATS = 3


@dataclass
class Proof:
    """Measured milliseconds of each statement before and with the kept indexes, and real bytes of those.

    `dropped` says why a chosen index was not kept; `unproved` why a statement was not timed.
    """

    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    unproved: dict[str, str] = field(default_factory=dict)
    cut_off: set[str] = field(default_factory=set)
    """Statements of which a run was cut off at its time limit: their times are lower bounds."""

    @property
    def harmed(self) -> list[str]:
        """Statements that are slower now."""
        return [one for one, ms in self.after.items() if ms > SLOWER * self.before[one] + _NOISE_MS]


@dataclass
class Prover:
    """Times the workload on a copy."""

    copy: Rehearsal
    texts: Mapping[str, Sequence[Filled]]
    statements: Mapping[str, Weighted]
    indexes: Mapping[str, Index]
    seconds: float
    proof: Proof = field(default_factory=Proof)
    _end: float = 0.0

    def prove(self, names: Sequence[str], choice: Choice) -> Proof:
        """Build, time, and drop what does not pay; `choice` knows prices and budget."""
        self._end = time.monotonic() + self.seconds
        self.proof.before = self._timed(self.texts)
        if not self.proof.before:
            return self.proof
        self._build(names, choice)
        self.proof.after = self.proof.before | self._timed(self._affected(self.proof.kept))
        for name in self._suspects():
            self._try_without(name, choice)
        return self.proof

    def gain(self, choice: Choice, after: Mapping[str, float], kept: Iterable[str]) -> float:
        """What times are worth by the rule that chose: measured ones, and predicted ones of what was not timed."""
        ratios = {one: after[one] / before for one, before in self.proof.before.items() if before > 0}
        timed = {one: self.statements[one].mean_ms * ratio for one, ratio in ratios.items()}
        names = frozenset(kept)
        rest = [one for one in choice.statements if one.id not in timed]
        return choice.gain_of(timed | {one.id: choice.predicted_ms(one, names) for one in rest})

    def _timed(self, statements: Iterable[str]) -> dict[str, float]:
        """Milliseconds of each statement: the geometric mean of the medians of its variants."""
        found = {}
        for one in statements:
            if time.monotonic() > self._end:
                self.proof.unproved.setdefault(one, "the time for the rehearsal was over")
                continue
            try:
                found[one] = geometric_mean(max(self._run(text, one), 1e-3) for text in self._whole(one))
            except PlanError as error:
                self.proof.unproved.setdefault(one, str(error))
                self.proof.before.pop(one, None)  # what cannot be timed again is held against nothing
        return found

    def _whole(self, statement: str) -> list[str]:
        texts = [one.text for one in self.texts[statement] if one.whole]
        if not texts:
            raise PlanError("not all of its parameters are known")
        return texts

    def _run(self, text: str, statement: str) -> float:
        """One text's milliseconds; a run that is cut off took at least its time limit, and counts with that."""
        mean_ms = self.statements[statement].mean_ms
        timeout = min(STATEMENT_S, max(LEAST_S, 4 * mean_ms / 1e3))
        try:
            return self.copy.run(text, timeout_s=timeout, repeat=1 if mean_ms > _SLOW_MS else _REPEATS).median_ms
        except PlanError as error:
            if _LATE not in str(error):
                raise
            self.proof.cut_off.add(statement)
            return timeout * 1e3

    def _affected(self, names: Collection[str]) -> list[str]:
        tables = {(self.indexes[name].schema, self.indexes[name].table) for name in names}
        return [one for one in self.proof.before if self.statements[one].tables & tables]

    def _build(self, names: Sequence[str], choice: Choice) -> None:
        for name in names:
            try:
                size, _ = self.copy.build(self.indexes[name])
            except PlanError as error:
                self.proof.dropped[name] = f"it could not be built on the copy: {error}"
                continue
            total = size + sum(self.proof.bytes[one] for one in self.proof.kept)
            if choice.budget_bytes is not None and total > choice.budget_bytes:
                self.copy.drop(self.indexes[name])
                self.proof.dropped[name] = f"its real size, {size / 1e6:.1f} MB, is beyond the budget"
                continue
            self.proof.bytes[name] = size
            self.proof.kept.append(name)

    def _suspects(self) -> list[str]:
        """Kept indexes, those of harmed statements first, then the largest."""
        harmed = {table for one in self.proof.harmed for table in self.statements[one].tables}

        def rank(name: str) -> tuple[bool, int]:
            index = self.indexes[name]
            return (index.schema, index.table) not in harmed, -self.proof.bytes[name]

        return sorted(self.proof.kept, key=rank)

    def _try_without(self, name: str, choice: Choice) -> None:
        """Drop an index, time what it touches, and build it again where it paid."""
        if time.monotonic() > self._end:
            return
        index, with_it = self.indexes[name], dict(self.proof.after)
        harmed = set(self.proof.harmed)
        self.copy.drop(index)
        without = with_it | self._timed(self._affected([name]))
        rest = [one for one in self.proof.kept if one != name]
        lost = self.gain(choice, with_it, self.proof.kept) - self.gain(choice, without, rest)
        price = choice.price(name, self.proof.bytes[name])
        healed = {one for one in harmed if without[one] <= SLOWER * self.proof.before[one] + _NOISE_MS}
        if lost >= price and not healed:
            self.copy.build(index)
            return
        self.proof.kept.remove(name)
        self.proof.after = without
        self.proof.dropped[name] = (
            f"it made {len(healed)} statement(s) slower"
            if healed
            else "measured on the copy, it did not pay for its size"
        )
