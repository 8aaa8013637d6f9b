"""What an attempt cost beside its measuring, by hand-made windows."""

from __future__ import annotations

from datetime import timedelta

from storage.records import Attempt, Collected, ComponentId, Window
from tasks.report.attempts import covered_s, goes, orchestration_s
from tasks.report.build import build
from tests.report_example import START, THRESHOLDS, WEIGHTS, info, measured


def window(first: float, last: float) -> Window:
    return Window(start=START + timedelta(seconds=first), end=START + timedelta(seconds=last))


def attempt(**changes: object) -> Attempt:
    fields = {"number": 1, "opened": START, "judged": START + timedelta(seconds=100), "waited_s": 20.0}
    return Attempt.model_validate(fields | changes)


def test_windows_that_overlap_count_once() -> None:
    assert covered_s([window(10, 30), window(20, 40), window(50, 60), window(52, 55)]) == 40
    assert covered_s([]) == 0


def test_the_cost_is_what_was_neither_measuring_nor_waiting() -> None:
    parts = [
        measured(ComponentId.API, collected=Collected(window=window(25, 85))),
        measured(ComponentId.LAMBDA, collected=Collected(window=window(-1_000_000, 23))),
        measured(ComponentId.CACHE, collected=Collected(window=window(200, 300)), attempt=2),
    ]
    assert orchestration_s(attempt(), parts) == 100 - 20 - 60 - 3
    assert orchestration_s(attempt(judged=None), parts) is None


def test_every_attempt_is_told() -> None:
    parts = [measured(ComponentId.API, collected=Collected(window=window(25, 85)))]
    tried = attempt(number=2, judged=None, waited_s=0, identity={"release": "v2"})
    first, second = goes(build(info(), parts, THRESHOLDS, WEIGHTS, attempts=(attempt(), tried)))
    assert (first.number, first.measured) == ("1", "API")
    assert "60 s of measuring, 20 s of orchestration, 20 s of waiting" in first.times
    assert second.times.endswith("ended without a judgement")
    assert second.target == "release v2"
