"""Measuring and advising on tables made here, with answers worked out here; every command against AWS's own model."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pyarrow as pa
import pytest
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator

from deployments.config import LambdaSettings, RunConfig, build_config
from storage.records import Collected, Finding, Measurement, Severity, Window
from tasks.components.base import Samples
from tasks.components.lambda_functions import LAMBDA
from tasks.components.lambda_functions.aggregates import AGGREGATES
from tasks.components.lambda_functions.collect import LOGS, share_out
from tasks.components.lambda_functions.criticality import Evidence, classify, configured
from tasks.components.lambda_functions.doctor import PERMISSIONS
from tasks.components.lambda_functions.facts import runtimes
from tasks.components.lambda_functions.inventory import FUNCTIONS
from tasks.components.lambda_functions.metrics import METRICS, MetricsRead
from tasks.components.lambda_functions.reading import read
from tasks.components.lambda_functions.reports import LogEvent, statistics
from tasks.components.lambda_functions.triggers import TRIGGERS, by_function

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
WINDOW = Window(start=END - timedelta(days=14), end=END)
PREFIX = "hasivu-platform-"
ADVISE = Path(__file__).parents[2] / "tasks" / "components" / "lambda_functions" / "advise"
CONFIG = build_config("development")


def name(key: str) -> str:
    return f"{PREFIX}dev-{key}"


def line(
    number: int,
    *,
    duration: float = 100.0,
    init: float | None = None,
    memory: int = 512,
    used: int = 400,
    rest: str = "",
) -> str:
    billed = int(duration + (init or 0)) + 1
    cold = f"\tInit Duration: {init:.2f} ms" if init is not None else ""
    return (
        f"REPORT RequestId: {number:08x}-1111-4111-8111-111111111111\tDuration: {duration:.2f} ms"
        f"\tBilled Duration: {billed} ms\tMemory Size: {memory} MB\tMax Memory Used: {used} MB{cold}{rest}\t\n"
    )


class World:
    """Tables of a run, function by function."""

    def __init__(self) -> None:
        self.functions: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self.events: list[LogEvent] = []
        self.logs: list[dict[str, Any]] = []
        self.aggregates: list[dict[str, Any]] = []
        self.notes: tuple[str, ...] = ()
        self.triggers: list[dict[str, Any]] = []
        self._count = 0

    def add(
        self,
        key: str,
        lines: Sequence[Mapping[str, Any]] = (),
        *,
        metrics: Mapping[tuple[str, str], float] | None = None,
        log_note: str = "",
        **setup: Any,
    ) -> None:
        deployed = name(key)
        row = {
            "function": deployed,
            "arn": f"arn:aws:lambda:ap-south-1:123456789012:function:{deployed}",
            "runtime": "nodejs24.x",
            "memory_mb": 512,
            "timeout_s": 30,
            "architecture": "arm64",
            "package": "Zip",
            "storage_mb": 512,
            "snap_start": False,
            "managed_instances": False,
            "revision": "11111111-2222-4333-8444-555555555555",
            "log_group": f"/aws/lambda/{deployed}",
            "log_format": "Text",
            "provisioned": [],
            "tags": [],
            "sources": [],
        }
        self.functions.append({**row, **setup})
        for step, each in enumerate(lines):
            self._count += 1
            at = int(WINDOW.start.timestamp() * 1000) + step * 60_000
            self.events.append(
                LogEvent(
                    each.get("at", at), line(self._count, **{k: v for k, v in each.items() if k != "at"}), deployed
                )
            )
        defaults: dict[tuple[str, str], float] = {
            ("Invocations", "Sum"): len(lines),
            ("Errors", "Sum"): 0,
            ("Throttles", "Sum"): 0,
        }
        for (metric, statistic), value in ({**defaults, **(metrics or {})} if lines or metrics else {}).items():
            self.metrics.append({"function": deployed, "metric": metric, "statistic": statistic, "value": value})
        self.logs.append(
            {
                "function": deployed,
                "log_group": row["log_group"],
                "path": "none" if log_note else "events",
                "events": len(lines),
                "duplicates": 0,
                "suspicious": 0,
                "note": log_note,
            }
        )

    def samples(self) -> Samples:
        table, _ = read(self.events)
        return Samples(
            {
                "samples": table,
                "functions": pa.Table.from_pylist(self.functions, schema=FUNCTIONS),
                "metrics": pa.Table.from_pylist(self.metrics, schema=METRICS),
                "logs": pa.Table.from_pylist(self.logs, schema=LOGS),
                "triggers": pa.Table.from_pylist(self.triggers, schema=TRIGGERS),
                "aggregates": pa.Table.from_pylist(self.aggregates, schema=AGGREGATES),
            },
            Collected(window=WINDOW, fingerprint={"region": "ap-south-1"}, notes=self.notes),
        )

    def measured(self) -> dict[tuple[str, str], Measurement]:
        found = LAMBDA.measure(self.samples(), CONFIG)
        assert {m.metric for m in found if not m.labels} == LAMBDA.metrics, "each is always answered"
        return {(m.metric, m.labels.get("function", "")): m for m in found}

    def findings(self, config: RunConfig = CONFIG) -> dict[str, Finding]:
        samples = self.samples()
        found = LAMBDA.advise(samples, LAMBDA.measure(samples, config), config)
        assert len({f.id for f in found}) == len(found)
        return {f.id: f for f in found}


def repeat(count: int, **line: Any) -> list[dict[str, Any]]:
    return [line] * count


def cold(count: int, init: float) -> list[dict[str, Any]]:
    return [{"init": init + i} for i in range(count)]


class TestMeasure:
    def test_a_slow_critical_function_does_not_hide_among_quick_ones(self) -> None:
        world = World()
        world.add("orders-create", cold(20, 4000))
        world.add("health", cold(2000, 100))
        world.add("pdf-generator", cold(50, 9000))
        found = world.measured()["lambda.cold_start.p95", ""]
        assert found.value == pytest.approx(4000 + 19 * 0.95)
        assert found.n == 20
        assert name("orders-create") in found.note

    def test_few_cold_starts_give_their_longest_and_say_so(self) -> None:
        world = World()
        world.add("orders-create", cold(3, 4000))
        world.add("health", repeat(50))
        found = world.measured()["lambda.cold_start.p95", ""]
        assert (found.value, found.n) == (4002.0, 3)
        assert "too few" in found.note

    def test_no_cold_start_is_no_zero(self) -> None:
        world = World()
        world.add("health", repeat(50))
        found = world.measured()["lambda.cold_start.p95", ""]
        assert (found.value, found.n) == (None, 0)
        assert "no cold start among 50 invocations" in found.note

    def test_memory_is_weighted_by_invocations(self) -> None:
        world = World()
        world.add("health", repeat(30, used=256))
        world.add("orders-get", repeat(10, used=512))
        assert world.measured()["lambda.memory.efficiency", ""].value == pytest.approx((30 * 0.5 + 10) / 40)

    def test_denominators(self) -> None:
        world = World()
        world.add("health", repeat(90), metrics={("Errors", "Sum"): 9, ("Throttles", "Sum"): 10})
        found = world.measured()
        assert found["lambda.errors.ratio", ""].value == pytest.approx(0.1)
        assert found["lambda.throttles.ratio", ""].value == pytest.approx(0.1), (
            "throttled requests are no invocations"
        )
        assert found["lambda.throttles.ratio", name("health")].n == 100

    def test_without_logs_the_counts_remain(self) -> None:
        world = World()
        denied = "logs:FilterLogEvents is denied"
        world.add("health", metrics={("Invocations", "Sum"): 100.0}, log_note=denied)
        found = world.measured()
        assert found["lambda.errors.ratio", ""].value == 0
        for metric in (
            "lambda.cold_start.p95",
            "lambda.memory.efficiency",
            "lambda.duration.p95",
            "lambda.cost.month",
        ):
            assert found[metric, ""].value is None
            assert denied in found[metric, ""].note

    def test_without_metrics_the_logs_remain(self) -> None:
        world = World()
        world.add("health", cold(12, 500))
        world.metrics.clear()
        world.notes = ("CloudWatch metrics not measured: cloudwatch:GetMetricData is denied",)
        found = world.measured()
        assert found["lambda.cold_start.p95", ""].n == 12
        assert found["lambda.errors.ratio", ""].value is None
        assert "GetMetricData is denied" in found["lambda.errors.ratio", ""].note
        assert not world.findings().keys() & {f"lambda.no_traffic:{name('health')}"}

    def test_dollars_of_a_month(self) -> None:
        world = World()
        world.add("health", repeat(1400, duration=999.5, memory=1024), memory_mb=1024)
        found = world.measured()["lambda.cost.month", name("health")]
        month = 730 / (14 * 24)
        assert found.value == pytest.approx(1400 * month * (1.0 * 1.33334e-5 + 2e-7), rel=1e-6)

    def test_figures_of_logs_insights_stand_in(self) -> None:
        world = World()
        world.add("health", metrics={("Invocations", "Sum"): 1e6})
        world.logs[0]["path"] = "insights"
        world.aggregates.append(
            {
                "function": name("health"),
                **{column: 100.0 for column in AGGREGATES.names if column != "function"},
                "invocations": 1e6,
                "cold_starts": 5000.0,
                "memory_mb": 500.0,
            }
        )
        found = world.measured()
        assert (found["lambda.cold_start.p95", ""].value, found["lambda.cold_start.p95", ""].n) == (100.0, 5000)
        assert found["lambda.cold_start.ratio", ""].value == pytest.approx(0.005)
        assert "Insights" in found["lambda.memory.efficiency", name("health")].source


class TestAdvise:
    def test_a_healthy_platform_has_no_findings(self) -> None:
        world = World()
        world.add("health", repeat(500))
        world.add("orders-get", [*repeat(500), *cold(20, 300)])
        assert world.findings() == {}

    def test_memory_too_small(self) -> None:
        world = World()
        world.add("orders-get", repeat(200, used=500))
        found = world.findings()[f"lambda.memory_undersized:{name('orders-get')}"]
        assert "--memory-size 640" in found.remedy.commands[0]
        assert "--memory-size 512" in found.remedy.rollback[0]

    def test_killed_for_want_of_memory(self) -> None:
        world = World()
        lines = repeat(150) + repeat(2, used=512, rest="\tStatus: error\tError Type: Runtime.OutOfMemory")
        world.add("orders-get", lines)
        found = world.findings()[f"lambda.memory_undersized:{name('orders-get')}"]
        assert found.severity is Severity.CRITICAL
        assert "2 invocations were killed" in found.detail

    def test_one_size_gets_a_probe_and_no_advice(self) -> None:
        world = World()
        world.add("orders-get", repeat(200, memory=2048, used=100), memory_mb=2048)
        found = world.findings()[f"lambda.memory_oversized:{name('orders-get')}"]
        assert "insufficient evidence" in found.detail
        assert "--memory-size 1024" in found.remedy.commands[0]
        assert not found.remedy.predicted

    def test_three_sizes_get_advice_with_a_prediction(self) -> None:
        world = World()
        lines = [*repeat(60, memory=512, duration=400), *repeat(60, memory=1024, duration=390)]
        world.add("orders-get", [*lines, *repeat(60, memory=2048, duration=385)], memory_mb=2048)
        found = world.findings()[f"lambda.memory_resize:{name('orders-get')}"]
        assert "--memory-size 512" in found.remedy.commands[0]
        assert found.remedy.predicted[0].metric == "lambda.duration.p95"

    def test_idle_memory_of_little_worth_is_one_finding(self) -> None:
        world = World()
        for number in range(12):
            world.add(f"task-{number}", repeat(120, used=100))
        assert list(world.findings()) == ["lambda.memory_idle:functions"]

    @pytest.mark.parametrize(("failed", "expected"), [(1, False), (2, False), (10, True)])
    def test_one_failure_of_seventy_is_no_finding(self, failed: int, *, expected: bool) -> None:
        world = World()
        world.add("users-get", repeat(70), metrics={("Errors", "Sum"): failed})
        assert (f"lambda.errors:{name('users-get')}" in world.findings()) is expected

    def test_quick_or_unimportant_cold_starts_are_no_finding(self) -> None:
        world = World()
        world.add("pdf-generator", cold(100, 5000))
        world.add("orders-get", cold(100, 400))
        assert world.findings() == {}

    def test_a_runtime_is_unsupported_from_its_day_on(self) -> None:
        world = World()
        world.add("orders-get", repeat(200), runtime="nodejs22.x")
        world.add("health", repeat(200), runtime="nodejs20.x")
        assert list(world.findings()) == ["lambda.runtime_unsupported:nodejs20.x"]
        assert runtimes()["nodejs20.x"].end == date(2026, 4, 30)

    def test_no_traffic_needs_metrics_that_could_be_read(self) -> None:
        world = World()
        world.add("orders-get", repeat(200))
        world.add("payments-advanced")
        assert f"lambda.no_traffic:{name('payments-advanced')}" in world.findings()
        world.metrics.clear()
        assert f"lambda.no_traffic:{name('payments-advanced')}" not in world.findings()


def trigger(
    key: str, kind: str, detail: str, *, exists: bool = True, stages: Sequence[str] = ("dev",)
) -> dict[str, Any]:
    return {
        "kind": kind,
        "api": "dev-api (abc123)",
        "stages": list(stages),
        "detail": detail,
        "function": name(key) if key else "",
        "exists": exists,
    }


class TestFronts:
    def test_routes_that_lead_nowhere(self) -> None:
        world = World()
        world.add("orders-get", repeat(200))
        world.triggers = [
            trigger("orders-get", "route", "GET /orders/{id}"),
            trigger("gone", "route", "GET /gone", exists=False),
            trigger("", "route", "GET /none", exists=False),
        ]
        found = world.findings()
        assert set(found) == {f"lambda.route_without_function:GET /{path}" for path in ("gone", "none")}
        validate(found["lambda.route_without_function:GET /gone"].remedy.commands[0])

    @pytest.mark.parametrize(("stage", "expected"), [("dev", False), ("$default", False), ("production", True)])
    def test_stages_named_otherwise_than_their_functions(self, stage: str, *, expected: bool) -> None:
        world = World()
        world.add("orders-get", repeat(200))
        world.triggers = [trigger("orders-get", "route", "GET /orders/{id}", stages=(stage,))]
        assert ("stage_mismatch" in {each.kind for each in world.findings().values()}) is expected


def test_the_policy_document_grants_exactly_what_is_asked_for() -> None:
    policy = json.loads((Path(__file__).parents[2] / "docs" / "lambda-policy.json").read_text())
    granted = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert sorted(granted) == sorted(PERMISSIONS)
    assert not any("*" in action for action in granted)


class TestCriticality:
    ROW: Mapping[str, Any] = {"tags": {}, "sources": []}

    def settings(self, *critical: str) -> LambdaSettings:
        return LambdaSettings(name_prefix=PREFIX, critical=critical)

    def test_keys_name_deployed_functions_exactly(self) -> None:
        names = [name("health"), name("monitoring-health"), name("orders-get")]
        assert configured(names, self.settings("health")) == {name("health"): "health"}
        assert configured([f"{PREFIX}health"], self.settings("health")) == {f"{PREFIX}health": "health"}
        assert configured(names, self.settings(name("orders-get"))) == {name("orders-get"): name("orders-get")}

    def test_the_stronger_evidence_wins(self) -> None:
        rows = [
            {**self.ROW, "function": name("orders-create")},
            {**self.ROW, "function": name("reports"), "tags": {"criticality": "critical"}},
            {**self.ROW, "function": name("orders-sync"), "sources": ["arn:aws:sqs:x:1:queue"]},
        ]
        listed = classify(rows, {}, self.settings("reports"))
        assert listed[name("reports")].evidence is Evidence.CONFIGURED
        assert not listed[name("orders-create")].critical
        free = classify(rows, {}, self.settings())
        assert (free[name("reports")].critical, free[name("reports")].evidence) == (True, Evidence.TAG)
        assert (free[name("orders-sync")].critical, free[name("orders-sync")].evidence) == (False, Evidence.TRIGGER)
        assert (free[name("orders-create")].critical, free[name("orders-create")].evidence) == (True, Evidence.NAME)

    def test_what_only_a_schedule_calls_lets_nobody_wait(self) -> None:
        rows = [{**self.ROW, "function": name("payments-retry")}, {**self.ROW, "function": name("orders-get")}]
        triggers = by_function(
            [trigger("payments-retry", "schedule", "rate(1 hour)"), trigger("orders-get", "route", "GET /o")]
        )
        found = classify(rows, {}, self.settings(), triggers)
        assert (found[name("payments-retry")].critical, found[name("payments-retry")].evidence) == (
            False,
            Evidence.TRIGGER,
        )
        assert found[name("orders-get")].evidence is Evidence.NAME

    def test_an_authorizer_is_critical_because_others_depend_on_it(self) -> None:
        rows = [{**self.ROW, "function": name("gatekeeper")}]
        found = classify(rows, {}, self.settings(), by_function([trigger("gatekeeper", "authorizer", "jwt")]))
        assert (found[name("gatekeeper")].critical, found[name("gatekeeper")].evidence) == (True, Evidence.DEPENDENCY)

    def test_a_route_that_writes_needs_less_traffic(self) -> None:
        noon = int(datetime(2026, 11, 19, 7, tzinfo=UTC).timestamp() * 1000)
        kinds = ["mobile"] * 96 + ["cart-save"] * 2 + ["cart-show"] * 2
        events = [LogEvent(noon + i, line(i), name(kinds[i % 100])) for i in range(2000)]
        rows = [{**self.ROW, "function": name(key)} for key in ("mobile", "cart-save", "cart-show")]
        routes = by_function([trigger("cart-save", "route", "PUT /cart"), trigger("cart-show", "route", "GET /cart")])
        found = classify(rows, statistics(events, timezone="Asia/Kolkata"), self.settings(), routes)
        assert found[name("cart-save")].critical
        assert "writes by PUT /cart" in found[name("cart-save")].detail
        assert not found[name("cart-show")].critical

    def test_traffic_in_school_hours_goes_before_names(self) -> None:
        noon = int(datetime(2026, 11, 19, 7, tzinfo=UTC).timestamp() * 1000)  # 12:30 in Kolkata
        events = [LogEvent(noon + i, line(i), name("mobile" if i % 50 else "orders-x")) for i in range(2000)]
        rows = [{**self.ROW, "function": name("mobile")}, {**self.ROW, "function": name("orders-x")}]
        found = classify(rows, statistics(events, timezone="Asia/Kolkata"), self.settings())
        assert {row: judged.critical for row, judged in found.items()} == {
            name("mobile"): True,
            name("orders-x"): False,
        }
        assert found[name("mobile")].evidence is Evidence.TRAFFIC


def test_functions_beyond_the_bound_are_left_to_insights() -> None:
    rows = [{"function": name(key)} for key in ("health", "busy", "small")]
    metrics = MetricsRead(
        {(name(key), "Invocations", "Sum"): n for key, n in (("health", 50.0), ("busy", 900.0), ("small", 9.0))}
    )
    settings = LambdaSettings(name_prefix=PREFIX, critical=("health",), max_log_events=100)
    exact, rest = share_out(rows, metrics, settings)
    assert [row["function"] for row in exact] == [name("health"), name("small")]
    assert [row["function"] for row in rest] == [name("busy")]


def every_defect() -> World:
    world = World()
    slow = [*cold(40, 3500), *repeat(60)]
    world.add("orders-create", slow, metrics={("ConcurrentExecutions", "Maximum"): 4})
    world.events.append(
        LogEvent(
            world.events[0].timestamp,
            "INIT_REPORT Init Duration: 10008.37 ms\tPhase: init\tStatus: timeout\n",
            name("orders-create"),
        )
    )
    world.add("orders-get", repeat(200, used=500))
    world.add("orders-list", repeat(200, memory=2048, used=100), memory_mb=2048)
    world.add(
        "menus-daily", [*repeat(60, memory=512, duration=400), *repeat(60, memory=1024, duration=390)], memory_mb=1024
    )
    world.add("auth-login", repeat(200), metrics={("Errors", "Sum"): 20})
    world.add("mobile", repeat(200), metrics={("Throttles", "Sum"): 50}, reserved=2)
    world.add("users-get", repeat(200), metrics={("Throttles", "Sum"): 50})
    world.add("rfid-verify-card", [{"at": int(WINDOW.start.timestamp() * 1000) + i} for i in range(40)] + repeat(60))
    world.add("payments-advanced")
    world.add("invoice-templates", repeat(200), runtime="nodejs14.x")
    world.add(
        "dashboard", repeat(200), metrics={("ProvisionedConcurrencyInvocations", "Sum"): 3}, provisioned=[("live", 5)]
    )
    world.add(
        "reports-daily",
        repeat(2000, duration=9000, memory=10_240, used=5000),
        memory_mb=10_240,
        architecture="x86_64",
        aliases=["3", "live"],
    )
    sized = [*repeat(60, memory=512, duration=400), *repeat(60, memory=1024, duration=390)]
    world.add("menus-weekly", sized, memory_mb=1024, aliases=["live"])
    world.triggers = [
        trigger("gone", "route", "GET /gone", exists=False),
        trigger("mobile", "route", "GET /m", stages=("prod",)),
    ]
    for number in range(3):
        world.add(f"idle-{number}", repeat(120, used=100))
    return world


KINDS = {
    "cold_starts": "orders-create",
    "failed_inits": "orders-create",
    "memory_undersized": "orders-get",
    "memory_oversized": "orders-list",
    "memory_resize": "menus-daily",
    "errors": "auth-login",
    "bursts": "rfid-verify-card",
    "no_traffic": "payments-advanced",
    "provisioned_unused": "dashboard",
    "architecture": "reports-daily",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_defect_is_found_and_named(kind: str) -> None:
    found = every_defect().findings()[f"lambda.{kind}:{name(KINDS[kind])}"]
    assert found.kind == kind
    assert name(KINDS[kind]) in found.title
    assert found.evidence or kind == "no_traffic", "what was never called has no measurement"


def test_findings_without_a_function_of_their_own() -> None:
    found = every_defect().findings()
    assert {"lambda.runtime_unsupported:nodejs14.x", "lambda.memory_idle:functions"} <= found.keys()
    assert name("invoice-templates") in found["lambda.runtime_unsupported:nodejs14.x"].title
    throttled = {
        found[f"lambda.throttles:{name(key)}"].remedy.commands[0].split()[1] for key in ("mobile", "users-get")
    }
    assert throttled == {"lambda", "service-quotas"}


def test_every_command_is_valid_by_the_models_of_aws() -> None:
    findings = every_defect().findings().values()
    commands = [command for f in findings for command in (*f.remedy.commands, *f.remedy.rollback)]
    assert len(commands) > 25
    for command in commands:
        validate(command)


def test_every_kind_of_finding_is_among_those_whose_commands_are_checked() -> None:
    source = "".join(path.read_text() for path in ADVISE.glob("*.py"))
    kinds = set(re.findall(r'finding\(\s*"([a-z_]+)"', source))
    assert kinds == {each.kind for each in every_defect().findings().values()}


def test_who_calls_an_alias_gets_the_change_by_a_new_version() -> None:
    remedy = every_defect().findings()[f"lambda.memory_resize:{name('menus-weekly')}"].remedy
    operations = [shlex.split(re.sub(r"^[A-Z]+=\$\(", "", command))[2] for command in remedy.commands]
    assert operations == [
        "get-alias",
        "update-function-configuration",
        "wait",
        "publish-version",
        "update-alias",
    ]
    assert remedy.rollback[0].endswith('--function-version "$PREVIOUS"')


def test_changes_of_settings_come_as_infrastructure_code_too() -> None:
    for found in every_defect().findings().values():
        if found.kind in {"memory_undersized", "memory_resize", "architecture", "runtime_unsupported", "cold_starts"}:
            assert [patch.split()[1] for patch in found.remedy.patches][:1] == ["serverless.yml"], found.id
            assert any("SAM" in patch for patch in found.remedy.patches), found.id
            assert any("Terraform" in patch for patch in found.remedy.patches), found.id


def test_every_change_can_be_taken_back() -> None:
    changes = re.compile(r"aws (?:lambda|application-autoscaling) (?:update|put|delete|publish|create|register)-")
    for found in every_defect().findings().values():
        if any(changes.search(command) for command in found.remedy.commands):
            assert found.remedy.rollback, found.id


@pytest.mark.parametrize(
    "command",
    [
        "aws lambda put-provisioned-concurrency-config --function-name f --provisioned-concurrency-capacity 5",
        "aws lambda update-function-configuration --function-name f --memory-size lots",
        "aws lambda update-function-configuration --function-name f --memory-size 64",
        "aws lambda resize-function --function-name f",
        "aws lambda delete-alias --function-name f",
        "aws lambda wait function-rested --function-name f",
    ],
)
def test_the_validator_refuses_what_aws_would(command: str) -> None:
    with pytest.raises(AssertionError):
        validate(command)


SESSION = botocore.session.get_session()
CLI_OPTIONS = {"--region", "--query", "--output", "--max-items"}
"""Options of the AWS CLI itself, of no operation."""


@cache
def service_model(service: str) -> ServiceModel:
    return SESSION.get_service_model(service)


def validate(command: str) -> None:
    """Hold a command of the AWS CLI against botocore's model: operation, parameters, types, limits."""
    if variable := re.fullmatch(r"[A-Z]+=\$\((.*)\)", command):
        command = variable[1]
    program, service, operation, *options = shlex.split(command)
    assert program == "aws"
    model = service_model(service)
    operations = {re.sub(r"(?<!^)(?=[A-Z])", "-", each).lower(): each for each in model.operation_names}
    if operation == "wait":
        waiters = SESSION.get_waiter_model(service)
        waiter, *options = options
        by_name = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", each).lower(): each for each in waiters.waiter_names}
        assert waiter in by_name, f"no waiter {waiter}"
        operations = {"wait": waiters.get_waiter(by_name[waiter]).operation}
    assert operation in operations, f"no operation {operation}"
    check_parameters(model.operation_model(operations[operation]), options)


