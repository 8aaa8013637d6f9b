"""A whole validation of the embedded platform, checked against what the platform itself saw."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pyarrow.parquet as pq
import pytest

from deployments.local import aws, defects
from deployments.local.platform import Platform
from storage.records import MeasuredComponent, Report
from tests.e2e.conftest import Ended, run

SECRETS = ("database_url", "redis_url")
COUNTED = ("api", "rfid", "websocket")


@pytest.fixture(scope="module")
def validated(
    held_platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ended, Path, dict[str, int]]:
    folder = tmp_path_factory.mktemp("development")
    before = counted(held_platform)
    load = ("--duration", "30", "--ramp-up", "5")
    ended = run("run", "development", *load, "--output", "out", cwd=folder, variables=held_platform.environment)
    after = counted(held_platform)
    return ended, folder / "out", {kind: after[kind] - before[kind] for kind in after}


def counted(of: Platform) -> dict[str, int]:
    counters = httpx.get(f"{of.api_url}/__platform__/counters", timeout=10).json()
    return {
        "http": sum(one["count"] for one in counters["http"]),
        "messages": sum(counters["websocket"]["messages"].values()),
    }


def the_report(folder: Path) -> Report:
    (path,) = folder.glob("performance-orchestration-reports/development/*/report.json")
    return Report.model_validate_json(path.read_bytes())


def rows(folder: Path, component: str) -> int:
    (path,) = folder.glob(f"performance-analysis-results/development/*/{component}/samples.parquet")
    return pq.read_metadata(path).num_rows


def test_it_measures_every_component_and_answers_by_the_gate(validated: tuple[Ended, Path, dict[str, int]]) -> None:
    ended, folder, _ = validated
    report = the_report(folder)
    assert {one.component: one.status for one in report.components if one.status != "measured"} == {}, ended.err
    assert not report.gate.policy.blocks
    assert ended.code == {"pass": 0, "fail": 0, "no_data": 3}[report.gate.verdict], ended.err
    proved = run("gate", "latest", "--self-test", "--output", str(folder), cwd=folder)
    assert proved.code == 0, proved.out
    strict = run("gate", "latest", "--profile", "strict", "--output", str(folder), cwd=folder)
    assert strict.code == {"pass": 0, "fail": 1, "no_data": 3}[report.gate.verdict], strict.err
    unknown = {check.id for check in report.gate.checks if check.verdict == "no_data"}
    assert unknown <= {"load_trust"}, "a generator on a busy machine may doubt itself; all else is known"
    assert report.score.coverage == pytest.approx(1)
    assert "Traceback" not in ended.err + ended.out
    assert str(folder) in ended.out


def test_the_application_counted_what_the_samples_hold(validated: tuple[Ended, Path, dict[str, int]]) -> None:
    _, folder, seen = validated
    assert rows(folder, "api") + rows(folder, "rfid") == seen["http"]
    assert rows(folder, "websocket") == seen["messages"]


def test_the_load_accounts_for_every_request(validated: tuple[Ended, Path, dict[str, int]]) -> None:
    _, folder, _ = validated
    report = the_report(folder)
    for one in report.components:
        if one.component in COUNTED:
            assert isinstance(one, MeasuredComponent)
            load = one.collected.load
            assert load is not None
            assert load.planned == load.sent + load.unsent
            assert load.sent == load.answered + sum(load.errors.values()) == rows(folder, one.component)


def test_the_report_made_again_equals_the_first(validated: tuple[Ended, Path, dict[str, int]]) -> None:
    _, folder, _ = validated
    (path,) = folder.glob("performance-orchestration-reports/development/*/report.json")
    first = path.read_bytes()
    again = run("report", "latest", "--output", str(folder), "--json", cwd=folder)
    assert json.loads(again.out) == json.loads(first)
    assert path.read_bytes() == first


def test_its_page_is_small_and_on_the_history_site(validated: tuple[Ended, Path, dict[str, int]]) -> None:
    _, folder, _ = validated
    (page,) = folder.glob("performance-orchestration-reports/development/*/report.html")
    assert page.stat().st_size <= 400_000
    assert "performance-orchestration-reports/development/index.html" in (folder / "index.html").read_text()
    assert f"{page.parent.name}/report.html" in page.parent.with_name("index.html").read_text()


def test_every_planted_defect_is_named(validated: tuple[Ended, Path, dict[str, int]]) -> None:
    _, folder, _ = validated
    found = [one.model_dump_json() for one in the_report(folder).findings]
    missed = [
        defect.id
        for defect in defects.PLANTED
        if not any(
            defect.where in text and all(name in text for name in defect.objects[:1] if "{" not in name)
            for text in found
        )
    ]
    missed += [
        f"{case.kind} {case.function}" for case in aws.PLANTED if not any(case.deployed in text for text in found)
    ]
    assert missed == []


def test_no_secret_is_in_anything_that_was_written(
    held_platform: Platform, validated: tuple[Ended, Path, dict[str, int]]
) -> None:
    ended, folder, _ = validated
    secrets = {unquote(urlsplit(getattr(held_platform, name)).password or "") for name in SECRETS}
    assert all(len(secret) >= 12 for secret in secrets)
    texts = {"output": ended.out + ended.err}
    for path in (one for one in folder.rglob("*") if one.is_file()):
        table = path.suffix == ".parquet"
        texts[str(path)] = str(pq.read_table(path).to_pydict()) if table else path.read_text(encoding="utf-8")
    leaks = {name for name, text in texts.items() for secret in secrets if secret in text}
    assert leaks == set()
