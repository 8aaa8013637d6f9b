"""The lambda component against the emulated account: both paths to the logs, every planted case, each refusal."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deployments.config import RunConfig, Target, build_config
from deployments.local.aws import FUNCTION_PREFIX, PLANTED, REGION
from deployments.local.aws.corpus import generate
from deployments.local.aws.traffic import DAY_MS, MONDAY_TO_FRIDAY, day_number, day_start_ms
from storage.errors import NotMeasuredError, TargetUnreachableError
from storage.parquet import Store
from storage.records import Collected, Finding, Measurement
from tasks.components.base import CollectContext, Progress, Samples
from tasks.components.lambda_functions import LAMBDA
from tasks.components.lambda_functions.account import Account
from tasks.components.lambda_functions.collect import collect
from tasks.components.lambda_functions.doctor import PERMISSIONS
from tasks.components.lambda_functions.facts import facts_of
from tasks.components.lambda_functions.inventory import read_inventory
from tasks.components.lambda_functions.logs import Scanned, filter_events, insights_events
from tasks.components.lambda_functions.reports import statistics

ROOT = Path(__file__).resolve().parents[2]
CONFIG = build_config("development")
HOUR_MS = 3_600_000


class Tables(dict[str, pa.Table]):
    """A sink that keeps what it gets, each name once."""

    def write(self, name: str, table: pa.Table) -> None:
        assert name not in self
        self[name] = table


@contextmanager
def emulator(*options: str) -> Iterator[Target]:
    command = [sys.executable, "-m", "deployments.local.aws", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            yield Target(aws_region=REGION, aws_endpoint_url=url, local=True)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with emulator() as found:
        yield found


def school_day() -> date:
    """The last whole one: at weekends the corpus holds a seventh of its invocations."""
    days = (datetime.now(UTC).date() - timedelta(days=back) for back in range(1, 4))
    return next(day for day in days if day.weekday() < MONDAY_TO_FRIDAY)


def short(**settings: str) -> RunConfig:
    """Back to the last whole school day and no further, so that a refusal is tested quickly."""
    days = (datetime.now(UTC).date() - school_day()).days + 1
    return build_config("development", overrides={"lambda_functions.days": str(days), **settings})


@dataclass
class Run:
    tables: Mapping[str, pa.Table]
    collected: Collected
    measurements: Mapping[tuple[str, str], Measurement]
    findings: Mapping[str, Finding]
    progress: list[Progress]
    listed: list[Measurement]


def run(target: Target, config: RunConfig = CONFIG) -> Run:
    tables, progress = Tables(), list[Progress]()
    collected = LAMBDA.collect(CollectContext(config, target, tables, progress.append))
    samples = Samples(tables, collected)
    measurements = LAMBDA.measure(samples, config)
    assert {m.metric for m in measurements if not m.labels} == LAMBDA.metrics
    findings = LAMBDA.advise(samples, measurements, config)
    return Run(
        tables,
        collected,
        {(m.metric, m.labels.get("function", "")): m for m in measurements},
        {f.id: f for f in findings},
        progress,
        measurements,
    )


@pytest.fixture(scope="module")
def whole(target: Target) -> Run:
    return run(target)


EXPECTED = {
    "memory-oversized": "memory_oversized",
    "memory-undersized": "memory_undersized",
    "cold-starts": "cold_starts",
    "throttles": "throttles",
    "errors": "errors",
    "no-traffic": "no_traffic",
    "provisioned-unused": "provisioned_unused",
    "memory-history": "memory_resize",
    "bursts": "bursts",
}
"""The finding that names each planted function; the others show in a runtime's finding and in figures."""


@pytest.mark.parametrize("case", [case for case in PLANTED if case.kind in EXPECTED], ids=lambda case: case.kind)
def test_every_planted_case_is_named(whole: Run, case: object) -> None:
    kind, deployed = EXPECTED[case.kind], case.deployed  # type: ignore[attr-defined]  # a PlantedCase
    found = whole.findings[f"lambda.{kind}:{deployed}"]
    assert deployed in found.title


