"""Index advice for a database: what runs on it, what would help, proved where it may be. Nothing on it is changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

from storage.errors import NotMeasuredError
from tasks.components.database.advisor import catalog as catalogs
from tasks.components.database.advisor import workload, writes
from tasks.components.database.advisor.alike import take_nearest
from tasks.components.database.advisor.ask import Planner, unused, useful
from tasks.components.database.advisor.case import Case
from tasks.components.database.advisor.choose import PRICE, PRICE_IN_BUDGET, WAL_GROWTH, Candidate, Choice, Weighted
from tasks.components.database.advisor.evidence import Advice, redundant
from tasks.components.database.advisor.hypopg import HypoPG
from tasks.components.database.advisor.locality import same_machine
from tasks.components.database.advisor.propose import could_serve
from tasks.components.database.advisor.prove import Proof, Prover
from tasks.components.database.advisor.records import Index, WhatIf
from tasks.components.database.advisor.rehearsal import Rehearsal
from tasks.components.database.advisor.source import Name
from tasks.components.database.advisor.stopwatch import Stopwatch
from tasks.components.database.advisor.twin import Twin
from tasks.components.database.advisor.uses import Parsed
from tasks.components.database.advisor.words import Found
from tasks.components.database.advisor.workload import Statement
from tasks.load.database.session import QueryError, Server, Session, Watchdog

SESSION_MS = 12_000
REHEARSAL_BYTES = 3 * 2**30
LOOK_S, SERVE_S, RATE_S, CHOICE_S = 60.0, 15.0, 30.0, 60.0
"""Time for a look at what helps each statement, what of it helps others too, and the choice by cost with its rating.
"""

PAIRS = 2_000
"""Pairs of a statement and a candidate that are all rated: with more of them, those that the planner never takes are
left out before."""

COPY_S, DRAW_S, ALIKE_S, REHEARSAL_S = 120.0, 20.0, 10.0, 90.0
"""Time for the copy of the rows, for values from it, for which of them are like the real ones, and for what is timed
on it."""

_SEVERITY, _SLACK = 0.4, 1.2
"""Prices and budget of the first choice where a rehearsal judges again by the clock: it sees more than it keeps."""

_SHARE_OF_TABLES = 0.25

Rehearse = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Options:
    """What the caller asks for.

    `rehearse` is whether rows may be copied to a scratch server on this machine: "auto" copies them only where the
    server runs on this machine already. `budget_bytes` None is a quarter of the tables; `wal_growth` is the most by
    which all new indexes together may make the workload's WAL grow, as a share.
    """

    budget_bytes: int | None = None
    most: int | None = None
    rehearse: Rehearse = "auto"
    statements: Sequence[Statement] | None = None
    wal_growth: float = WAL_GROWTH


@dataclass
class _Work:
    """One asking: the workload, and a copy of its rows where there may be one."""

    case: Case
    options: Options
    copy: Rehearsal | None
    hurried: int = 0
    """Statements for which there was no time to look for indexes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out for want of time."""
        if not self.hurried:
            return ()
        return (f"{self.hurried} statements that take least of the time were not looked at: planning took too long",)


def recommend(server: Server, options: Options | None = None) -> Advice:
    """Advise on a database; raises NotMeasuredError and its kin where that cannot be done."""
    asked = options or Options()
    watchdog = Watchdog()
    try:
        with Session(server, watchdog, timeout_ms=SESSION_MS) as session:
            return _recommend(session, asked)
    except QueryError as error:
        raise NotMeasuredError(f"{server.shown} could not be read for advice: {error}; {error.remedy}") from None
    finally:
        watchdog.close()


def _recommend(session: Session, options: Options) -> Advice:
    found, hidden = (options.statements, "") if options.statements is not None else workload.of_server(session)
    catalog = catalogs.read(session)
    catalogs.check_statistics(session, catalog)
    case = Case.of(catalog, found, session)
    unused = tuple(redundant(case.catalog))
    if not case.relevant:
        if hidden:
            raise NotMeasuredError(hidden)
        nothing = "no statement of the workload uses a table: nothing to advise"
        return Advice((), unused, len(found), 0, case.refused, notes=(nothing,))
    with _copied(session, case, options) as (copy, uncopied), _whatif(session, case.tables) as (whatif, notes):
        work = _Work(case, options, copy)
        if copy is not None:
            case.draw(copy.draw, _patience(DRAW_S))
            take_nearest(case, copy, ALIKE_S)
        planner = Planner(whatif, dict(case.texts), case.typed)
        choice = _choice(planner, work)
        names = choice.choose()
        proof = _proved(work, planner, choice, names)
        if proof is None and copy is not None:  # what was left to the clock to judge
            _unslacken(choice)
            names = choice.choose()
        kept = _kept(names, proof)
        refused = case.refused | planner.refused
        return Advice(
            recommendations=Found(case, planner, choice, kept, proof).recommendations(),
            redundant=unused,
            statements=len(found) - len(case.aside),
            planned=len(found) - len(case.aside) - len(refused),
            not_planned={case.shown(one): why for one, why in refused.items()},
            not_kept=_not_kept(planner, proof) | choice.too_much,
            how=whatif.how if proof is None else f"{whatif.how}, {Rehearsal.how}",
            notes=(
                *([hidden] if hidden else ()),
                *_without_index(catalog, case.tables),
                *notes,
                *work.notes,
                *(uncopied if names else ()),
            ),
        )


def _without_index(catalog: catalogs.Catalog, tables: Sequence[Name]) -> Iterator[str]:
    for name in tables:
        if catalog.tables[name].partly_foreign:
            yield f"{'.'.join(name)} has foreign tables as partitions: no index of all of it is advised"


def _kept(names: Sequence[str], proof: Proof | None) -> list[str]:
    """What is recommended, the best first: narrower forms that the rehearsal found come last."""
    if proof is None:
        return list(names)
    return [*(name for name in names if name in proof.kept), *(name for name in proof.kept if name not in names)]


def _not_kept(planner: Planner, proof: Proof | None) -> dict[str, str]:
    dropped = proof.dropped if proof is not None else {}
    return {planner.indexes[name].definition(): why for name, why in dropped.items()}


@contextmanager
def _whatif(session: Session, tables: Sequence[Name]) -> Iterator[tuple[WhatIf, tuple[str, ...]]]:
    """The planner twin; HypoPG where the twin cannot be had and the source has that."""
    with ExitStack() as stack:
        try:
            twin = stack.enter_context(Twin.of(session, tables))
        except NotMeasuredError as error:
            hypopg = HypoPG.of(session)
            if hypopg is None:
                raise
            yield hypopg, (f"asked HypoPG, since there is no planner twin: {error}",)
            return
        yield twin, twin.notes


# --- the choice ---


def _choice(planner: Planner, work: _Work) -> Choice:
    case, options = work.case, work.options
    together: set[frozenset[str]] = set()
    promises: Counter[str] = Counter()
    costs: dict[str, float] = {}
    useless: dict[str, frozenset[str]] = {}
    patience = _patience(LOOK_S)
    for one in sorted(case.relevant, key=lambda one: -one.total_ms):
        if not (looked_at := patience()):
            work.hurried += 1
        uses = useful(planner, one.id, case.parsed[one.id], case.catalog, looked_at=looked_at)
        together.update(uses.together)
        useless[one.id] = uses.useless
        promises.update({name: uses.promise(name) for name in uses.names})
        costs[one.id] = planner.cost(one.id, frozenset())
    for name in planner.indexes.keys() - promises.keys():
        planner.whatif.remove(planner.indexes.pop(name))
    budget = round(_SHARE_OF_TABLES * case.table_bytes) if options.budget_bytes is None else options.budget_bytes
    return Choice(
        statements=_weighted(case, costs, _serving(planner, case, sorted(promises), useless)),
        candidates={name: _candidate(planner, name, case) for name in sorted(promises)},
        cost=planner.cost,
        table_bytes=case.table_bytes,
        budget_bytes=round(_SLACK * budget) if work.copy else budget,
        most=options.most,
        most_wal=writes.most_growth(options.wal_growth, case.statements),
        size_price=PRICE if options.budget_bytes is None else PRICE_IN_BUDGET,
        severity=_SEVERITY if work.copy else 1.0,
        patience=_patience(CHOICE_S),
        leisure=_patience(RATE_S),
        together=[one for one in together if len(one) > 1],
        promises=promises,
    )


def _patience(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def _serving(
    planner: Planner, case: Case, names: Sequence[str], useless: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """By statement the candidates that it could use; where those are very many, the ones that the planner takes."""
    could = {
        one.id: frozenset(name for name in names if _could_serve(planner.indexes[name], case.parsed[one.id]))
        - useless[one.id]
        for one in case.relevant
    }
    if sum(map(len, could.values())) <= PAIRS:
        return could
    patience = _patience(SERVE_S)
    return {one: of_it - (unused(planner, one, of_it) if patience() else frozenset()) for one, of_it in could.items()}


def _weighted(case: Case, costs: Mapping[str, float], serving: Mapping[str, frozenset[str]]) -> list[Weighted]:
    """Times as measured; a statement that never ended is timed by its cost, at the workload's milliseconds a cost."""
    timed = [one for one in case.relevant if one.calls and one.total_ms and costs[one.id] > 0]
    total = sum(costs[one.id] * one.calls for one in timed)
    each = sum(one.total_ms for one in timed) / total if total else 0.01
    return [
        Weighted(
            one.id,
            one.mean_ms or each * costs[one.id],
            max(one.calls, one.cancelled, 1.0),
            frozenset(use.table.full_name for use in case.parsed[one.id].uses),
            serving[one.id],
        )
        for one in case.relevant
    ]


