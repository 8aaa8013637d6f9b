"""`hasivu-perf optimize` on a real server: settings, approval, what it tells, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.optimize import optimize
from storage.errors import ConfigurationError, ExitCode, TargetUnreachableError, UsageError
from storage.records import PredictedChange, Remedy
from tests.changing import GOOD, USELESS, indexes, plan_file, row, write_environments
from tests.databases import Database
from tests.judged_runs import run_of
from tests.report_example import finding


@pytest.fixture(autouse=True)
def environment(shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Environments of our own, whose database is the shop; each test begins without our indexes."""
    write_environments(tmp_path)
    monkeypatch.setenv("HASIVU_PERF_ENVIRONMENTS", str(tmp_path))
    monkeypatch.setenv("OWNER_URL", shop.application)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    yield tmp_path
    shop.run(*(f"DROP INDEX {name}" for name in indexes(shop)))


def test_a_plan_is_carried_out_and_told(
    shop: Database, environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan_file(environment, row(*GOOD), row(*USELESS))
    code = optimize("development", plan=made, approve=True, output=str(environment / "out"))
    said = capsys.readouterr()
    assert code is ExitCode.GATE_FAILED  # one was undone
    assert indexes(shop) == {"hasivu_perf_customer": True}
    assert "hasivu_perf_customer on public.orders: kept" in said.out
    assert "undo    DROP INDEX CONCURRENTLY IF EXISTS public.hasivu_perf_customer;" in said.out
    assert "hasivu_perf_total on public.orders: undone" in said.out
    assert "no Prefect server is named" in said.err
    assert len(list((environment / "out" / "database-changes" / "development").iterdir())) == 2
    code = optimize("development", plan=plan_file(environment), approve=True, output=str(environment), json=True)
    outcome = json.loads(capsys.readouterr().out)
    assert code is ExitCode.PASS
    assert outcome["entries"][0]["state"] == "present"


def test_what_was_built_is_noted_so_that_the_next_run_verifies_it(environment: Path) -> None:
    made = row(*GOOD)
    predicted = (PredictedChange(metric="database.query.p95", value=50.0, how="plan"),)
    renamed = made["sql"].replace(GOOD[0], "under_another_name")
    remedy = Remedy(summary="index it", commands=(f"{renamed};",), predicted=predicted)
    out = environment / "out"
    advised, _ = run_of(out, 0, 200.0, finding("orders", remedy=remedy))
    path = plan_file(environment, made)
    assert optimize("development", plan=path, approve=True, output=str(out)) is ExitCode.PASS
    _, report = run_of(out, 10_000, 60.0)  # long after today
    (one,) = report.verifications
    assert (one.before, one.predicted, one.actual, one.run_before) == (200, 50, 60, advised.run)


def test_without_approval_the_plan_is_shown_and_nothing_happens(
    shop: Database, environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="is not approved, nothing was changed"):
        optimize("development", plan=plan_file(environment), output=str(environment))
    assert "1. CREATE INDEX CONCURRENTLY hasivu_perf_customer" in capsys.readouterr().out
    assert indexes(shop) == {}


def test_production_wants_a_terminal(environment: Path) -> None:
    with pytest.raises(UsageError, match="production is approved at a terminal"):
        optimize("production", plan=plan_file(environment), approve=True, output=str(environment))


def test_what_is_not_allowed_is_usage(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="No such file"):
        optimize("development", plan=environment / "none.json")
    with pytest.raises(ConfigurationError, match=r"public\.tags may not be changed"):
        optimize("development", plan=plan_file(environment, row("hasivu_perf_t", "public.tags (name)")))
    with pytest.raises(ConfigurationError, match="--allow-drop"):
        optimize("development", plan=plan_file(environment, row(*GOOD, drop=True)))
    monkeypatch.delenv("OWNER_URL")
    with pytest.raises(UsageError, match="OWNER_URL is not set"):
        optimize("development", plan=plan_file(environment))
    with pytest.raises(TargetUnreachableError):
        optimize(
            "development",
            plan=plan_file(environment),
            approve=True,
            dsn="postgresql://a:b@127.0.0.1:1/x",
            output=str(environment),
        )
    monkeypatch.delenv("HASIVU_PERF_ENVIRONMENTS")
    with pytest.raises(UsageError, match="staging allows no changes of its database"):
        optimize("staging", plan=plan_file(environment))
