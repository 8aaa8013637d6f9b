"""The gate's self-test: every damaged copy is blocked, and a rule that is really broken is noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from deployments.config import RunConfig, build_config
from storage.errors import ExitCode
from storage.parquet import Store
from storage.records import ComponentId, ComponentResult, GateVerdict, MeasuredComponent, Measurement, Threshold
from storage.runs import RunFolder
from tasks.judge import assess, checks, gate, score
from tasks.judge.gate import exit_code
from tasks.judging import gate_self_test, judge
from tasks.report import build as report_build
from tasks.results import stored_config, stored_manifests
from tasks.selftest.check import with_self_test
from tasks.selftest.records import SelfTest
from tests.report_example import GOOD_VALUES, THRESHOLDS, info, results


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of staging on disk; it fails its gate, as real runs do."""
    return stored_run(tmp_path_factory.mktemp("run"), build_config("staging"))


def stored_run(root: Path, config: RunConfig) -> RunFolder:
    folder = RunFolder(Store(root), "staging", "20250303T063000Z-4f2a91")
    folder.create(info(), config.model_dump(mode="json"))
    for result in results({**GOOD_VALUES, "api.latency.p95": 900.0}):
        assert isinstance(result, MeasuredComponent)
        files = folder.component(result.component)
        files.begin()
        files.finish(result.collected, result.measurements, (), attempt=1, code_version="0.1.0")
    return folder


def try_all(folder: RunFolder) -> SelfTest:
    return gate_self_test(folder, stored_config(folder))


def test_every_damaged_copy_is_blocked_and_every_broken_rule_noticed(stored: RunFolder) -> None:
    outcome = try_all(stored)
    assert outcome.holes == ()
    names = {one.name.partition(":")[0] for one in outcome.tried}
    assert {
        "zero samples",
        "not a number",
        "of an earlier run",
        "stale figure",
        "wrong unit",
        "dead",
        "not trusted load",
        "measured on another build",
        "limit removed",
        "truncated file",
        "a flipped bit",
        "manifest of a future version",
        "table of a future version",
        "not a number in a file",
        "past the limit, ended waiver",
    } <= names
    assert len(outcome.tried) > 150


def test_the_stored_run_stays_as_it_is(stored: RunFolder) -> None:
    before = {one.name: stored.store.read(one.name) for one in stored.store.files("performance-analysis-results")}
    try_all(stored)
    assert before == {
        one.name: stored.store.read(one.name) for one in stored.store.files("performance-analysis-results")
    }


def passes(*_: object, **__: object) -> GateVerdict:
    return GateVerdict.PASS


REAL = assess._unusable


def any_unit(threshold: Threshold, found: Sequence[Measurement]) -> str:
    return REAL(threshold, [one.model_copy(update={"unit": threshold.unit}) for one in found])


BROKEN: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "no limit is ever missed": (checks, "held", passes),
    "load is always believed": (gate, "load_trust", lambda *_, **__: None),
    "two targets are one": (gate, "one_target", lambda *_: None),
    "limits may be missing": (gate, "limits", lambda *_: None),
    "any unit will do": (assess, "_unusable", any_unit),
    "old files are new": (report_build, "fresh", lambda _, result: result),
    "what is missing has no weight": (score, "_judge", lambda *_: (100.0, 1.0)),
    "waivers never end": (gate, "in_force", lambda waivers, _: {one.check: one for one in waivers}),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_rule_that_is_really_broken_is_noticed(
    name: str, stored: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, rule, instead = BROKEN[name]
    monkeypatch.setattr(where, rule, instead)
    assert try_all(stored).holes


def test_a_production_run_tests_its_gate_as_it_is_judged(stored: RunFolder) -> None:
    report = judge(stored, stored_manifests(stored), {})
    check = next(one for one in report.gate.checks if one.id == "self_test")
    assert (check.verdict, "broken rules noticed" in check.detail) == (GateVerdict.PASS, True)
    assert exit_code(report) is ExitCode.GATE_FAILED  # by its slow API


def test_a_gate_with_a_hole_is_no_data(stored: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "load_trust", lambda *_, **__: None)
    report = judge(stored, stored_manifests(stored), {})
    assert exit_code(report) is ExitCode.INCOMPLETE
    assert "not blocked" in with_self_test(report, try_all(stored)).checks[-1].detail


def test_every_gated_metric_is_required_to_have_a_limit() -> None:
    for environment in ("development", "staging", "production"):
        gated = {one.metric for one in THRESHOLDS if one.gate is not None}
        assert set(build_config(environment).gate.required) == gated


def test_a_component_of_another_run_is_stale(tmp_path: Path) -> None:
    folder = stored_run(tmp_path, build_config("staging"))
    name = f"performance-analysis-results/staging/{folder.run}/cache/manifest.json"
    folder.store.write(name, folder.store.read(name).replace(folder.run.encode(), b"20250302T063000Z-4f2a91"))
    found = {one.component: one for one in judge(folder, stored_manifests(folder), {}).components}
    cache: ComponentResult = found[ComponentId.CACHE]
    assert cache.status == "failed"
    assert "stale" in cache.error
