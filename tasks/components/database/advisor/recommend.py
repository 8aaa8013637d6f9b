"""Index advice for a database: what runs on it, what would help, proved where it may be. Nothing on it is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from storage.errors import NotMeasuredError
from tasks.components.database.advisor import catalog as catalogs
from tasks.components.database.advisor import fill, workload, writes
from tasks.components.database.advisor.ask import Planner, useful
from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.choose import Candidate, Choice, Weighted
from tasks.components.database.advisor.evidence import Advice, Effect, Evidence, Recommendation, redundant
from tasks.components.database.advisor.explain import nodes
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.hypopg import HypoPG
from tasks.components.database.advisor.locality import same_machine
from tasks.components.database.advisor.prove import Proof, Prover
from tasks.components.database.advisor.records import Index, Plan, PlanError, WhatIf, quoted
from tasks.components.database.advisor.rehearsal import Rehearsal
from tasks.components.database.advisor.statement import Parsed, UnparsableError, parse
from tasks.components.database.advisor.twin import Twin
from tasks.components.database.advisor.workload import Statement
from tasks.load.database.session import Server, Session, Watchdog

SESSION_MS = 15_000
REHEARSAL_BYTES = 4 * 2**30
REHEARSAL_S = 120.0
_SEVERITY = 0.4
"""Prices of the first choice where a rehearsal judges again by the clock: it sees more candidates than it keeps."""

_SHARE_OF_TABLES = 0.25

Rehearse = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Options:
    """What the caller asks for.

    `rehearse` is whether rows may be copied to a scratch server on this machine: "auto" copies them only where the
    server runs on this machine already. `budget_bytes` None is a quarter of the tables.
    """

    budget_bytes: int | None = None
    most: int | None = None
    rehearse: Rehearse = "auto"
    statements: Sequence[Statement] | None = None


@dataclass
class _Case:
    """A workload taken apart."""

    catalog: Catalog
    statements: Sequence[Statement]
    parsed: dict[str, Parsed] = field(default_factory=dict)
    texts: dict[str, list[Filled]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def relevant(self) -> list[Statement]:
        """Statements that were parsed and use a table."""
        return [one for one in self.statements if one.id in self.parsed]

    @property
    def table_bytes(self) -> int:
        """Bytes of all tables that the workload uses."""
        names = fill.tables_of(list(self.parsed.values()), self.catalog)
        return sum(self.catalog.tables[name].bytes for name in names)


def recommend(server: Server, options: Options | None = None) -> Advice:
    """Advise on a database; raises NotMeasuredError and its kin where that cannot be done."""
    asked = options or Options()
    watchdog = Watchdog()
    try:
        with Session(server, watchdog, timeout_ms=SESSION_MS) as session:
            return _recommend(session, asked)
    finally:
        watchdog.close()


def _recommend(session: Session, options: Options) -> Advice:
    found = options.statements if options.statements is not None else workload.of_server(session)
    case = _taken_apart(catalogs.read(session), found)
    _fill(session, case)
    tables = fill.tables_of(list(case.parsed.values()), case.catalog)
    if not case.relevant:
        nothing = "no statement of the workload uses a table: nothing to advise"
        return Advice((), tuple(redundant(case.catalog)), len(found), 0, case.refused, notes=(nothing,))
    with _whatif(session, tables) as (whatif, notes):
        planner = Planner(whatif, dict(case.texts))
        choice = _choice(planner, case, options, rehearsed=_may_rehearse(session, case, options))
        names = choice.choose()
        proof, more = _proved(session, case, planner, choice, names, options)
        kept = [name for name in names if name in proof.kept] if proof is not None else names
        made = tuple(_recommendation(name, kept, case, planner, choice, proof) for name in kept)
        refused = case.refused | planner.refused
        return Advice(
            recommendations=made,
            redundant=tuple(redundant(case.catalog)),
            statements=len(found),
            planned=len(case.relevant) - len(planner.refused),
            not_planned={_shown(one, case): why for one, why in refused.items()},
            not_kept={planner.indexes[name].definition(): why for name, why in proof.dropped.items()}
            if proof
            else {},
            how=whatif.how if proof is None else f"{whatif.how}, {Rehearsal.how}",
            notes=(*notes, *more),
        )


def _not_kept(planner: Planner, proof: Proof | None) -> dict[str, str]:
    dropped = proof.dropped if proof is not None else {}
    return {planner.indexes[name].definition(): why for name, why in dropped.items()}


def _shown(statement: str, case: _Case) -> str:
    return next((one.shown for one in case.statements if one.id == statement), statement)


# --- the workload ---


def _taken_apart(catalog: Catalog, statements: Sequence[Statement]) -> _Case:
    case = _Case(catalog, statements)
    for one in statements:
        try:
            parsed = parse(one.text, catalog)
        except UnparsableError as error:
            case.refused[one.id] = str(error)
            continue
        if parsed.uses:
            case.parsed[one.id] = parsed
    return case


def _fill(session: Session, case: _Case) -> None:
    columns = fill.read(session, list(case.parsed.values()))
    for one in case.relevant:
        case.texts[one.id] = fill.filled(one.text, case.parsed[one.id], columns)


@contextmanager
def _whatif(session: Session, tables: Sequence[tuple[str, str]]) -> Iterator[tuple[WhatIf, tuple[str, ...]]]:
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


def _choice(planner: Planner, case: _Case, options: Options, *, rehearsed: bool) -> Choice:
    together: set[frozenset[str]] = set()
    names: set[str] = set()
    costs: dict[str, float] = {}
    for one in case.relevant:
        uses = useful(planner, one.id, case.parsed[one.id], case.catalog)
        together.update(uses.together)
        names |= uses.names
        costs[one.id] = planner.cost(one.id, frozenset())
    for name in planner.indexes.keys() - names:
        planner.whatif.remove(planner.indexes.pop(name))
    budget = options.budget_bytes
    return Choice(
        statements=_weighted(case, costs),
        candidates={name: _candidate(planner, name, case) for name in sorted(names)},
        cost=planner.cost,
        table_bytes=case.table_bytes,
        budget_bytes=round(_SHARE_OF_TABLES * case.table_bytes) if budget is None else budget,
        most=options.most,
        severity=_SEVERITY if rehearsed else 1.0,
        together=[one for one in together if len(one) > 1],
    )


def _weighted(case: _Case, costs: Mapping[str, float]) -> list[Weighted]:
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
        )
        for one in case.relevant
    ]


def _candidate(planner: Planner, name: str, case: _Case) -> Candidate:
    index = planner.indexes[name]
    table = case.catalog.tables[index.schema, index.table]
    return Candidate(
        index,
        planner.sizes[name],
        writes.wal_growth(index, table, case.statements, case.parsed),
        writes.slows(index, table, case.statements, case.parsed),
    )


# --- the proof ---


def _may_rehearse(session: Session, case: _Case, options: Options) -> bool:
    if options.rehearse == "auto":
        return case.table_bytes <= REHEARSAL_BYTES and same_machine(session)
    return options.rehearse == "always"


def _proved(  # noqa: PLR0917 - one caller, each a thing of its own
    session: Session, case: _Case, planner: Planner, choice: Choice, names: Sequence[str], options: Options
) -> tuple[Proof | None, tuple[str, ...]]:
    """What the clock says on a copy; None, and why, where there is no copy."""
    if not names:
        return None, ()
    if not _may_rehearse(session, case, options):
        why = "not proved by run time: rows are copied only with --rehearse, or where the server runs on this machine"
        return None, (why,)
    reads = {one.id: case.texts[one.id] for one in case.relevant if not one.writes and one.id not in planner.refused}
    weighted = {one.id: one for one in choice.statements}
    tables = fill.tables_of(list(case.parsed.values()), case.catalog)
    try:
        with Rehearsal.of(session, tables, limit_bytes=REHEARSAL_BYTES) as copy:
            choice.severity = 1.0
            proof = Prover(copy, reads, weighted, planner.indexes, REHEARSAL_S).prove(names, choice)
            return (proof if proof.before else None), copy.notes
    except NotMeasuredError as error:
        return None, (f"not proved by run time: {error}",)


# --- the words ---


def _recommendation(  # noqa: PLR0917 - one caller, each a thing of its own
    name: str, kept: Sequence[str], case: _Case, planner: Planner, choice: Choice, proof: Proof | None
) -> Recommendation:
    index = planner.indexes[name]
    candidate = choice.candidates[name]
    effects = list(_effects(name, kept, case, planner, choice, proof))
    helps = [one for one in effects if one.factor > 1.0]
    size = proof.bytes[name] if proof is not None else candidate.bytes
    tested = planner.whatif.how if proof is None else Rehearsal.how
    table = f"{index.schema}.{index.table}"
    best = max(helps, key=lambda one: one.factor * one.calls * one.mean_ms, default=None)
    evidence = Evidence(
        table=table,
        reason=_reason(helps, proof is not None),
        helps=tuple(sorted(helps, key=lambda one: -one.calls * one.mean_ms)),
        hurts=tuple(one for one in effects if one.factor <= 1.0),
        plans=_plans(planner, best.statement, kept) if best is not None else (),
        bytes=size,
        size_is="measured on a copy" if proof is not None else "estimated",
        wal_growth=round(candidate.wal_growth, 4),
        slows={_shown(one, case): round(share, 3) for one, share in candidate.slows.items()},
        tested=tested,
        confidence="high" if proof is not None else "medium",
    )
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(index.schema)}.{quoted(index.name)}"
    return Recommendation(index.definition(concurrently=True), drop, evidence)


def _effects(  # noqa: PLR0917 - one caller, each a thing of its own
    name: str, kept: Sequence[str], case: _Case, planner: Planner, choice: Choice, proof: Proof | None
) -> Iterator[Effect]:
    """Statements whose plan uses the index when all kept ones are there."""
    by_id = {one.id: one for one in case.statements}
    for one in choice.statements:
        index = planner.indexes[name]
        if (index.schema, index.table) not in one.tables or one.id in planner.refused:
            continue
        try:
            plans = planner.plans(one.id, kept)
        except PlanError:
            continue
        if not any(name in plan.indexes for plan in plans):
            continue
        yield Effect(
            one.id,
            by_id[one.id].shown,
            by_id[one.id].calls,
            round(one.mean_ms, 3),
            round(choice.cost_of(one, frozenset()), 1),
            round(choice.cost_of(one, frozenset(kept)), 1),
            _ms(proof.before.get(one.id)) if proof else None,
            _ms(proof.after.get(one.id)) if proof else None,
        )


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _reason(helps: Sequence[Effect], proved: bool) -> str:  # noqa: FBT001 - one caller
    if not helps:
        return "used by the planner beside the other recommendations"
    best = max(helps, key=lambda one: one.factor)
    what = "measured on a copy" if proved and best.measured_after_ms else "by the planner's cost"
    return f"helps {len(helps)} statement(s), the most by a factor of {best.factor:.1f} ({what})"


def _plans(planner: Planner, statement: str, kept: Sequence[str]) -> tuple[str, ...]:
    """The first plan before and after, one line each."""
    try:
        before, after = planner.plans(statement, ())[0], planner.plans(statement, kept)[0]
    except PlanError:
        return ()
    return (f"before: {_outline(before)}", f"after: {_outline(after)}")


def _outline(plan: Plan) -> str:
    """Nodes of a plan with their tables and indexes, without conditions: those hold values."""
    parts = []
    for node in nodes(plan.root):
        on = node.get("Index Name") or node.get("Relation Name")
        parts.append(f"{node['Node Type']}{f' on {on}' if on else ''}")
    return f"{' > '.join(parts)[:400]} (cost {plan.cost:,.0f})"


def definitions(advice: Advice) -> list[str]:
    """The statements that make the advice real, in order."""
    return [one.sql for one in advice.recommendations]


__all__ = ["Index", "Options", "Rehearse", "definitions", "recommend"]
