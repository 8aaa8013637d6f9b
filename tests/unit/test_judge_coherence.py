"""Parts of a run that were measured on different builds never pass together, and the report says what to do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.errors import ExitCode
from storage.records import Attempt, ComponentId, ComponentResult, GateCheck, Report
from tasks.judge.coherence import ONE_TARGET, differences, same_code_known
from tasks.judge.gate import exit_code
from tasks.report.build import build
from tests.report_example import START, THRESHOLDS, WEIGHTS, info, measured, results

V1 = {"release": "v1", "function_versions": "f1", "schema_version": "s1", "data_size": "1000"}
V2 = {**V1, "release": "v2", "function_versions": "f2"}


def attempt(number: int, before: dict[str, str], after: dict[str, str] | None = None) -> Attempt:
    opened = START + timedelta(minutes=10 * number)
    return Attempt(number=number, opened=opened, identity=before, identity_after=before if after is None else after)


def retried(component: ComponentId = ComponentId.CACHE) -> list[ComponentResult]:
    """All components of the first attempt but one, which the second one measured."""
    return [
        one.model_copy(update={"attempt": 2}) if one.component is component and one.status == "measured" else one
        for one in results()
    ]


def report_of(found: list[ComponentResult], *attempts: Attempt) -> Report:
    return build(info(), found, THRESHOLDS, WEIGHTS, attempts=attempts)


def check_of(report: Report) -> GateCheck:
    (check,) = [check for check in report.gate.checks if check.id == ONE_TARGET]
    return check


def test_a_retry_on_the_same_build_passes() -> None:
    report = report_of(retried(), attempt(1, V1), attempt(2, V1))
    assert check_of(report).verdict == "pass"
    assert exit_code(report) is ExitCode.PASS


def test_a_redeployment_between_attempts_makes_the_gate_incomplete_and_says_what_to_measure_again() -> None:
    report = report_of(retried(), attempt(1, V1), attempt(2, V2))
    check = check_of(report)
    assert check.verdict == "no_data"
    assert check.value is None
    assert exit_code(report) is ExitCode.INCOMPLETE
    assert "measure database, lambda, api, websocket, rfid again" in check.detail
    assert "cache" not in check.detail
    assert "release v1 → v2" in check.detail


def test_a_redeployment_while_it_measures_is_seen_in_a_single_attempt() -> None:
    report = report_of(results(), attempt(1, V1, V2))
    assert check_of(report).verdict == "no_data"
    assert exit_code(report) is ExitCode.INCOMPLETE


@pytest.mark.parametrize("changed", [{"schema_version": "s2"}, {"data_size": "1200"}, {"function_versions": "f2"}])
def test_schema_data_and_functions_count_too(changed: dict[str, str]) -> None:
    assert check_of(report_of(retried(), attempt(1, V1), attempt(2, {**V1, **changed}))).verdict == "no_data"


def test_data_that_the_load_itself_wrote_is_no_other_target() -> None:
    assert check_of(report_of(retried(), attempt(1, V1), attempt(2, {**V1, "data_size": "1090"}))).verdict == "pass"


def test_an_outage_of_the_api_is_no_redeployment_where_the_functions_are_the_same() -> None:
    without = {key: value for key, value in V1.items() if key != "release"}
    assert check_of(report_of(retried(), attempt(1, without), attempt(2, V1))).verdict == "pass"


def test_nothing_known_of_the_build_in_common_is_no_pass() -> None:
    check = check_of(report_of(retried(), attempt(1, {"schema_version": "s1"}), attempt(2, V1)))
    assert check.verdict == "no_data"
    assert "no fact that names the build" in check.detail


def test_an_attempt_without_a_record_is_no_pass() -> None:
    assert check_of(report_of(retried(), attempt(2, V1))).verdict == "no_data"


def test_one_attempt_at_a_target_that_says_nothing_is_no_check_but_a_note() -> None:
    report = report_of(results(), attempt(1, {}))
    assert not [check for check in report.gate.checks if check.id == ONE_TARGET]
    assert any("a deployment during the run would not be seen" in note for note in report.notes)
    assert exit_code(report) is ExitCode.PASS


def test_a_later_attempt_that_took_no_part_says_nothing_of_the_run() -> None:
    assert check_of(report_of(results(), attempt(1, V1), attempt(2, V2))).verdict == "pass"


def test_a_run_of_chosen_components_answers_for_its_target_too() -> None:
    found: list[ComponentResult] = [measured(ComponentId.CACHE, attempt=2), *retried()[:1]]
    report = build(
        info(settings={"components": "cache,database"}),
        found,
        THRESHOLDS,
        WEIGHTS,
        attempts=(attempt(1, V1), attempt(2, V2)),
    )
    assert exit_code(report) is ExitCode.INCOMPLETE


def test_only_facts_known_to_both_differ() -> None:
    assert differences({"release": "v1"}, {"schema_version": "s"}) == ()
    assert differences(V1, V2) == ("release v1 → v2", "function versions f1 → f2")
    assert same_code_known({"release": "v1"}, {"release": "v1"})
    assert not same_code_known({"schema_version": "s"}, {"schema_version": "s"})
