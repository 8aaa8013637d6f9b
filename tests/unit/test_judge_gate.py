"""The gate fails closed: strict limits on raw values, and nothing passes that was not measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from storage.errors import ExitCode
from storage.records import (
    ComponentId,
    ComponentResult,
    Finding,
    GatePolicy,
    GateVerdict,
    MeasuredComponent,
    Regression,
    Report,
    Severity,
    Unit,
    Waiver,
    WaiverState,
    Window,
)
from tasks.judge.gate import again, asked_checks, asked_score, exit_code
from tasks.report.build import build
from tasks.report.gate_output import github_annotations
from tasks.report.renderings import renderings
from tasks.report.words import verdict_sentence
from tests.report_example import (
    GOOD_VALUES,
    START,
    THRESHOLDS,
    WEIGHTS,
    failed,
    finding,
    good_report,
    info,
    measured,
    measurement,
    not_asked,
    replaced,
    results,
    switched_off,
)

GATED = {t.metric: t for t in THRESHOLDS if t.gate is not None}


def verdicts(report: Report) -> dict[str, GateVerdict]:
    return {check.id: check.verdict for check in report.gate.checks}


def built(found: Sequence[ComponentResult], **changes: object) -> Report:
    return build(info(**changes), found, THRESHOLDS, WEIGHTS)


def only(*components: ComponentId, **values: float | None) -> Report:
    """A run that was asked for some components alone."""
    known = {name.replace("__", "."): value for name, value in values.items()}
    found = [r if r.component in components else not_asked(r.component) for r in results(known)]
    return built(found, settings={"components": ",".join(components)})


def test_the_production_checklist() -> None:
    report = good_report()
    assert [(c.id, c.comparison, c.limit) for c in report.gate.checks] == [
        ("score", ">=", 85),
        ("critical_findings", "==", 0),
        ("api.latency.p95", "<", 200),
        ("api.errors.ratio", "<", 0.01),
        ("database.query.p95", "<", 50),
        ("lambda.cold_start.p95", "<", 3000),
        ("cache.hits.ratio", ">", 0.9),
    ]
    assert report.gate.verdict is GateVerdict.PASS
    assert exit_code(report) is ExitCode.PASS


@pytest.mark.parametrize("metric", sorted(GATED))
def test_exactly_the_limit_fails(metric: str) -> None:
    report = good_report({metric: GATED[metric].gate})
    assert verdicts(report)[metric] is GateVerdict.FAIL
    assert exit_code(report) is ExitCode.GATE_FAILED


@pytest.mark.parametrize("metric", sorted(GOOD_VALUES))
def test_each_missing_metric_is_no_data_and_incomplete(metric: str) -> None:
    report = good_report({metric: None})
    assert report.gate.verdict is GateVerdict.NO_DATA
    assert exit_code(report) is ExitCode.INCOMPLETE
    if metric in GATED:
        assert verdicts(report)[metric] is GateVerdict.NO_DATA


@pytest.mark.parametrize("component", list(ComponentId))
def test_each_failed_component_fails_the_gate(component: ComponentId) -> None:
    report = built(replaced(component, failed(component)))
    assert verdicts(report)["score"] is GateVerdict.NO_DATA
    assert verdicts(report)["critical_findings"] is GateVerdict.FAIL
    assert exit_code(report) is ExitCode.INCOMPLETE
    assert report.findings[0].severity is Severity.CRITICAL


def test_no_data_goes_before_fail() -> None:
    report = good_report({"api.latency.p95": 900, "cache.hits.ratio": None})
    assert verdicts(report)["api.latency.p95"] is GateVerdict.FAIL
    assert report.gate.verdict is GateVerdict.NO_DATA
    assert exit_code(report) is ExitCode.INCOMPLETE


def test_all_dead() -> None:
    report = built([failed(component) for component in ComponentId])
    assert (report.score.value, report.score.grade) == (0, "D")
    assert report.gate.verdict is GateVerdict.NO_DATA
    assert exit_code(report) is ExitCode.INCOMPLETE
    assert len(report.findings) == 6


def test_a_target_that_is_down_but_answers_for_its_errors_is_measured() -> None:
    report = good_report({"api.errors.ratio": 1.0, "api.latency.p95": None})
    assert verdicts(report)["api.errors.ratio"] is GateVerdict.FAIL
    assert verdicts(report)["api.latency.p95"] is GateVerdict.NO_DATA


def test_a_critical_finding_fails() -> None:
    database = results()[0]
    assert database.status == "measured"
    found = database.model_copy(update={"findings": (finding(severity=Severity.CRITICAL),)})
    report = built(replaced(ComponentId.DATABASE, found))
    assert verdicts(report)["critical_findings"] is GateVerdict.FAIL
    assert exit_code(report) is ExitCode.GATE_FAILED


def test_a_score_below_85_fails_though_every_limit_is_kept() -> None:
    report = good_report({"websocket.latency.p95": 900, "rfid.latency.p95": 3000})
    failing = [name for name, verdict in verdicts(report).items() if verdict is GateVerdict.FAIL]
    assert failing == ["score"]
    assert exit_code(report) is ExitCode.GATE_FAILED


def test_a_wrong_unit_is_no_data() -> None:
    wrong = measured(
        ComponentId.CACHE,
        measurement("cache.hits.ratio", 96.8, Unit.MS),
        measurement("cache.latency.p95", 1.9),
    )
    assert verdicts(built(replaced(ComponentId.CACHE, wrong)))["cache.hits.ratio"] is GateVerdict.NO_DATA


def test_switched_off_checks_are_left_out_and_named() -> None:
    report = built(replaced(ComponentId.CACHE, switched_off(ComponentId.CACHE)))
    assert "cache.hits.ratio" not in verdicts(report)
    assert report.gate.verdict is GateVerdict.PASS
    assert any("Cache hit ratio is not checked" in note for note in report.notes)
    assert any("Cache is switched off" in note for note in report.notes)


def test_regressions_are_checked_once_there_is_something_to_regress_from() -> None:
    first = good_report()
    assert "confirmed_regressions" not in verdicts(first)
    assert any("no baseline" in note for note in first.notes)
    compared = build(info(), results(), THRESHOLDS, WEIGHTS, compared=12)
    assert verdicts(compared)["confirmed_regressions"] is GateVerdict.PASS
    worse = {
        "metric": "api.latency.p95",
        "baseline": 100,
        "value": 142,
        "unit": "ms",
        "change": 0.42,
        "detail": "step",
    }
    for confirmed, verdict in ((True, GateVerdict.FAIL), (False, GateVerdict.PASS)):
        regression = Regression.model_validate(worse | {"confirmed": confirmed})
        report = build(info(), results(), THRESHOLDS, WEIGHTS, (regression,), compared=12)
        assert verdicts(report)["confirmed_regressions"] is verdict


WAIVER = {
    "check": "api.latency.p95",
    "owner": "priya",
    "reason": "the payment provider answers slowly, PERF-131",
    "until": START.date(),
}
SLOW: dict[str, float | None] = {"api.latency.p95": 240.0}


def with_waivers(values: dict[str, float | None], *waivers: dict[str, object], **changes: object) -> Report:
    found = [Waiver.model_validate({**WAIVER, **one}) for one in waivers]
    return build(info(), results(values), THRESHOLDS, WEIGHTS, waivers=found, **changes)  # type: ignore[arg-type]


class TestWaivers:
    """Somebody answers for a failure, for a while; every report says so."""

    def test_a_failure_that_somebody_answers_for_does_not_count(self) -> None:
        report = with_waivers(SLOW, {})
        check = next(one for one in report.gate.checks if one.id == "api.latency.p95")
        assert (check.verdict, "priya" in check.waived) == (GateVerdict.FAIL, True)
        assert report.gate.verdict is GateVerdict.PASS
        assert exit_code(report) is ExitCode.PASS
        assert "1 of 7 checks waived" in verdict_sentence(report)
        made = renderings(report)
        for name in ("report.json", "report.html", "report.md", "gate.json", "junit.xml", "step-summary.md"):
            assert b"PERF-131" in made[name], name
        assert b"waived" in made["executive-summary.md"]

    @pytest.mark.parametrize(
        ("change", "state"),
        [
            ({"until": START.date() - timedelta(days=1)}, WaiverState.EXPIRED),
            ({"until": START.date() + timedelta(days=93)}, WaiverState.REFUSED),
            ({"check": "cache.hits.ratio"}, WaiverState.NOT_NEEDED),
            ({"check": "no.such"}, WaiverState.NOT_NEEDED),
        ],
    )
    def test_what_has_ended_or_does_not_fit_is_not_honoured_and_named(
        self, change: dict[str, object], state: WaiverState
    ) -> None:
        report = with_waivers(SLOW, change)
        assert [use.state for use in report.gate.waivers] == [state]
        assert exit_code(report) is ExitCode.GATE_FAILED
        assert any(note.startswith("Waiver of") for note in report.notes)

    def test_what_was_not_measured_cannot_be_waived(self) -> None:
        report = with_waivers({"api.latency.p95": None}, {}, {"check": "score"})
        assert [use.state for use in report.gate.waivers] == [WaiverState.REFUSED] * 2
        assert exit_code(report) is ExitCode.INCOMPLETE

    def test_one_critical_finding_can_be_waived_but_not_all_of_them(self) -> None:
        database = measured_with(finding("a", severity=Severity.CRITICAL), finding("b", severity=Severity.CRITICAL))
        one, other, every = (
            Waiver.model_validate({**WAIVER, "check": check})
            for check in (database.findings[0].id, database.findings[1].id, "critical_findings")
        )
        found = replaced(ComponentId.DATABASE, database)
        for waivers, expected in (((one,), ExitCode.GATE_FAILED), ((one, other), ExitCode.PASS), ((every,), 1)):
            report = build(info(), found, THRESHOLDS, WEIGHTS, waivers=waivers)
            assert exit_code(report) == expected

    def test_a_waiver_lets_nothing_else_pass(self) -> None:
        assert exit_code(with_waivers({**SLOW, "cache.hits.ratio": 0.5}, {})) is ExitCode.GATE_FAILED


def measured_with(*found: Finding) -> MeasuredComponent:
    database = results()[0]
    assert database.status == "measured"
    return database.model_copy(update={"findings": found})


class TestProfiles:
    """Strict blocks; warn says the same and exits with 0; neither takes what was not measured."""

    WARN = GatePolicy(name="warn", blocks=False)

    def test_what_only_warns_still_says_what_fails(self) -> None:
        report = build(info(), results(SLOW), THRESHOLDS, WEIGHTS, policy=self.WARN)
        assert report.gate.verdict is GateVerdict.FAIL
        assert exit_code(report) is ExitCode.PASS
        assert verdict_sentence(report).endswith("1 of 7 checks fails; its gate only warns.")
        assert github_annotations(report)[0].startswith("::warning ")
        made = renderings(report)
        assert (b"<failure" in made["junit.xml"], b"FAILS" in made["junit.xml"]) == (False, True)

    def test_what_was_not_measured_is_incomplete_under_every_profile(self) -> None:
        report = build(info(), results({"api.latency.p95": None}), THRESHOLDS, WEIGHTS, policy=self.WARN)
        assert exit_code(report) is ExitCode.INCOMPLETE

    def test_a_limit_that_someone_removed_is_no_data(self) -> None:
        policy = GatePolicy(required=("api.latency.p95", "cache.hits.ratio"))
        whole = build(info(), results(), THRESHOLDS, WEIGHTS, policy=policy)
        assert exit_code(whole) is ExitCode.PASS
        without = [
            one.model_copy(update={"gate": None}) if one.metric == "api.latency.p95" else one for one in THRESHOLDS
        ]
        report = build(info(), results(SLOW), without, WEIGHTS, policy=policy)
        assert verdicts(report)["limits"] is GateVerdict.NO_DATA
        assert exit_code(report) is ExitCode.INCOMPLETE

    def test_the_gate_asked_again_by_another_profile(self) -> None:
        report = build(info(), results(SLOW), THRESHOLDS, WEIGHTS, policy=self.WARN)
        strict = report.model_copy(update={"gate": again(report, GatePolicy(score=99.9))})
        assert exit_code(strict) is ExitCode.GATE_FAILED
        assert verdicts(strict)["score"] is GateVerdict.FAIL


class TestStaleness:
    """What was measured before the run is no evidence for it."""

    def test_a_component_of_an_earlier_run_is_not_measured(self) -> None:
        late = START + timedelta(days=1)
        report = built(results(), started=late)
        assert {one.status for one in report.components} == {"failed"}
        assert exit_code(report) is ExitCode.INCOMPLETE

    def test_one_stale_figure_has_no_value(self) -> None:
        old = Window(start=START - timedelta(days=2), end=START - timedelta(days=1))
        component = measured(
            ComponentId.CACHE,
            measurement("cache.hits.ratio", 0.968, window=old),
            measurement("cache.latency.p95", 1.9),
        )
        report = built(replaced(ComponentId.CACHE, component))
        assert verdicts(report)["cache.hits.ratio"] is GateVerdict.NO_DATA


class TestARunOfChosenComponents:
    """`quick`, or one component alone: no release gate, yet an answer about what was asked."""

    def test_passes_by_its_own_checks_but_never_the_gate(self) -> None:
        report = only(ComponentId.DATABASE)
        assert report.gate.verdict is GateVerdict.NO_DATA
        assert report.partial
        assert [check.id for check in asked_checks(report)] == ["database.query.p95"]
        assert exit_code(report) is ExitCode.PASS

    def test_fails_by_its_own_limit(self) -> None:
        assert exit_code(only(ComponentId.DATABASE, database__query__p95=51)) is ExitCode.GATE_FAILED

    def test_fails_by_its_score_where_no_limit_is_its_own(self) -> None:
        report = only(ComponentId.WEBSOCKET, websocket__latency__p95=900)
        assert asked_checks(report) == ()
        assert asked_score(report) < 85
        assert exit_code(report) is ExitCode.GATE_FAILED

    def test_is_incomplete_where_part_of_it_was_not_measured(self) -> None:
        assert exit_code(only(ComponentId.DATABASE, database__pool__utilisation=None)) is ExitCode.INCOMPLETE
        dead = [failed(c) if c is ComponentId.API else not_asked(c) for c in ComponentId]
        assert exit_code(built(dead, settings={"components": "api"})) is ExitCode.INCOMPLETE

    def test_fails_by_a_critical_finding(self) -> None:
        found = [not_asked(c) for c in ComponentId if c is not ComponentId.DATABASE]
        database = results()[0].model_copy(update={"findings": (finding(severity=Severity.CRITICAL),)})
        report = built([database, *found], settings={"components": "database"})
        assert exit_code(report) is ExitCode.GATE_FAILED

    def test_a_run_that_does_not_say_what_it_was_asked_was_asked_for_all(self) -> None:
        found = [r if r.component is ComponentId.DATABASE else not_asked(r.component) for r in results()]
        assert exit_code(built(found, settings={})) is ExitCode.INCOMPLETE
