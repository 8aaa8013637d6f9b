"""The order of work."""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

from storage.records import ComponentId, Finding, Level, Severity
from tasks.judge.dependencies import RULES
from tasks.judge.roadmap import failure_findings, ordered, roadmap, top_actions
from tests.report_example import failed, finding, results, switched_off

CRITICAL = finding("a", severity=Severity.CRITICAL, impact=Level.LOW, effort=Level.HIGH)
QUICK_WIN = finding("b", severity=Severity.WARNING, impact=Level.HIGH, effort=Level.LOW)
LARGE = finding("c", severity=Severity.WARNING, impact=Level.HIGH, effort=Level.HIGH)
COSTLY = finding("d", severity=Severity.WARNING, impact=Level.MEDIUM, effort=Level.HIGH)
MERE = finding("e", severity=Severity.INFO, impact=Level.HIGH, effort=Level.LOW)
ALL = (MERE, COSTLY, LARGE, QUICK_WIN, CRITICAL)


def test_severity_goes_before_impact_before_effort() -> None:
    assert ordered(ALL) == (CRITICAL, QUICK_WIN, LARGE, COSTLY, MERE)
    assert ordered(reversed(ALL)) == ordered(ALL)


def test_three_months() -> None:
    months = [(item.month, item.finding.rpartition(":")[2]) for item in roadmap(ALL)]
    assert months == [(1, "a"), (1, "b"), (2, "c"), (3, "d"), (3, "e")]


def test_top_actions() -> None:
    assert top_actions(ALL) == (CRITICAL, QUICK_WIN, LARGE)
    assert top_actions((), n=3) == ()


def test_a_failed_component_is_a_critical_finding_with_its_reason() -> None:
    (found,) = failure_findings([*results()[1:], failed(ComponentId.DATABASE, "nothing listens")], "staging")
    assert (found.severity, found.component, found.detail) == (
        Severity.CRITICAL,
        ComponentId.DATABASE,
        "nothing listens",
    )
    assert found.evidence[0].value is None
    assert found.remedy.commands == ("hasivu-perf doctor staging",)


def test_what_was_left_out_on_purpose_is_no_finding() -> None:
    assert failure_findings([switched_off(ComponentId.RFID)]) == ()


def advice(component: ComponentId, kind: str, subject: str, severity: Severity = Severity.WARNING) -> Finding:
    made = finding(subject, severity=severity, impact=Level.MEDIUM, effort=Level.MEDIUM)
    return made.model_copy(update={"id": f"{component.value}.{kind}:{subject}", "component": component, "kind": kind})


POOL = advice(ComponentId.DATABASE, "pool", "application")
INDEX = advice(ComponentId.DATABASE, "missing_index", "orders(user_id)")


def test_a_pool_is_sized_once_the_missing_index_is_there() -> None:
    items = roadmap([POOL, INDEX])
    assert [item.finding for item in items] == [INDEX.id, POOL.id]
    assert [item.waits_for for item in items] == [(), (INDEX.id,)]
    assert "busy" in items[1].why_after


def test_what_a_step_waits_for_comes_into_its_month() -> None:
    quick = POOL.model_copy(update={"impact": Level.HIGH, "effort": Level.LOW})
    late = INDEX.model_copy(update={"severity": Severity.INFO})
    assert [(item.month, item.finding) for item in roadmap([quick, late])] == [(1, late.id), (1, quick.id)]


def test_what_is_critical_waits_for_nothing() -> None:
    critical = POOL.model_copy(update={"severity": Severity.CRITICAL})
    items = roadmap([critical, INDEX])
    assert [(item.finding, item.waits_for) for item in items] == [(critical.id, ()), (INDEX.id, ())]


def test_two_indexes_on_the_same_columns_are_two_steps() -> None:
    wider = INDEX.model_copy(update={"title": "the same with INCLUDE"})
    items = roadmap([POOL, INDEX, wider])
    assert [item.title for item in items] == [INDEX.title, wider.title, POOL.title]
    assert items[2].waits_for == (INDEX.id,)


def test_a_function_waits_for_its_own_memory_alone() -> None:
    bursts = advice(ComponentId.LAMBDA, "bursts", "pay")
    own, other = (advice(ComponentId.LAMBDA, "memory_undersized", name) for name in ("pay", "scan"))
    found = {item.finding: item.waits_for for item in roadmap([bursts, other, own])}
    assert found == {bursts.id: (own.id,), own.id: (), other.id: ()}


def test_every_kind_of_the_rules_exists_and_no_two_wait_for_each_other() -> None:
    sources = {part: _source_of(part) for part in ("database", "cache", "lambda", "api")}
    waits = {kind: {one for rule in RULES if kind in rule.waits for one in rule.waits_for} for kind in _KINDS}
    assert [kind for kind in _KINDS if f'"{kind.partition(".")[2]}"' not in sources[kind.partition(".")[0]]] == []
    tuple(TopologicalSorter(waits).static_order())  # raises CycleError


_KINDS = {kind for rule in RULES for kind in (*rule.waits, *rule.waits_for)}
_PACKAGES = {"lambda": "components/lambda_functions", "api": "load"}


def _source_of(part: str) -> str:
    folder = Path("tasks") / _PACKAGES.get(part, f"components/{part}")
    files = [*folder.rglob("*.py"), *(Path("tasks/components/api").glob("*.py") if part == "api" else ())]
    return "".join(path.read_text() for path in files)