def _could_serve(index: Index, parsed: Parsed) -> bool:
    return any(could_serve(index, use) for use in parsed.uses)


def _candidate(planner: Planner, name: str, case: Case) -> Candidate:
    index = planner.indexes[name]
    table = case.catalog.tables[index.schema, index.table]
    size = planner.sizes[name]
    return Candidate(
        index,
        size,
        writes.wal_growth(index, size, table, case.statements, case.parsed),
        _joins(index, case),
        writes.slows(index, table, case.statements, case.parsed),
    )


def _joins(index: Index, case: Case) -> bool:
    """Whether an index is on a column alone by which statements join."""
    if len(index.keys) > 1 or index.include or index.predicate:
        return False
    uses = (use for one in case.parsed.values() for use in one.uses)
    return any(
        use.table.full_name == (index.schema, index.table) and index.keys[0].column in use.joined for use in uses
    )


# --- the proof ---


def _may_rehearse(session: Session, case: Case, options: Options) -> bool:
    if options.rehearse == "auto":
        return case.table_bytes <= REHEARSAL_BYTES and same_machine(session)
    return options.rehearse == "always"


@contextmanager
def _copied(session: Session, case: Case, options: Options) -> Iterator[tuple[Rehearsal | None, tuple[str, ...]]]:
    """A copy of the rows with its notes; none, and why, where there can be none."""
    if not _may_rehearse(session, case, options):
        why = "not proved by run time: rows are copied only with --rehearse, or where the server runs on this machine"
        yield None, (why,)
        return
    with ExitStack() as stack:
        try:
            copied = Rehearsal.of(session, case.tables, limit_bytes=REHEARSAL_BYTES, timeout_s=COPY_S)
            copy = stack.enter_context(copied)
        except NotMeasuredError as error:
            yield None, (f"not proved by run time: {error}",)
            return
        yield copy, copy.notes


def _proved(work: _Work, planner: Planner, choice: Choice, names: Sequence[str]) -> Proof | None:
    """What the clock says on a copy; None where there is no copy."""
    if not names or work.copy is None:
        return None
    reads = {
        one.id: planner.texts[one.id]
        for one in work.case.relevant
        if not one.writes and one.id not in planner.refused
    }
    weighted = {one.id: one for one in choice.statements}
    _unslacken(choice)
    watch = Stopwatch(work.copy, reads, weighted, REHEARSAL_S)
    choice.patience = lambda: not watch.over
    proof = Prover(watch, weighted, planner.indexes, choice).prove(names)
    return proof if proof.before else None


def _unslacken(choice: Choice) -> None:
    """From the generous prices of a first choice to the real ones, once."""
    if choice.severity < 1.0:
        choice.severity = 1.0
        choice.budget_bytes = None if choice.budget_bytes is None else round(choice.budget_bytes / _SLACK)


__all__ = ["Index", "Options", "Rehearse", "recommend"]
