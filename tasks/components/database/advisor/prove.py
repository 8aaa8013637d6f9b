"""Proves a choice of indexes by the clock, on a copy: builds them, times every read, drops what does not pay.

The planner's cost is no run time: an advisor that believes it can make a workload slower. Here each index must earn
its real bytes in measured milliseconds, and no statement may become slower. Without an index only those statements
can change whose plan used it: only they are timed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import accumulate

from tasks.components.database.advisor.choose import INSURANCE, Choice, Weighted
from tasks.components.database.advisor.records import Index, PlanError
from tasks.components.database.advisor.stopwatch import Seen, Stopwatch

SLOWER = 1.15
"""A statement that takes longer than this factor of its time before is harmed."""

HARM = 1.0
"""Gain that an index must bring to others, beyond what it costs, to stay although it makes a statement slower."""

_HARMFUL = "it made a statement slower"
_PAYS_NOT = "measured on the copy, it did not pay for its size"
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
    _first: Mapping[str, Seen] = field(default_factory=dict)
    """Each statement as it was before."""
    _now: dict[str, Seen] = field(default_factory=dict)
    """Each statement as it was seen last."""
    _lost: dict[str, float] = field(default_factory=dict)

    def prove(self, names: Sequence[str]) -> Proof:
        """Build, time, and drop what does not pay."""
        self._first = self.watch.time(self.watch.shortest_first())
        self._now = dict(self._first)
        self.proof.before = {one: seen.ms for one, seen in self._first.items()}
        if self.proof.before:
            self.proof.after = dict(self.proof.before)
            self._round(names)
            if not self.watch.over:
                self._once_more()
        self.proof.unproved = self.watch.unproved
        return self.proof

    def _round(self, names: Sequence[str]) -> None:
        """Build indexes beside those that are kept, time, and drop what does not pay or has no room."""
        new = [name for name in names if self._build(name)]
        self._note(self.watch.time(self._touched(new)))
        for statement in self.proof.harmed:
            self._heal(statement)
        for name in sorted(set(new) & set(self.proof.kept), key=self._rank):
            self._judge(name)
        if self._over_budget():
            self._fit()
            self._refill()
        for statement in self.proof.harmed:
            self._heal(statement)

    def _once_more(self) -> None:
        """Prove what the choice takes beside the kept indexes, now that it knows sizes and what does not pay.

        Where the time is over before all of it is judged, what was proved stands.
        """
        self.choice.learn(self.proof.bytes)
        names = self.choice.more(self.proof.kept, without=self.proof.dropped)
        if not names:
            return
        proved = deepcopy(self.proof)
        self._round(names)
        if self.watch.over:
            self.proof = proved

    # --- what is measured ---

    def _rank(self, name: str) -> tuple[bool, int, str]:
        """Large indexes are judged first, those of joins last: others may stand in for them by chance."""
        return self.choice.candidates[name].joins, -self.proof.bytes[name], name

    def _touched(self, names: Iterable[str]) -> list[str]:
        tables = {(self.indexes[name].schema, self.indexes[name].table) for name in names}
        return [one for one in self.watch.shortest_first() if self.statements[one].tables & tables]

    def _note(self, seen: Mapping[str, Seen]) -> None:
        """Take over what was seen; a statement that failed this time is held against nothing."""
        for one, found in seen.items():
            if one in self.proof.before:
                self.proof.after[one] = found.ms
                self._now[one] = found
        for one in self.watch.unproved.keys() & self.proof.before.keys():
            if self.watch.failed(one):
                self.proof.before.pop(one)
                self.proof.after.pop(one, None)

    def _weighed(self, seen: Mapping[str, Seen] | None = None) -> dict[str, float]:
        """Milliseconds as they are judged, now or with `seen`: what is put at risk anew counts as if it were lost."""
        found = self._now | dict(seen or {})
        risks = {one: found[one].risk / self._first[one].risk for one in self.proof.before}
        return {one: found[one].ms * max(1.0, risk) for one, risk in risks.items()}

    def _used(self, statement: str) -> frozenset[str]:
        return self._now[statement].indexes if statement in self._now else frozenset()

    def _users(self, name: str) -> list[str]:
        return [one for one in self.watch.shortest_first() if name in self._used(one)]

    def _gain(self, after: Mapping[str, float], kept: Iterable[str]) -> float:
        """What times are worth by the rule that chose: measured ones, and predicted ones of what was not timed."""
        ratios = {one: after[one] / before for one, before in self.proof.before.items() if before > 0}
        timed = {one: self.statements[one].mean_ms * ratio for one, ratio in ratios.items()}
        names = frozenset(kept)
        rest = [one for one in self.choice.statements if one.id not in timed]
        return self.choice.gain_of(timed | {one.id: self.choice.predicted_ms(one, names) for one in rest})

    # --- one index at a time ---

    def _build(self, name: str) -> bool:
        """Have an index on the copy, built or shown again."""
        try:
            if name in self.proof.bytes:
                self.watch.copy.show(self.indexes[name])
            else:
                self.proof.bytes[name], _ = self.watch.copy.build(self.indexes[name])
        except PlanError as error:
            self.proof.dropped[name] = f"it could not be built on the copy: {error}"
            return False
        self.proof.kept.append(name)
        self.proof.dropped.pop(name, None)
        return True

    def _drop(self, name: str, why: str, seen: Mapping[str, Seen]) -> None:
        """Leave an index out that plans do not see any more."""
        if name in self.proof.kept:
            self.proof.kept.remove(name)
        self.proof.dropped[name] = why
        self._note(seen)

    def _trial(self, name: str) -> _Trial:
        """Hide the index and time what used it."""
        self.watch.copy.show(self.indexes[name], shown=False)
        users = self._users(name)
        seen = self.watch.time(users)
        rest = [one for one in self.proof.kept if one != name]
        lost = self._gain(self._weighed(), self.proof.kept) - self._gain(self._weighed(seen), rest)
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
        for name in sorted(self._used(statement) & set(self.proof.kept)):
            if self.watch.over:
                return
            trial = self._trial(name)
            found = trial.seen.get(statement)
            self.watch.copy.show(self.indexes[name])
            if found is not None and not slower(found.ms, self.proof.before[statement]):
                again = self.watch.time([statement])  # only what comes back with the index is its doing
                self._note(again)
                if statement in again and slower(again[statement].ms, found.ms):
                    cures.append((trial.lost, name, trial))
        cures = [one for one in cures if one[0] < HARM]
        if cures:
            _, name, trial = min(cures, key=lambda one: one[:2])
            self.watch.copy.show(self.indexes[name], shown=False)
            self._drop(name, _HARMFUL, trial.seen)

    def _judge(self, name: str) -> None:
        """Drop an index that does not pay, or take its narrower form where that pays more."""
        if self.watch.over:
            return
        trial = self._trial(name)
        if not trial.whole:
            self.watch.copy.show(self.indexes[name])
            return
        price = self.choice.price(name, self.proof.bytes[name])
        if trial.lost < price:
            trial = self._again(name)
        worth = trial.lost - price
        if worth < 0 and trial.whole:
            self._drop(name, _PAYS_NOT, trial.seen)
            return
        if not self._narrower(name, trial, worth):
            self.watch.copy.show(self.indexes[name])
            self._lost[name] = trial.lost

    def _again(self, name: str) -> _Trial:
        """The trial once more, with the index and without it right after each other: noise comes and goes."""
        self.watch.copy.show(self.indexes[name])
        users = self._users(name)
        if users:
            self._note(self.watch.time(users))
        return self._trial(name)

    def _narrower(self, name: str, trial: _Trial, worth: float) -> bool:
        """Whether the index without its further columns is worth more; plans see that one then."""
        narrow = self._narrowed(name)
        if narrow is None:
            return False
        users = self._users(name)
        seen = self.watch.time(users)
        with_it = self._weighed(seen)
        kept = [one for one in self.proof.kept if one != name]
        lost = self._gain(self._weighed(), [*kept, name]) - self._gain(with_it, kept)
        unsure = not self._all_timed(users, seen)
        unsure = unsure or any(slower(ms, self.proof.before[one]) for one, ms in with_it.items())
        gained = trial.lost - lost
        if not unsure and gained - self.choice.price(narrow, self.proof.bytes[narrow]) > worth:
            self._drop(name, "measured on the copy, its further columns did not pay for their size", seen)
            self._lost[narrow] = gained
            return True
        self.watch.copy.show(self.indexes[narrow], shown=False)
        self.proof.kept.remove(narrow)
        return False

    def _narrowed(self, name: str) -> str | None:
        """The index without its further columns, on the copy beside it; None where it has none."""
        index = self.indexes[name]
        narrow = replace(index, include=())
        if not index.include or narrow.name in self.proof.kept:
            return None
        self.indexes[narrow.name] = narrow
        self.choice.adopt(narrow, name)
        return narrow.name if self._build(narrow.name) else None

    # --- the budget ---

    def _fit(self) -> None:
        """Keep the budget by real sizes: what is missed least goes first, further columns before keys.

        What an index is worth is measured again before it goes: others that stood in for it may have gone.
        """
        fresh: set[str] = set()
        while self._over_budget():
            name = self._least_missed()
            narrow = self._narrowed(name)
            trial = self._trial(name)
            if name not in fresh and trial.whole and trial.lost > self._lost[name]:
                self._lost[name] = trial.lost
                fresh.add(name)
                self._restore(name, narrow)
                continue
            fresh.clear()
            why = f"its real size, {self.proof.bytes[name] / 1e6:.1f} MB, is beyond the budget"
            self._drop(name, why, trial.seen)

    def _least_missed(self) -> str:
        """What goes next: one index that makes room enough, or the first of several smaller ones, as less is lost."""
        sizes = self.proof.bytes
        small = sorted(self.proof.kept, key=lambda one: (self._missed(one) / sizes[one], one))
        budget = self.choice.budget_bytes
        excess = sum(sizes[one] for one in small) - budget if budget is not None else 0
        freed = accumulate((sizes[one] for one in small[:-1]), initial=0)
        several = [one for one, before in zip(small, freed, strict=True) if before < excess]
        alone = min((one for one in small if sizes[one] >= excess), key=self._missed, default=small[0])
        return alone if self._missed(alone) <= sum(map(self._missed, several)) or not several else several[0]

    def _refill(self) -> None:
        """Take back what fits into the room that is left, small ones first: a larger one may have done its work."""
        harmful = {name for name, why in self.proof.dropped.items() if why == _HARMFUL}
        for name in sorted(
            self.proof.bytes.keys() - set(self.proof.kept) - harmful, key=self.proof.bytes.__getitem__
        ):
            if self.watch.over:
                return
            before, why = self._weighed(), self.proof.dropped.get(name, "")
            self._build(name)
            touched = self._touched([name])
            seen = {} if self._over_budget() else self.watch.time(touched)
            after = self._weighed(seen)
            rest = [one for one in self.proof.kept if one != name]
            gained = self._gain(after, self.proof.kept) - self._gain(before, rest)
            worse = any(slower(ms, before[one]) for one, ms in after.items())
            if (
                self._all_timed(touched, seen)
                and not worse
                and gained > self.choice.price(name, self.proof.bytes[name])
            ):
                self._note(seen)
            else:
                self.watch.copy.show(self.indexes[name], shown=False)
                self._drop(name, why or _PAYS_NOT, {})

    def _over_budget(self) -> bool:
        budget, most, kept = self.choice.budget_bytes, self.choice.most, self.proof.kept
        too_large = budget is not None and sum(self.proof.bytes[one] for one in kept) > budget
        return bool(kept) and (too_large or (most is not None and len(kept) > most))

    def _restore(self, name: str, narrow: str | None) -> None:
        """An index that was tried away is there again, its narrower form is not."""
        self.watch.copy.show(self.indexes[name])
        if narrow is not None:
            self.watch.copy.show(self.indexes[narrow], shown=False)
            self.proof.kept.remove(narrow)

    def _missed(self, name: str) -> float:
        """What would be lost without an index: by the clock, by the planner's cost where there was no time for it."""
        if name not in self._lost:
            rest = [one for one in self.proof.kept if one != name]
            insured = INSURANCE if self.choice.candidates[name].joins else 0.0
            self._lost[name] = self.choice.gain(self.proof.kept) - self.choice.gain(rest) + insured
        return self._lost[name]


def slower(ms: float, before: float) -> bool:
    """Whether a statement is harmed."""
    return ms > SLOWER * before + _NOISE_MS
