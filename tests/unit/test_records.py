"""Records refuse what has no evidence or does not add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from storage.parquet import measurements_from, measurements_table
from storage.records import LoadSummary, Measurement, Trust, Unit, Window

START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
WINDOW = Window(start=START, end=START + timedelta(seconds=60))


def measured(**changes: object) -> Measurement:
    values = {
        "metric": "api.latency.p95",
        "value": 31.5,
        "unit": Unit.MS,
        "n": 600,
        "source": "load",
        "window": WINDOW,
    }
    return Measurement.model_validate(values | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 0},
        {"window": None},
        {"value": None},
        {"value": float("nan")},
        {"value": float("inf")},
        {"metric": "latency"},
        {"source": ""},
        {"colour": "red"},
    ],
)
def test_a_number_without_evidence_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        measured(**changes)


def test_what_was_not_measured_says_why() -> None:
    assert measured(value=None, n=0, window=None, note="no data: 600 of 600 requests got no answer").value is None


def test_measurements_survive_parquet() -> None:
    rows = [
        measured(labels={"endpoint": "GET /orders"}, interval=(30.0, 33.0)),
        measured(value=None, n=0, window=None, note="not asked"),
    ]
    assert measurements_from(measurements_table(rows)) == rows


@pytest.mark.parametrize(
    "counts",
    [
        {"planned": 601},
        {"answered": 599},
        {"errors": {"timeout": 1}},
    ],
)
def test_load_accounting_must_close(counts: dict[str, object]) -> None:
    whole = {"planned": 600, "sent": 600, "unsent": 0, "answered": 600, "failed": 0, "errors": {}}
    rest = {"target_rate": 10.0, "achieved_rate": 10.0, "trust": Trust.TRUSTED}
    LoadSummary.model_validate(whole | rest)
    with pytest.raises(ValidationError, match="≠"):
        LoadSummary.model_validate(whole | rest | counts)
