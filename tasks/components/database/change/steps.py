"""One change from its first look to its verdict, and what the next run does with one that was interrupted.

Each transition is in the ledger before the next thing happens, so that a killed run is understood by its successor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deployments.changes import ChangeSettings
from deployments.config import DatabaseSettings
from storage.errors import NotMeasuredError
from tasks.components.database.change import preflight
from tasks.components.database.change.decide import Rules, decide
from tasks.components.database.change.figures import READ_MS, Measuring
from tasks.components.database.change.indexes import Found, Indexes
from tasks.components.database.change.ledger import Ledger
from tasks.components.database.change.ownership import Mark
from tasks.components.database.change.records import ChangeError, Entry, Kind, State, Step
from tasks.load.database.session import QueryError, Server, Session, Watchdog

PATIENCE_S = 60.0
"""How long is waited until a VACUUM or a DDL has left the table."""

FRESH = timedelta(hours=24)
"""What was measured before a change is good for a verdict for so long."""


@dataclass
class Steps:
    """Carries changes out, one after the other."""

    server: Server
    watchdog: Watchdog
    settings: ChangeSettings
    rules: Rules
    reads: DatabaseSettings
    indexes: Indexes
    ledger: Ledger
    say: Callable[[str], None]

    # --- a new change ---

    def carry_out(self, entry: Entry) -> Entry:
        """Do a change that nobody has begun, and return it in its last state.

        An interrupt leaves it in the ledger as it is then, what was half built removed, and goes on its way.
        """
        step = entry.step
        there = self._preflight(step)
        if there is not None:
            return self._moved(entry, State.PRESENT, there)
        measuring = self._measuring()
        before = measuring.before(step)
        measuring.usable(before)
        there = self._preflight(step)  # a window may be long
        if there is not None:
            return self._moved(entry, State.PRESENT, there)
        entry = self._moved(entry, State.INTENDED, f"begun: {step.sql}", before=before)
        entry = self._apply(entry)
        return self._judged(entry, measuring) if entry.state is State.DONE else entry

    def _preflight(self, step: Step) -> str | None:
        """Why there is nothing to do; raises `ChangeError` with every reason not to begin."""
        facts = self._facts(step)
        found = list(preflight.problems(facts, step, self.settings)) if not preflight.present(facts, step) else []
        if found:
            raise ChangeError(f"not begun: {'; '.join(found)}")
        for text in preflight.skipped(facts):
            self.say(text)
        return preflight.present(facts, step)

    def _facts(self, step: Step) -> preflight.Facts:
        """What holds now, or once a VACUUM or a DDL has left the table: for that is waited a little."""
        until = time.monotonic() + PATIENCE_S
        told = False
        try:
            with Session(self.server, self.watchdog, timeout_ms=READ_MS) as session:
                while True:
                    facts = preflight.read(session, step, self.settings)
                    if facts.busy is None or time.monotonic() > until:
                        return facts
                    if not told:
                        self.say(f"{step.table_name} is held by process {facts.busy['pid']}: waiting for it")
                        told = True
                    time.sleep(0.5)
        except QueryError as error:
            raise ChangeError(f"not begun: {error}") from None

    def _apply(self, entry: Entry) -> Entry:
        """Build or remove; what fails half way is taken back at once."""
        step = entry.step
        try:
            if step.kind is Kind.CREATE:
                done = self.indexes.build(step, Mark(entry.run, entry.plan))
                found = self.indexes.find(step)
                size = found.bytes if found is not None else None
                words = f"built within {done.seconds:.1f} s"
                entry = self._moved(entry, State.DONE, words, seconds=done.seconds, bytes=size)
                if step.expression:
                    self.indexes.analyse(step)
                return entry
            found = self.indexes.find(step)
            removed = self.indexes.remove(found) if found is not None else None
            seconds = removed.seconds if removed is not None else 0.0
            return self._moved(entry, State.DONE, f"removed within {seconds:.1f} s", seconds=seconds)
        except ChangeError as error:
            return self.undo(entry, State.FAILED, str(error))
        except BaseException:
            self.undo(entry, State.FAILED, "interrupted")
            raise

    # --- verdict ---

    def _judged(self, entry: Entry, measuring: Measuring) -> Entry:
        """Measure again, decide, and keep or undo."""
        if entry.before is None:
            return self.undo(entry, State.UNDONE, "it was never measured before")
        after = measuring.after(entry.step)
        verdict = decide(entry.step.kind, entry.step.name, entry.before, after, self.rules)
        if verdict.doubtful:
            self.say(f"{entry.step.name}: measured once more: {'; '.join(verdict.reasons)}")
            after = measuring.after(entry.step)
            verdict = decide(entry.step.kind, entry.step.name, entry.before, after, self.rules)
        words = "; ".join(verdict.reasons)
        entry = entry.model_copy(update={"after": after, "verdict": verdict})
        if not verdict.keep:
            return self.undo(entry, State.UNDONE, words)
        try:
            if entry.step.kind is Kind.CREATE:
                self.indexes.mark(entry.step, Mark(entry.run, entry.plan, kept=True))
        except (ChangeError, NotMeasuredError) as error:
            return self._moved(entry, State.UNCLEAN, f"{words}; its verdict could not be noted on it: {error}")
        return self._moved(entry, State.KEPT, words)

    # --- the way back ---

    def undo(self, entry: Entry, end: State, words: str) -> Entry:
        """Take a change back, and end it as `end`; UNCLEAN where that fails: then it is for the next run."""
        try:
            entry = self._moved(entry, State.UNDOING, words)
            self._take_back(entry)
        except (ChangeError, NotMeasuredError) as error:
            left = "what is left of it is for the next run to clean up"
            return self._moved(entry, State.UNCLEAN, f"{words}; it could not be taken back ({error}): {left}")
        return self._moved(entry, end, words)

    def _take_back(self, entry: Entry) -> None:
        step = entry.step
        found = self.indexes.find(step)
        if step.kind is Kind.CREATE:
            self._remove_all(step, found, ours=True)
            return
        if found is not None and found.valid:
            return
        self._remove_all(step, found)  # a removal that was interrupted
        self.indexes.build(step, Mark(entry.run, entry.plan, kept=True))

    def _remove_all(self, step: Step, found: Found | None, *, ours: bool = False) -> None:
        """Remove an index, and those of partitions that were never attached to it."""
        if found is not None:
            self.indexes.remove(found, ours=ours)
        for part in self.indexes.left_of(step):
            self.indexes.remove(part, ours=ours)

    # --- what an earlier run left ---

    def resume(self, entry: Entry) -> Entry:
        """End a change that a run left open: judge it where it is done and can be, else take it back."""
        found = self.indexes.find(entry.step)
        whole = found is not None and found.valid
        done = whole if entry.step.kind is Kind.CREATE else found is None
        if entry.verdict is not None and not entry.verdict.keep:
            return self.undo(entry, State.UNDONE, f"the earlier run was interrupted: {entry.words}")
        if not done or entry.state in (State.UNDOING, State.UNCLEAN):
            return self._cleaned(entry, found)
        if entry.before is None or self._stale(entry):
            return self.undo(entry, State.UNDONE, "the earlier run was interrupted and too long ago to be judged")
        if entry.step.kind is Kind.CREATE:
            self.indexes.mark(entry.step, Mark(entry.run, entry.plan))
        entry = self._moved(entry, State.DONE, "the earlier run was interrupted: judged now")
        return self._judged(entry, self._measuring())

    def _cleaned(self, entry: Entry, found: Found | None) -> Entry:
        """Nothing of it stays."""
        if entry.step.kind is Kind.CREATE and found is None and not self.indexes.left_of(entry.step):
            return self._moved(entry, State.FAILED, "the earlier run was interrupted: nothing was left of it")
        state = "INVALID index" if found is not None and not found.valid else "index"
        what = f"its {state} was removed" if entry.step.kind is Kind.CREATE else "the index was made whole again"
        return self.undo(entry, State.FAILED, f"the earlier run was interrupted: {what}")

    def _stale(self, entry: Entry) -> bool:
        return datetime.now(UTC) - entry.events[-1].at > FRESH

    def _measuring(self) -> Measuring:
        return Measuring(self.server, self.watchdog, self.settings, self.reads, self.say)

    def _moved(self, entry: Entry, state: State, words: str, **changes: object) -> Entry:
        moved = entry.moved(datetime.now(UTC), state, words, **changes)
        self.say(f"{entry.step.name}: {state.value}: {words}")
        return self.ledger.write(moved)
