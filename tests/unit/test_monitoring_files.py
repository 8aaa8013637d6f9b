"""Rules, dashboards and alarms: kept files are what the command writes, and other people's tools take them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deployments.config import load_environment, load_thresholds
from flows.monitoring import monitoring
from storage.errors import ExitCode
from tasks.monitoring.generate import ALARMS, EXECUTIVE, FOLDER, RULE_TESTS, RULES, TECHNICAL
from tasks.monitoring.generate.cloudwatch import _TEXT_PATTERN
from tasks.monitoring.watch import names
from tasks.monitoring.watch.rules import PARTS, rules

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian's prometheus) is not installed")
THRESHOLDS, _ = load_thresholds()
NAME = re.compile(r"\b(?:hasivu|process)_[a-z0-9_]+")


def test_the_kept_files_are_what_the_command_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert monitoring(output=tmp_path / "made") is ExitCode.PASS
    written = {path.name: path for path in (tmp_path / "made").iterdir()}
    assert (
        set(written) == {path.name for path in FOLDER.iterdir()} == {RULES, RULE_TESTS, EXECUTIVE, TECHNICAL, ALARMS}
    )
    for name, path in written.items():
        assert path.read_text() == (FOLDER / name).read_text(), f"run: hasivu-perf monitoring --output {FOLDER}"
    assert os.access(written[ALARMS], os.X_OK)
    assert capsys.readouterr().out.count("\n") == len(written)


# --- Prometheus ---


@cache
def made_rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / RULES).read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_prometheus_has_the_rules_of_the_watch_and_two_that_only_it_can_tell() -> None:
    watched = {rule.name for rule in rules(THRESHOLDS, list(PARTS))}
    assert {one["alert"] for one in made_rules()} == watched | {"HasivuNotMeasured", "HasivuWatchSilent"}


def test_rules_and_dashboards_ask_for_what_the_watch_exports_and_for_nothing_else() -> None:
    known = names.series_names(THRESHOLDS)
    asked = [one["expr"] for one in made_rules()] + [
        query for name in (EXECUTIVE, TECHNICAL) for query in queries(name)
    ]
    found = [set(NAME.findall(query)) for query in asked]
    assert all(found), "a query without a metric"
    assert set().union(*found) <= known
    assert {names.name_of(one) for one in THRESHOLDS} <= set().union(*found), "a metric that nobody shows"


@pytest.mark.system
@needs_promtool
def test_promtool_takes_the_rules_and_each_fires_and_stays_quiet_as_told() -> None:
    check = subprocess.run(
        [str(PROMTOOL), "check", "rules", RULES], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr
    assert f"{len(made_rules())} rules found" in check.stdout
    told = subprocess.run(
        [str(PROMTOOL), "test", "rules", RULE_TESTS], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr + told.stdout


def test_each_rule_has_series_by_which_it_fires_and_others_by_which_it_does_not() -> None:
    tests = yaml.safe_load((FOLDER / RULE_TESTS).read_text())["tests"]
    cases = [(one["alert_rule_test"][0]["alertname"], bool(one["alert_rule_test"][0]["exp_alerts"])) for one in tests]
    for rule in made_rules():
        assert (rule["alert"], True) in cases
        assert (rule["alert"], False) in cases


@pytest.mark.system
@needs_promtool
def test_promtool_notices_a_rule_with_another_limit(tmp_path: Path) -> None:
    text = (FOLDER / RULES).read_text().replace("hasivu_cache_hits_ratio < 0.9", "hasivu_cache_hits_ratio < 0.4")
    (tmp_path / RULES).write_text(text)
    tests = yaml.safe_load((FOLDER / RULE_TESTS).read_text())
    tests["tests"] = [one for one in tests["tests"] if one["name"].startswith("HasivuCacheHits")]
    (tmp_path / RULE_TESTS).write_text(yaml.safe_dump(tests))
    told = subprocess.run(
        [str(PROMTOOL), "test", "rules", RULE_TESTS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode != 0
    assert "HasivuCacheHitsRatioLowWarning" in told.stdout + told.stderr


# --- Grafana ---


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def queries(name: str) -> Iterator[str]:
    for panel in dashboard(name)["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def by_grafanas_schema(content: dict[str, Any]) -> Any:
    """Read by Grafana's own model, and written again: what it does not know is gone."""
    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(json.loads(json.dumps(content))), cls=JSONEncoder))


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """What of `given` is not in `kept`, or is another there."""
    if isinstance(given, dict):
        missing = [f"{path}.{key}" for key in given if not isinstance(kept, dict) or key not in kept]
        return missing + [
            one
            for key, value in given.items()
            if f"{path}.{key}" not in missing
            for one in lost(value, kept[key], f"{path}.{key}")
        ]
    if isinstance(given, list):
        if not isinstance(kept, list) or len(kept) != len(given):
            return [path]
        return [
            one
            for at, (left, right) in enumerate(zip(given, kept, strict=True))
            for one in lost(left, right, f"{path}[{at}]")
        ]
    return [] if given == kept else [path]