def check_parameters(model: OperationModel, options: Sequence[str]) -> None:
    members: Mapping[str, Shape] = model.input_shape.members if model.input_shape else {}
    by_option = {"--" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", each).lower(): each for each in members}
    given: dict[str, Any] = {}
    assert len(options) % 2 == 0, f"an option without value in {options}"
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option in CLI_OPTIONS:
            continue
        assert option in by_option, f"{model.name} takes no {option}"
        shape = members[by_option[option]]
        if shape.type_name in {"integer", "long", "double"}:
            assert re.fullmatch(r"\d+", value), f"{option} takes a number, not {value!r}"
            given[by_option[option]] = float(value) if shape.type_name == "double" else int(value)
        elif shape.type_name == "list":
            given[by_option[option]] = [value]
        elif shape.type_name == "blob":
            assert value.startswith("fileb://")
            given[by_option[option]] = b"package"
        elif shape.type_name == "structure":  # the CLI's shorthand: Name=value,Name=value
            pairs = dict(part.split("=") for part in value.split(","))
            given[by_option[option]] = {key: int(each) if each.isdigit() else each for key, each in pairs.items()}
        else:
            given[by_option[option]] = "1" if value in {"$VERSION", "$PREVIOUS"} else value
    assert model.input_shape is not None
    report = ParamValidator().validate(given, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    for key, value in given.items():
        enum = getattr(members[key], "enum", None)
        assert not enum or value in enum, f"{value!r} is no {key}"
        pattern = members[key].metadata.get("pattern")
        assert not pattern or re.fullmatch(pattern, str(value)), f"{value!r} is no {key}"
