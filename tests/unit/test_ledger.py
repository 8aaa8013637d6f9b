"""A remedy is carried out, the next run shows what it did, and later predictions of its kind are better for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from storage.errors import UsageError
from storage.records import Finding, PredictedChange, Remedy
from storage.runs import RunFolder
from tasks.judging import judge
from tasks.ledger import ledger, mark_applied
from tasks.report.markdown import technical_markdown
from tasks.results import stored_manifests
from tests.judged_runs import run_of
from tests.report_example import START, finding


def advice(value: float) -> Finding:
    predicted = (PredictedChange(metric="database.query.p95", value=value, how="plan"),)
    return finding("orders", remedy=Remedy(summary="index it", predicted=predicted))


def applied(folder: RunFolder, day: int) -> None:
    mark_applied(folder, ["orders"], "priya", START + timedelta(days=day, hours=1))


def test_the_next_run_shows_actual_beside_predicted_and_so_does_its_report_made_again(tmp_path: Path) -> None:
    folder, first = run_of(tmp_path, 0, 200.0, advice(50.0))
    assert first.verifications == ()
    applied(folder, 0)
    second, report = run_of(tmp_path, 1, 60.0)
    (one,) = report.verifications
    assert (one.before, one.predicted, one.actual, one.run_before) == (200, 50, 60, folder.run)
    assert "Predicted, then measured" in technical_markdown(report)
    again = judge(second, stored_manifests(second), {})
    assert again.verifications == report.verifications
    assert len(ledger(folder.store, "development")) == 1
    _, third = run_of(tmp_path, 2, 60.0)
    assert third.verifications == ()  # it is verified
    assert [one.n for one in third.calibration] == [1]


def test_a_run_under_another_load_is_shown_and_does_not_count(tmp_path: Path) -> None:
    folder, _ = run_of(tmp_path, 0, 200.0, advice(50.0))
    applied(folder, 0)
    _, unlike = run_of(tmp_path, 1, 300.0, users="500")
    assert unlike.verifications[0].unlike == "users 50 then, 500 now"
    assert ledger(folder.store, "development") == ()
    _, like = run_of(tmp_path, 2, 60.0)
    assert like.verifications[0].unlike == ""


def test_what_was_learned_corrects_the_next_prediction(tmp_path: Path) -> None:
    for day in range(0, 10, 2):
        folder, _ = run_of(tmp_path, day, 200.0, advice(50.0))
        applied(folder, day)
        run_of(tmp_path, day + 1, 100.0)  # half of the effect that was predicted, on the scale of factors
    _, report = run_of(tmp_path, 10, 200.0, advice(50.0))
    (change,) = report.findings[0].remedy.predicted
    assert change.raw == 50
    assert 80 < change.value < 100
    assert change.interval is not None
    assert report.calibration[0].bias == pytest.approx(-0.5)
    assert report.roadmap[0].score_interval is not None


def test_a_damaged_entry_is_named_and_left_out(tmp_path: Path) -> None:
    folder, _ = run_of(tmp_path, 0, 200.0, advice(50.0))
    applied(folder, 0)
    run_of(tmp_path, 1, 60.0)
    root = "performance-analysis-results/development"
    (name,) = [one for one in folder.store.names(root) if one.startswith("verified-")]
    folder.store.write(f"{root}/{name}", b"{")
    _, report = run_of(tmp_path, 2, 60.0)
    assert any(name in note for note in report.notes)
    assert report.calibration == ()


def test_what_predicts_nothing_cannot_be_verified(tmp_path: Path) -> None:
    folder, _ = run_of(tmp_path, 0, 200.0, finding("silent", remedy=Remedy(summary="look at it")))
    with pytest.raises(UsageError, match="predicts nothing"):
        mark_applied(folder, ["silent"], "priya")