@pytest.mark.parametrize("name", [EXECUTIVE, TECHNICAL])
def test_grafanas_own_model_knows_every_field_of_a_dashboard(name: str) -> None:
    content = dashboard(name)
    assert lost(content, by_grafanas_schema(content)) == []
    content["panels"][1]["fieldConfig"]["defaults"]["untt"] = "ms"
    assert lost(content, by_grafanas_schema(content)) == [".panels[1].fieldConfig.defaults.untt"]


@pytest.mark.parametrize("name", [EXECUTIVE, TECHNICAL])
def test_panels_lie_beside_each_other_and_have_numbers_of_their_own(name: str) -> None:
    panels = dashboard(name)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_limits_in_a_dashboard_are_those_of_the_thresholds() -> None:
    (panel,) = [one for one in dashboard(TECHNICAL)["panels"] if one["title"] == "API response time, p95"]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 0.2, 0.5]


# --- CloudWatch ---

FAKE = """#!/bin/bash
printf '%s\\0' "$@" END >> "$CALLS"
"""


def calls_of(folder: Path, *arguments: str) -> list[list[str]]:
    """What the script asks the AWS CLI, which is recorded instead of being run."""
    program = folder / "bin" / "aws"
    program.parent.mkdir(exist_ok=True)
    program.write_text(FAKE)
    program.chmod(0o755)
    calls = folder / f"calls-{len(arguments)}"
    variables = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "ALARM_TOPIC": "arn:aws:sns:ap-south-1:123456789012:lunch",
        "API_ID": "a1b2c3",
        "CACHE_CLUSTER": "menus",
    }
    subprocess.run(["bash", str(FOLDER / ALARMS), *arguments], env=variables, check=True, timeout=60)
    return [call.split("\0") for call in calls.read_text().split("\0END\0") if call]


def test_every_alarm_is_valid_by_the_models_of_aws_and_can_be_removed(tmp_path: Path) -> None:
    made, removed = calls_of(tmp_path), calls_of(tmp_path, "remove")
    critical = load_environment("production").lambda_functions.critical
    assert len(made) == 5 * len(critical) + 3
    session = botocore.session.get_session()
    for service, operation, option, content, *others in made:
        assert option == "--cli-input-json"
        given = json.loads(content)
        given |= {"AlarmActions": [others[1]], "OKActions": [others[3]]} if others else {}
        model = session.get_service_model(service)
        name = {"put-metric-alarm": "PutMetricAlarm", "put-metric-filter": "PutMetricFilter"}[operation]
        shape = model.operation_model(name).input_shape
        assert shape is not None
        report = ParamValidator().validate(given, shape)
        assert not report.has_errors(), report.generate_report()
    alarms = {json.loads(call[3])["AlarmName"] for call in made if call[1] == "put-metric-alarm"}
    assert alarms == {call[3] for call in removed if call[1] == "delete-alarms"}
    filters = {
        (one["logGroupName"], one["filterName"])
        for one in (json.loads(call[3]) for call in made if call[1] == "put-metric-filter")
    }
    assert filters == {(call[3], call[5]) for call in removed if call[1] == "delete-metric-filter"}


def test_the_filter_takes_the_init_duration_of_a_report_line() -> None:
    """Space-delimited patterns name fields one by one, `...` is the rest (CloudWatch Logs User Guide)."""
    line = (
        "REPORT RequestId: 3c1f6c9e-3f7c-4bd8-8a0e-0123456789ab\tDuration: 12.34 ms\tBilled Duration: 13 ms\t"
        "Memory Size: 512 MB\tMax Memory Used: 120 MB\tInit Duration: 3512.40 ms\tXRAY TraceId: 1-5f\t"
    )
    fields = [part.strip() for part in _TEXT_PATTERN.strip("[]").split(",")]
    words = line.split()
    assert fields.pop() == "..."
    for field, word in zip(fields, words, strict=False):
        name, equals, literal = field.partition("=")
        assert not equals or literal.strip('"') == word, name
    assert words[fields.index("init")] == "3512.40"
