"""Refusals (429) are a finding of their own: errors of the load, no failures of the service."""

from __future__ import annotations

import pyarrow as pa

from deployments.config import build_config
from storage.clock import Clock
from storage.records import Collected, ComponentId, Severity
from tasks.load import advice, figures
from tasks.load.recording.samples import Recorder
from tests.report_example import WINDOW

CONFIG = build_config("staging")


def table(*statuses: int) -> pa.Table:
    recorder = Recorder(["GET /a"], ["steady"])
    for number, status in enumerate(statuses):
        at = number * 1_000_000
        recorder.add((at, at, at, at + 5_000_000), 0, 0, status=status, failed=status >= 400)
    return recorder.table(Clock(0))


def found(*statuses: int) -> dict[str, str]:
    rows = table(*statuses)
    measured = [figures.errors("api.errors.ratio", rows)]
    findings = advice.common(ComponentId.API, rows, Collected(window=WINDOW), measured, CONFIG)
    assert all(one.severity is Severity.WARNING and one.evidence == (measured[0],) for one in findings)
    return {one.kind: one.detail for one in findings}


def test_refusals_are_named_with_their_number() -> None:
    assert found(200, 429, 429, 500) == {
        "limited": "2 of 4 requests got status 429: errors, but no failures of the service."
    }


def test_failures_of_the_server_are_no_refusals() -> None:
    assert found(200, 500, 503) == {}


def test_the_error_ratio_says_which_is_which() -> None:
    assert figures.errors("api.errors.ratio", table(200, 429, 500, 503)).note == (
        "1 refused as too many (429), 2 failed in the server (5xx)"
    )
    assert figures.errors("api.errors.ratio", table(200, 404)).note == ""
