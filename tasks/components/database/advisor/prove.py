"""Proves a choice of indexes by the clock, on a copy: builds them, times every read, drops what does not pay.

The planner's cost is no run time: an advisor that believes it can make a workload slower. Here each index must earn
its real bytes in measured milliseconds, and no statement may become slower. Without an index only those statements
can change whose plan used it: only they are timed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tasks.components.database.advisor.choose import INSURANCE, Choice, Weighted
from tasks.components.database.advisor.records import Index, PlanError
from tasks.components.database.advisor.stopwatch import Seen, Stopwatch

SLOWER = 1.15
"""A statement that takes longer than this factor of its time before is harmed."""

_NOISE_MS = 0.2


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

    @property
    def harmed(self) -> list[str]:
        """Statements that are slower now."""
        return [one for one, ms in self.after.items() if slower(ms, self.before[one])]


@dataclass(frozen=True, slots=True)
class _Trial:
    """What it is like without one index: what is lost, and the statements that its absence changes.

    `whole` is False where the time was over before all of them were timed: nothing follows from it then.
    """

    lost: float
    seen: Mapping[str, Seen]
    whole: bool


@dataclass
class Prover:
    """Proves a choice on a copy; `indexes` gets the narrower forms that it tries."""

    watch: Stopwatch
    statements: Mapping[str, Weighted]
    indexes: dict[str, Index]
    choice: Choice
    proof: Proof = field(default_factory=Proof)
    _used: dict[str, frozenset[str]] = field(default_factory=dict)
    _lost: dict[str, float] = field(default_factory=dict)

    def prove(self, names: Sequence[str]) -> Proof:
        """Build, time, and drop what does not pay."""
        self.proof.before = {one: seen.ms for one, seen in self.watch.time(self.watch.shortest_first()).items()}
        if self.proof.before:
            for name in names:
                self._build(name)
            self._note(self.watch.time(self._touched()))
            self.proof.after = self.proof.before | self.proof.after
            for statement in self.proof.harmed:
                self._heal(statement)
            for name in sorted(self.proof.kept, key=self._rank):
                self._judge(name)
            self._fit()
        self.proof.unproved = self.watch.unproved
        return self.proof

    # --- what is measured ---

    def _rank(self, name: str) -> tuple[bool, int, str]:
        """Large indexes are judged first, those of joins last: others may stand in for them by chance."""
        return self.choice.candidates[name].joins, -self.proof.bytes[name], name

    def _touched(self) -> list[str]:
        tables = {(self.indexes[name].schema, self.indexes[name].table) for name in self.proof.kept}
        return [one for one in self.watch.shortest_first() if self.statements[one].tables & tables]

    def _note(self, seen: Mapping[str, Seen]) -> None:
        """Take over what was seen; a statement that failed this time is held against nothing."""
        for one, found in seen.items():
            if one in self.proof.before:
                self.proof.after[one] = found.ms
                self._used[one] = found.indexes
        for one in self.watch.unproved.keys() & self.proof.before.keys():
            if self.watch.failed(one):
                self.proof.before.pop(one)
                self.proof.after.pop(one, None)

    def _users(self, name: str) -> list[str]:
        return [one for one in self.watch.shortest_first() if name in self._used.get(one, frozenset())]

    def _gain(self, after: Mapping[str, float], kept: Iterable[str]) -> float:
        """What times are worth by the rule that chose: measured ones, and predicted ones of what was not timed."""
        ratios = {one: after[one] / before for one, before in self.proof.before.items() if before > 0}
        timed = {one: self.statements[one].mean_ms * ratio for one, ratio in ratios.items()}
        names = frozenset(kept)
        rest = [one for one in self.choice.statements if one.id not in timed]
        return self.choice.gain_of(timed | {one.id: self.choice.predicted_ms(one, names) for one in rest})

    # --- one index at a time ---

    def _build(self, name: str) -> bool:
        try:
            self.proof.bytes[name], _ = self.watch.copy.build(self.indexes[name])
        except PlanError as error:
            self.proof.dropped[name] = f"it could not be built on the copy: {error}"
            return False
        self.proof.kept.append(name)
        return True

    def _drop(self, name: str, why: str, seen: Mapping[str, Seen]) -> None:
        """Leave an index out that is not on the copy any more."""
        if name in self.proof.kept:
            self.proof.kept.remove(name)
        self.proof.dropped[name] = why
        self._note(seen)

    def _trial(self, name: str) -> _Trial:
        """Drop the index from the copy and time what used it."""
        self.watch.copy.drop(self.indexes[name])
        users = self._users(name)
        seen = self.watch.time(users)
        without = self.proof.after | {one: found.ms for one, found in seen.items() if one in self.proof.before}
        rest = [one for one in self.proof.kept if one != name]
        lost = self._gain(self.proof.after, self.proof.kept) - self._gain(without, rest)
        insured = INSURANCE if self.choice.candidates[name].joins and seen else 0.0
        return _Trial(lost + insured, seen, self._all_timed(users, seen))

    def _all_timed(self, users: Iterable[str], seen: Mapping[str, Seen]) -> bool:
        return all(one in seen or self.watch.failed(one) for one in users)

    def _heal(self, statement: str) -> None:
        """Drop the index without which a statement is as fast as before, the one that is missed least."""
        self._note(self.watch.time([statement]))  # a disturbance does not come twice
        if statement not in self.proof.harmed:
            return
        cures: list[tuple[float, str, _Trial]] = []
        for name in sorted(self._used.get(statement, frozenset()) & set(self.proof.kept)):
            if self.watch.over:
                return
            trial = self._trial(name)
            found = trial.seen.get(statement)
            self.watch.copy.build(self.indexes[name])
            if found is not None and not slower(found.ms, self.proof.before[statement]):
                again = self.watch.time([statement])  # only what comes back with the index is its doing
                self._note(again)
                if statement in again and slower(again[statement].ms, found.ms):
                    cures.append((trial.lost, name, trial))
        if cures:
            _, name, trial = min(cures, key=lambda one: one[:2])
            self.watch.copy.drop(self.indexes[name])
            self._drop(name, "it made a statement slower", trial.seen)

    def _judge(self, name: str) -> None:
        """Drop an index that does not pay, or take its narrower form where that pays more."""
        if self.watch.over:
            return
        trial = self._trial(name)
        if not trial.whole:
            self.watch.copy.build(self.indexes[name])
            return
        price = self.choice.price(name, self.proof.bytes[name])
        if trial.lost < price:
            trial = self._again(name)
        worth = trial.lost - price
        if worth < 0 and trial.whole:
            self._drop(name, "measured on the copy, it did not pay for its size", trial.seen)
            return
        if not self._narrower(name, trial, worth):
            self.watch.copy.build(self.indexes[name])
            self._lost[name] = trial.lost

    def _again(self, name: str) -> _Trial:
        """The trial once more, with the index and without it right after each other: noise comes and goes."""
        self.watch.copy.build(self.indexes[name])
        users = self._users(name)
        if users:
            self._note(self.watch.time(users))
        return self._trial(name)

    def _narrower(self, name: str, trial: _Trial, worth: float) -> bool:
        """Whether the index without its further columns is worth more; it is on the copy then."""
        index = self.indexes[name]
        if not index.include:
            return False
        narrow = replace(index, include=())
        if narrow.name in self.proof.kept:
            return False
        self.indexes[narrow.name] = narrow
        self.choice.adopt(narrow, name)
        if not self._build(narrow.name):
            return False
        users = self._users(name)
        seen = self.watch.time(users)
        with_it = self.proof.after | {one: found.ms for one, found in seen.items() if one in self.proof.before}
        kept = [one for one in self.proof.kept if one != name]
        lost = self._gain(self.proof.after, [*kept, name]) - self._gain(with_it, kept)
        unsure = not self._all_timed(users, seen)
        unsure = unsure or any(slower(ms, self.proof.before[one]) for one, ms in with_it.items())
        gained = trial.lost - lost
        if not unsure and gained - self.choice.price(narrow.name, self.proof.bytes[narrow.name]) > worth:
            self._drop(name, "measured on the copy, its further columns did not pay for their size", seen)
            self._lost[narrow.name] = gained
            return True
        self.watch.copy.drop(narrow)
        self.proof.kept.remove(narrow.name)
        return False

    def _fit(self) -> None:
        """Keep the budget by real sizes: what is missed least for its bytes goes first."""
        budget, most = self.choice.budget_bytes, self.choice.most
        while self.proof.kept and (
            (budget is not None and sum(self.proof.bytes[one] for one in self.proof.kept) > budget)
            or (most is not None and len(self.proof.kept) > most)
        ):
            name = min(self.proof.kept, key=lambda one: (self._lost.get(one, 0.0) / self.proof.bytes[one], one))
            trial = self._trial(name)
            self._drop(
                name, f"its real size, {self.proof.bytes[name] / 1e6:.1f} MB, is beyond the budget", trial.seen
            )


def slower(ms: float, before: float) -> bool:
    """Whether a statement is harmed."""
    return ms > SLOWER * before + _NOISE_MS
