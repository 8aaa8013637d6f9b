"""The order of work."""

from __future__ import annotations

from storage.records import ComponentId, Level, Severity
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