def test_an_old_runtime_names_its_function(whole: Run) -> None:
    (case,) = [case for case in PLANTED if case.kind == "runtime-unsupported"]
    assert case.deployed in whole.findings["lambda.runtime_unsupported:nodejs14.x"].title
    assert "79 functions" in whole.findings["lambda.runtime_unsupported:nodejs18.x"].title


def test_a_custom_log_group_is_read(whole: Run) -> None:
    (case,) = [case for case in PLANTED if case.kind == "custom-log-group"]
    found = whole.measurements["lambda.duration.p95", case.deployed]
    assert found.value is not None
    assert found.n == whole.measurements["lambda.invocations.count", case.deployed].value


def test_findings_do_not_drown_in_each_other(whole: Run) -> None:
    assert len(whole.findings) < 30
    assert sum(f.severity == "critical" for f in whole.findings.values()) == 1


def test_logs_and_metrics_agree_on_every_function(whole: Run) -> None:
    for (metric, function), found in whole.measurements.items():
        if metric != "lambda.duration.p95" or not function or found.value is None:
            continue
        invoked = whole.measurements["lambda.invocations.count", function].value
        assert invoked == pytest.approx(found.n, abs=2), function  # an invocation may straddle an end of the window


def test_percentiles_agree_with_cloudwatchs_own(whole: Run) -> None:
    rows = whole.tables["metrics"].to_pylist()
    own = {row["function"]: row["value"] for row in rows if (row["metric"], row["statistic"]) == ("Duration", "p95")}
    checked = [
        (own[function], found.value)
        for (metric, function), found in whole.measurements.items()
        if metric == "lambda.duration.p95" and function and found.value is not None and found.n > 500
    ]
    assert len(checked) > 20
    for by_cloudwatch, by_reports in checked:
        assert by_reports == pytest.approx(by_cloudwatch, rel=0.02)


def test_the_worst_critical_function_is_the_figure(whole: Run) -> None:
    found = whole.measurements["lambda.cold_start.p95", ""]
    own = whole.measurements["lambda.cold_start.p95", f"{FUNCTION_PREFIX}orders-create"]
    assert (found.value, found.n, found.interval) == (own.value, own.n, own.interval)
    assert found.value is not None
    assert found.value > 3000
    assert found.interval is not None
    assert found.interval[0] <= found.value <= found.interval[1]


