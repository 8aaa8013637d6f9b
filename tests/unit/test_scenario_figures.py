"""Figures of journeys and checks, from rows that are written down here; findings of those that fail."""

from __future__ import annotations

import pyarrow as pa
import pytest

from deployments.config import build_config
from storage.clock import Clock
from storage.records import Severity
from tasks.load.scenario.advice import journey_findings
from tasks.load.scenario.figures import check_measurements, journey_measurements, whole_journeys
from tasks.load.scenario.records import CHECKS, Journey, Records

SECOND = 1_000_000_000


def journeys() -> pa.Table:
    """Ten of 1 to 10 s: the 4th failed a check, the 5th broke, the 6th ended by a time-out; one more in the ramp."""
    records = Records(0)
    steady, ramp = records.phase("steady"), records.phase("ramp")
    for number in range(1, 11):
        records.journeys.add(
            (0, 0, 0, number * SECOND),
            0,
            steady,
            failed=number in (4, 5),
            error="timeout" if number == 6 else None,
            items=0 if number in (5, 6) else 1,
        )
    records.journeys.add((0, 0, 0, 77 * SECOND), 0, ramp)
    records.journeys.add((0, 0, 0, SECOND // 2), 1, steady)
    records.journeys.endpoints += ["lunch", "lunch / pay"]
    return records.journeys.table(Clock(0))


def test_times_are_of_journeys_that_came_to_their_end_and_errors_of_all() -> None:
    found = {(one.metric, one.labels.get("journey")): one for one in journey_measurements(journeys(), ["steady"])}
    p50 = found["api.journey.p50", None]
    assert (p50.value, p50.n) == (4000, 8)  # of 1 2 3 4 7 8 9 10
    assert p50.note == "2 of 10 journeys were broken off and are not in it; 1 journeys with a failed check are in it"
    errors = found["api.journey.errors", None]
    assert (errors.value, errors.n, errors.note) == (3 / 11, 11, "2 failed, 1 timeout")
    assert found["api.journey.p95", "lunch / pay"].value == 500
    assert found["api.journey.errors", "lunch"].value == 3 / 11
    assert whole_journeys(journeys()).num_rows == 11


def test_without_journeys_there_are_no_values_and_a_reason() -> None:
    empty = journeys().slice(0, 0)
    found = journey_measurements(empty, ["steady"], why_none="the load was stopped")
    assert {one.value for one in found} == {None}
    assert {one.note for one in found} == {"no data: the load was stopped"}


def test_checks_are_added_over_processes() -> None:
    rows = [("lunch", "menu", 3, 1, 0), ("lunch", "menu", 5, 1, 1), ("browse", "menu", 2, 0, 0)]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(values), kind.type) for values, kind in zip(columns, CHECKS, strict=True)]
    whole, *each = check_measurements(
        pa.Table.from_arrays(arrays, schema=CHECKS), journey_measurements(journeys(), ["steady"])[0].window
    )
    assert (whole.value, whole.n) == (2 / 12, 12)
    assert {(one.labels["journey"], one.value, one.n) for one in each} == {("lunch", 0.2, 10), ("browse", 0.0, 2)}
    (none,) = check_measurements(CHECKS.empty_table(), None)
    assert (none.value, none.note) == (None, "no data: the scenario made no check")


def test_names_are_bounded_and_a_journey_is_recorded_once() -> None:
    records = Records(0, lambda text: text.replace("secret", "***"))
    for number in range(1500):
        journey = Journey(f"j{number}", records.phase("steady"), 0)
        records.journey(journey)
        records.journey(journey, error="aborted")
        records.check("lunch", f"c{number}", passed=False)
        records.exception(ValueError(f"secret {number}\nmore"))
    tables = records.tables(Clock(0))
    assert tables["journeys"].num_rows == records.ended == 1500
    assert records.failed == 0
    assert len(records.journeys.endpoints) <= 1001
    assert tables["checks"].num_rows == 1001
    assert sum(row["failed"] for row in tables["checks"].to_pylist()) == 1500
    assert sum(records.exceptions.values()) == 1500
    assert len(records.exceptions) <= 1001
    assert "ValueError: *** 7" in records.exceptions


@pytest.mark.parametrize(("failed", "severity"), [(10, Severity.CRITICAL), (3, Severity.WARNING)])
def test_a_failing_journey_is_a_finding(failed: int, severity: Severity) -> None:
    records = Records(0)
    steady = records.phase("steady")
    for number in range(10):
        records.journeys.add((0, 0, 0, SECOND), 0, steady, failed=number < failed)
    records.journeys.endpoints.append("lunch")
    measured = journey_measurements(records.journeys.table(Clock(0)), ["steady"])
    (finding,) = journey_findings(measured, build_config("development", components=("api",)))
    assert (finding.severity, finding.subject) == (severity, "lunch")
    assert finding.evidence[0].value == failed / 10
