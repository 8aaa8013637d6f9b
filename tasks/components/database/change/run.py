"""A whole run: takes the lock, ends what earlier runs left open, carries out the plan, one change after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from deployments.changes import ChangeSettings
from deployments.config import DatabaseSettings
from storage.errors import NotMeasuredError
from tasks.components.database.change.carry_out import Carrier
from tasks.components.database.change.decide import Rules
from tasks.components.database.change.hand import Hand
from tasks.components.database.change.indexes import Found, Indexes
from tasks.components.database.change.ledger import Ledger
from tasks.components.database.change.records import (
    OPEN,
    ChangeError,
    ChangePlan,
    Entry,
    Event,
    Outcome,
    State,
)
from tasks.components.database.change.steps import Steps
from tasks.components.database.change.watch import Limits
from tasks.load.database.session import Server, Watchdog

_MB = 1_000_000


@dataclass(frozen=True)
class Request:
    """What one run may do: an approved plan on the database of an environment."""

    run: str
    environment: str
    production: bool
    server: Server
    plan: ChangePlan
    approved_by: str
    settings: ChangeSettings
    reads: DatabaseSettings


def optimize(request: Request, ledger: Ledger, say: Callable[[str], None]) -> Outcome:
    """Carry the plan out; raises `NotMeasuredError` where the database cannot be changed at all.

    A step that fails is in the outcome with its reason, and the next one is begun; one that left something behind
    ends the run. Ctrl-C ends it too: what was half built is removed, and the outcome says `interrupted`.
    """
    entries: list[Entry] = []
    recovered: list[Entry] = []
    notes: list[str] = []
    interrupted = False
    with _steps(request, ledger, say) as (steps, indexes):
        try:
            _recover(request, steps, indexes, recovered, notes)
            for number, step in enumerate(request.plan.steps, start=1):
                entry = _new(request, number)
                entries.append(entry)
                try:
                    entries[-1] = steps.carry_out(entry)
                except (ChangeError, NotMeasuredError) as error:
                    entries[-1] = _failed(ledger, entry, str(error))
                    say(f"{step.name}: {error}")
                if entries[-1].state in OPEN:
                    notes.append("the run ended here, for a change could not be taken back: the next run will")
                    break
        except KeyboardInterrupt:
            interrupted = True
    stored = {(entry.run, entry.number): entry for entry in ledger.entries()}
    return Outcome(
        run=request.run,
        environment=request.environment,
        database=request.server.shown,
        plan=request.plan.fingerprint,
        approved_by=request.approved_by,
        entries=tuple(stored.get((one.run, one.number), one) for one in entries),
        recovered=tuple(stored.get((one.run, one.number), one) for one in recovered),
        notes=tuple(notes),
        interrupted=interrupted,
    )


def _failed(ledger: Ledger, entry: Entry, words: str) -> Entry:
    """What could not be done: nothing has happened yet, or the ledger knows how far it is."""
    stored = {(one.run, one.number): one for one in ledger.entries()}.get((entry.run, entry.number), entry)
    state = State.FAILED if stored is entry else State.UNCLEAN
    return ledger.write(stored.moved(datetime.now(UTC), state, words))


@contextmanager
def _steps(request: Request, ledger: Ledger, say: Callable[[str], None]) -> Iterator[tuple[Steps, Indexes]]:
    """The session with the lock and everything around it; closed at the end, whatever happens."""
    settings = request.settings
    watchdog = Watchdog()
    hand = Hand(request.server, watchdog, timeout_s=settings.build_timeout_s, say=say)
    limits = Limits(
        writer_wait_s=settings.writer_wait_s,
        own_wait_s=settings.transaction_age_s,
        total_s=settings.build_timeout_s,
        lag_bytes=settings.replica_lag_mb * _MB,
    )
    rules = Rules(
        min_gain=settings.min_gain,
        max_wal_growth=settings.max_wal_growth,
        keep_unproven=settings.keep_unproven and not request.production,
    )
    try:
        hand.session()
        indexes = Indexes(hand, Carrier(hand, request.server, watchdog, limits, say), say)
        yield Steps(request.server, watchdog, settings, rules, request.reads, indexes, ledger, say), indexes
    finally:
        hand.close()
        watchdog.close()


def _new(request: Request, number: int) -> Entry:
    begun = Event(at=datetime.now(UTC), state=State.INTENDED, words="not begun yet")
    return Entry(
        run=request.run,
        number=number,
        environment=request.environment,
        database=request.server.shown,
        plan=request.plan.fingerprint,
        approved_by=request.approved_by,
        step=request.plan.steps[number - 1],
        state=State.INTENDED,
        events=(begun,),
    )


def _recover(request: Request, steps: Steps, indexes: Indexes, recovered: list[Entry], notes: list[str]) -> None:
    """End what the ledger calls open, then remove our indexes that no ledger knows and nobody judged."""
    for entry in steps.ledger.unfinished(request.server.shown):
        recovered.append(entry)
        recovered[-1] = steps.resume(entry)
    for found in indexes.all():
        if found.attached:  # it goes and stays with the whole
            continue
        if found.mark is not None and (not found.valid or not found.mark.kept):
            _remove_orphan(indexes, found, notes)
        elif found.mark is None and not found.valid:
            notes.append(
                f"INVALID index {found.schema}.{found.name} does not bear this program's comment and was left alone: "
                "look at it, and drop it by hand"
            )


def _remove_orphan(indexes: Indexes, found: Found, notes: list[str]) -> None:
    state = "unjudged" if found.valid else "INVALID"
    run = found.mark.run if found.mark else "unknown"
    try:
        indexes.remove(found)
    except (ChangeError, NotMeasuredError) as error:
        notes.append(f"{state} index {found.name} of run {run} could not be removed: {error}")
        return
    notes.append(f"{state} index {found.name} of run {run}, which this ledger does not know, was removed")