def blocks_of_seed(whole: Run, function: str) -> int:
    """Runs of busy hours in the last week's invocations that the emulator made its logs of.

    An hour is busy with a tenth of the busiest one's calls, on school days. Some hours of the early afternoon have an
    eighth by design, so that by chance one of them falls short in some weeks.
    """
    last = round(whole.collected.window.end.timestamp() * 1000)
    midnight = day_start_ms(day_number(last))
    days, hours = np.divmod((generate(last).invocations[function].start - (midnight - 7 * DAY_MS)) // HOUR_MS, 24)
    by_hour = np.array([[np.sum((days == day) & (hours == hour)) for hour in range(24)] for day in range(7)])
    school = by_hour[by_hour.sum(axis=1) >= by_hour.sum(axis=1).max() / 4].mean(axis=0)
    busy = school >= school.max() / 10
    return int(busy[0]) + int(np.sum(~busy[:-1] & busy[1:]))


def test_cold_starts_get_a_timetable_in_dollars(whole: Run) -> None:
    found = whole.findings[f"lambda.cold_starts:{FUNCTION_PREFIX}orders-create"]
    actions = [command for command in found.remedy.commands if " put-scheduled-action " in command]
    assert len(actions) == 2 * blocks_of_seed(whole, "orders-create"), "one timetable for all school days"
    assert all("MON,TUE,WED,THU,FRI" in command and "Asia/Kolkata" in command for command in actions)
    assert "deregister-scalable-target" in found.remedy.rollback[0]
    assert {change.metric for change in found.remedy.predicted} == {"lambda.cold_start.ratio", "lambda.cost.month"}
    assert "a cold start avoided" in found.detail
    needed = whole.measurements["lambda.provisioned.needed", f"{FUNCTION_PREFIX}health"]
    assert (needed.value, needed.note.startswith("none needed")) == (0, True)


def test_the_summary_is_true_to_the_seed(whole: Run) -> None:
    """Computed here from the invocations that the emulator made its logs of."""
    window = whole.collected.window
    first, last = (round(moment.timestamp() * 1000) for moment in (window.start, window.end))
    made = generate(last)
    inits, shares = [], []
    for invocations in made.invocations.values():
        inside = (invocations.reported >= first) & (invocations.reported < last)
        inits.append(invocations.init[inside & invocations.cold])
        shares.append(invocations.used[inside] / invocations.memory[inside])
    starts, efficiency = np.concatenate(inits), np.concatenate(shares)
    mean, memory = (
        whole.measurements["lambda.cold_start.mean", ""],
        whole.measurements["lambda.memory.efficiency", ""],
    )
    ratio = whole.measurements["lambda.cold_start.ratio", ""]
    assert (mean.n, memory.n, ratio.n) == (len(starts), len(efficiency), len(efficiency))
    assert mean.value == pytest.approx(starts.mean())
    assert memory.value == pytest.approx(efficiency.mean())
    assert ratio.value == pytest.approx(len(starts) / len(efficiency))
    assert whole.measurements["lambda.functions.count", ""].value == len(made.functions)
    critical = [found for found in whole.findings.values() if found.severity == "critical"]
    assert [found.subject for found in critical] == [f"{FUNCTION_PREFIX}orders-create"]


def test_money_in_the_platforms_words(whole: Run) -> None:
    month, meals = whole.measurements["lambda.cost.month", ""], whole.measurements["lambda.cost.meals", ""]
    for found in (month, meals):
        assert found.value is not None
        assert found.interval is not None
        assert found.interval[0] < found.value < found.interval[1]
    assert f"successful calls of {FUNCTION_PREFIX}rfid-delivery-verification" in meals.note


def test_a_route_without_function_is_named(whole: Run) -> None:
    found = whole.findings["lambda.route_without_function:GET /reports/export"]
    assert f"{FUNCTION_PREFIX}reports-export does not exist" in found.title


def test_a_stage_that_serves_another_stages_functions_is_named(whole: Run) -> None:
    (found,) = (f for f in whole.findings.values() if f.kind == "stage_mismatch")
    assert "The stage prod of " in found.title
    assert "80 functions of stage dev" in found.title


def test_spoofed_lines_change_nothing(whole: Run) -> None:
    durations = whole.tables["samples"].column("duration_ms").to_pylist()
    assert 99999.0 not in durations


def test_the_analysis_tells_what_it_cost(whole: Run) -> None:
    plan = whole.collected.load_plan
    requests = {row["permission"]: row["requests"] for row in whole.tables["requests"].to_pylist()}
    assert plan["requests to AWS"] == str(sum(requests.values()))
    assert sum(count for name, count in requests.items() if not name.startswith("logs:")) <= 20
    assert int(plan["requests for inventory and metrics"]) <= 20
    assert set(requests) - {"sts:GetCallerIdentity"} <= set(PERMISSIONS)
    assert requests["cloudwatch:GetMetricData"] == 2
    assert float(plan["dollars of this analysis"]) < 0.01


def test_it_shows_signs_of_life(whole: Run) -> None:
    assert len(whole.progress) >= 3
    assert all(said.total_s >= said.elapsed_s for said in whole.progress)


def test_what_is_stored_gives_the_same(whole: Run, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, table in whole.tables.items():
        store.write_table(f"{name}.parquet", table)
    again = Samples({name: store.read_table(f"{name}.parquet") for name in whole.tables}, whole.collected)
    measurements = LAMBDA.measure(again, CONFIG)
    assert measurements == whole.listed
    assert LAMBDA.advise(again, measurements, CONFIG) == list(whole.findings.values())


def test_both_paths_to_the_logs_give_identical_statistics(target: Target) -> None:
    account = Account(target, 300)
    first = round(datetime.combine(school_day(), time_of_day(), UTC).timestamp() * 1000)
    last = first + DAY_MS // 2  # until 17:30 in India: lunch and four invocations of five
    functions = read_inventory(account, FUNCTION_PREFIX, "/aws/lambda/{function}").functions
    streamed = [event for row in functions for event in filter_events(account, row["log_group"], first, last)]
    scanned = Scanned()
    queried = list(insights_events(account, [row["log_group"] for row in functions], first, last, scanned))
    account.close()
    by_events, by_insights = statistics(streamed), statistics(queried)
    assert sum(found.invocations for found in by_events.values()) > 5000
    assert by_events == by_insights
    assert scanned.bytes > 0


def test_beyond_the_bound_insights_own_statistics_are_taken(target: Target) -> None:
    config = short(**{"lambda_functions.max_log_events": "2000"})
    bounded, exact = run(target, config), run(target, short())
    paths = {row["path"] for row in bounded.tables["logs"].to_pylist()}
    assert paths >= {"events", "insights"}
    assert any("Logs Insights" in note for note in bounded.collected.notes)
    assert float(bounded.collected.load_plan["bytes scanned by Logs Insights"]) > 0
    compared = 0
    for key, found in exact.measurements.items():
        if key[0] not in {"lambda.cold_start.p95", "lambda.duration.p95", "lambda.cost.month"} or not key[1]:
            continue
        other = bounded.measurements[key]
        if found.value is not None and other.value is not None and "Insights" in other.source:
            assert other.value == pytest.approx(found.value, rel=0.02, abs=0.01), key
            compared += 1
    assert compared >= 10


class TestRefusals:
    def test_denied_logs_leave_the_metrics(self) -> None:
        with emulator("--deny", "logs:FilterLogEvents") as target:
            found = run(target, short())
            checks = {check.name: check for check in LAMBDA.check(CONFIG, target)}
        assert found.measurements["lambda.errors.ratio", ""].value is not None
        for metric in ("lambda.cold_start.p95", "lambda.memory.efficiency"):
            assert found.measurements[metric, ""].value is None
            assert "logs:FilterLogEvents is denied" in found.measurements[metric, ""].note
        assert not checks["logs:FilterLogEvents"].ok
        assert '"Action": ["logs:FilterLogEvents"]' in checks["logs:FilterLogEvents"].remedy
        assert checks["cloudwatch:GetMetricData"].ok

    def test_denied_metrics_leave_the_logs(self) -> None:
        with emulator("--deny", "cloudwatch:GetMetricData", "--deny", "cloudwatch:ListMetrics") as target:
            found = run(target, short())
        assert found.measurements["lambda.errors.ratio", ""].value is None
        assert "cloudwatch:GetMetricData is denied" in found.measurements["lambda.errors.ratio", ""].note
        assert found.measurements["lambda.memory.efficiency", ""].value is not None
        provisioned = {row["function"]: row["provisioned"] for row in found.tables["functions"].to_pylist()}
        assert provisioned[f"{FUNCTION_PREFIX}analytics-executive-dashboard"] == [("live", 5)]

    def test_each_missing_right_is_named_with_the_statement_that_grants_it(self) -> None:
        optional = (
            "tag:GetResources",
            "apigateway:GET",
            "events:ListRules",
            "lambda:GetAccountSettings",
            "lambda:ListEventSourceMappings",
            "cloudwatch:ListMetrics",
            "compute-optimizer:GetLambdaFunctionRecommendations",
        )
        denied = [part for permission in optional for part in ("--deny", permission)]
        with emulator(*denied) as target:
            found = run(target, short(**{"lambda_functions.max_log_events": "1"}))
        for permission in optional:
            note = next(note for note in found.collected.notes if f"{permission} is denied: allow it" in note)
            assert f'"Action": ["{permission}"]' in note
        assert found.measurements["lambda.errors.ratio", ""].value is not None

    def test_without_the_inventory_nothing_is_measured(self) -> None:
        with emulator("--deny", "lambda:ListFunctions") as target, pytest.raises(NotMeasuredError) as caught:
            run(target, short())
        assert "lambda:ListFunctions is denied" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_no_function_of_that_name(self, target: Target) -> None:
        with pytest.raises(NotMeasuredError, match="name_prefix"):
            run(target, short(**{"lambda_functions.name_prefix": "'nothing-'"}))

    def test_nothing_answers(self) -> None:
        began = time.monotonic()
        nowhere = Target(aws_region=REGION, aws_endpoint_url="http://127.0.0.1:9", local=True)
        with pytest.raises(TargetUnreachableError) as caught:
            run(nowhere)
        assert "http://127.0.0.1:9 does not answer" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert time.monotonic() - began < 15
        (check,) = LAMBDA.check(CONFIG, nowhere)
        assert not check.ok

    def test_no_credentials(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(NotMeasuredError, match="AWS_ACCESS_KEY_ID"):
            run(Target(aws_region=REGION))

    def test_the_deadline_ends_it_and_what_was_read_counts(self, target: Target, whole: Run) -> None:
        begin = next(said.elapsed_s for said in whole.progress if said.message.startswith("logs:"))
        deadline_s, tables, began = 3 * begin + 2, Tables(), time.monotonic()

        def stall(said: Progress) -> None:
            """Hold the reading of the logs up until the time is over."""
            if said.message.startswith("logs:"):
                time.sleep(max(0.0, began + deadline_s + 0.1 - time.monotonic()))

        collected = collect(CollectContext(CONFIG, target, tables, stall), deadline_s=deadline_s)
        assert any(f"longer than its {deadline_s:.0f} s" in note for note in collected.notes)
        facts = facts_of(Samples(tables, collected), CONFIG.environment.lambda_functions)
        unread = [each for each in facts.functions.values() if "within the time" in each.log_note]
        assert unread
        assert all(each.statistics is None for each in unread)


def test_a_thousand_functions_behind_a_throttle_take_calls_in_proportion() -> None:
    slow = ("--rate", "lambda=20", "--rate", "cloudwatch=15", "--rate", "tag=20")
    with emulator("--extra", "920", *slow) as target:
        account = Account(target, 120)
        found = run(target, short(**{"lambda_functions.max_log_events": "1"}))
        account.close()
    requests = {row["permission"]: row["requests"] for row in found.tables["requests"].to_pylist()}
    assert found.measurements["lambda.functions.count", ""].value == 1000
    assert requests["cloudwatch:GetMetricData"] >= 16, "500 queries a call"
    counted = sum(count for name, count in requests.items() if not name.startswith("logs:"))
    assert counted <= 20 * 1000 / 82, "refused calls that were tried again among them"
    assert float(found.collected.load_plan["dollars of this analysis"]) < 0.2
    assert found.measurements["lambda.errors.ratio", ""].value is not None


def test_figures_of_aws_stand_beside_ours() -> None:
    with emulator("--compute-optimizer", "--lambda-insights") as target:
        found = run(target, short(**{"lambda_functions.days": "7"}))
    traced = f"{FUNCTION_PREFIX}orders-create"
    theirs, ours = (found.measurements[f"lambda.cold_start.{name}", traced] for name in ("insights", "p95"))
    assert theirs.value == pytest.approx(ours.value, rel=0.02)
    assert theirs.n == pytest.approx(ours.n, abs=2)
    memory = found.measurements["lambda.memory.insights", traced]
    assert memory.value is not None
    assert 0.1 < memory.value <= 1
    oversized = f"{FUNCTION_PREFIX}analytics-strategic-insights"
    assert found.measurements["lambda.memory.optimizer", oversized].value == 1024
    assert "Compute Optimizer" in found.measurements["lambda.memory.optimizer", oversized].source
    detail = found.findings[f"lambda.memory_oversized:{oversized}"].detail
    assert "AWS Compute Optimizer: NotOptimized, MemoryOverprovisioned, 1024 MB" in detail


def test_doctor_sees_every_permission(target: Target) -> None:
    checks = LAMBDA.check(CONFIG, target)
    assert len(checks) > 8
    assert [check.name for check in checks if not check.ok] == []
