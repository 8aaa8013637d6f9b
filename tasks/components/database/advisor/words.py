"""Puts what was found into recommendations: evidence, effects by statement, plans before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tasks.components.database import partitions
from tasks.components.database.advisor.ask import Planner
from tasks.components.database.advisor.case import Case
from tasks.components.database.advisor.choose import Choice
from tasks.components.database.advisor.evidence import Effect, Evidence, Recommendation
from tasks.components.database.advisor.explain import nodes
from tasks.components.database.advisor.prove import Proof
from tasks.components.database.advisor.records import Plan, PlanError, quoted
from tasks.components.database.advisor.rehearsal import Rehearsal

_OUTLINE = 400


@dataclass(frozen=True)
class Found:
    """All that the advice stands on; `proof` is None where nothing was rehearsed."""

    case: Case
    planner: Planner
    choice: Choice
    kept: Sequence[str]
    proof: Proof | None
    _planned: dict[str, list[Plan]] = field(default_factory=dict)

    def recommendations(self) -> tuple[Recommendation, ...]:
        """One for each kept index, the best first."""
        return tuple(self._recommendation(name) for name in self.kept)

    def _recommendation(self, name: str) -> Recommendation:
        index, candidate, proof = self.planner.indexes[name], self.choice.candidates[name], self.proof
        effects = list(self._effects(name))
        helps = [one for one in effects if one.factor > 1.0]
        best = max(helps, key=lambda one: one.factor * one.calls * one.mean_ms, default=None)
        table = self.case.catalog.tables[index.schema, index.table]
        evidence = Evidence(
            table=f"{index.schema}.{index.table}",
            reason=_reason(helps, proved=proof is not None),
            helps=tuple(sorted(helps, key=lambda one: -one.calls * one.mean_ms)),
            hurts=tuple(one for one in effects if one.factor <= 1.0),
            plans=self._plans(best.statement) if best is not None else (),
            bytes=candidate.bytes if proof is None else proof.bytes[name],
            size_is="estimated" if proof is None else "measured on a copy",
            wal_growth=round(candidate.wal_growth, 4),
            slows={self.case.shown(one): round(share, 3) for one, share in candidate.slows.items()},
            tested=self.planner.whatif.how if proof is None else Rehearsal.how,
            confidence="medium" if proof is None else "high",
        )
        way = "" if table.partitioned else "CONCURRENTLY "
        drop = f"DROP INDEX {way}IF EXISTS {quoted(index.schema)}.{quoted(index.name)}"
        if not table.partitioned:
            return Recommendation(index.definition(concurrently=True), drop, evidence)
        return Recommendation(";\n".join(partitions.commands(index.definition(), table.partitions)), drop, evidence)

    def _effects(self, name: str) -> Iterator[Effect]:
        """Statements whose plan uses the index when all kept ones are there."""
        by_id, index = {one.id: one for one in self.case.statements}, self.planner.indexes[name]
        before = self.proof.before if self.proof is not None else {}
        after = self.proof.after if self.proof is not None else {}
        for one in self.choice.statements:
            if (index.schema, index.table) not in one.tables or one.id in self.planner.refused:
                continue
            if not any(name in plan.indexes for plan in self._kept_plans(one.id)):
                continue
            yield Effect(
                one.id,
                by_id[one.id].shown,
                by_id[one.id].calls,
                round(one.mean_ms, 3),
                round(self.choice.cost_of(one, frozenset()), 1),
                round(self.choice.cost_of(one, frozenset(self.kept)), 1),
                _ms(before.get(one.id)),
                _ms(after.get(one.id)),
            )

    def _kept_plans(self, statement: str) -> list[Plan]:
        if statement not in self._planned:
            try:
                self._planned[statement] = self.planner.plans(statement, self.kept)
            except PlanError:
                self._planned[statement] = []
        return self._planned[statement]

    def _plans(self, statement: str) -> tuple[str, ...]:
        """The first plan before and after, one line each."""
        try:
            before = self.planner.plans(statement, ())[0]
        except PlanError:
            return ()
        return (
            f"before: {_outline(before)}",
            *(f"after: {_outline(one)}" for one in self._kept_plans(statement)[:1]),
        )


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _reason(helps: Sequence[Effect], *, proved: bool) -> str:
    if not helps:
        return "used by the planner beside the other recommendations"
    best = max(helps, key=lambda one: one.factor)
    what = "measured on a copy" if proved and best.measured_after_ms else "by the planner's cost"
    return f"helps {len(helps)} statement(s), the most by a factor of {best.factor:.1f} ({what})"


def _outline(plan: Plan) -> str:
    """Nodes of a plan with their tables and indexes, without conditions: those hold values."""
    parts = []
    for node in nodes(plan.root):
        on = node.get("Index Name") or node.get("Relation Name")
        parts.append(f"{node['Node Type']}{f' on {on}' if on else ''}")
    return f"{' > '.join(parts)[:_OUTLINE]} (cost {plan.cost:,.0f})"
