"""The published JSON Schema: it is that of the records, and a validator of others' making takes our reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tasks.report.record import to_json
from tasks.report.schema import schema_json
from tests.report_example import example_report, good_report

PUBLISHED = Path(__file__).parents[2] / "docs/schema/report.schema.json"


def test_what_is_published_is_what_the_records_say() -> None:
    assert PUBLISHED.read_bytes() == schema_json(), (
        "make it again: .venv/bin/hasivu-perf schema > docs/schema/report.schema.json"
    )


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(PUBLISHED.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("report", [example_report(), good_report()], ids=["example", "good"])
def test_reports_are_valid(validator: Draft202012Validator, report: object) -> None:
    data = json.loads(to_json(report))  # type: ignore[arg-type]
    assert [error.json_path for error in validator.iter_errors(data)] == []


def test_a_value_without_a_unit_or_an_unknown_field_is_refused(validator: Draft202012Validator) -> None:
    data = json.loads(to_json(example_report()))
    del data["components"][0]["measurements"][0]["unit"]
    data["invented"] = 1
    assert len(list(validator.iter_errors(data))) >= 2
