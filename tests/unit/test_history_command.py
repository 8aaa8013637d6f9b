"""`hasivu-perf history` and `hasivu-perf baseline`: what they print, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli import app
from storage.errors import UnknownRunError, UsageError
from storage.parquet import Store
from storage.removal import announce, remove
from tasks.baseline import baseline_run, find_baseline
from tasks.report.history_text import sparkline
from tests.history_runs import figure, made, moment, name

P95 = "api.latency.p95"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rng = np.random.default_rng(2)
    store = Store(tmp_path)
    for number in range(24):
        value = (100.0 if number < 15 else 130.0) * float(np.exp(rng.normal(0, 0.01)))
        part = figure(P95, value / 2, number, labels={"endpoint": "GET /orders"})
        own = figure(P95, None if number == 4 else value, number, interval=None if number == 4 else (95.0, 140.0))
        made(store, number, figures=[own, part], verdict="fail" if number == 23 else "pass")
    return store


def said(store: Store, *arguments: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    app([*arguments, "--output", store.root], result_action="return_value", exit_on_error=False, print_error=False)
    return capsys.readouterr().out if capsys else ""


def test_a_metric_is_a_table_with_its_change(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(store, "history", P95, "staging", "--last", "12", capsys=capsys).splitlines()
    assert lines[0] == f"{P95}: 23 of 24 runs have a value"
    assert len(lines[1]) == 24
    assert lines[1][4] == "·"
    (at,) = [place for place, line in enumerate(lines) if line.startswith("-- confirmed")]
    assert "from " + name(15) + " on, 9 runs" in lines[at]
    assert lines[at + 1].startswith(name(15))
    assert sum(line.startswith("2026") for line in lines) == 12
    assert "95 ms to 140 ms" in lines[-1]


def test_parts_are_one_line_each(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(store, "history", "api.*", "staging", "--parts", capsys=capsys)
    assert f"{P95} endpoint GET /orders" in text
    chosen = ("--label", "endpoint=GET /orders", "--release", "v0", "--json")
    told: dict[str, Any] = json.loads(said(store, "history", P95, "staging", *chosen, capsys=capsys))
    (series,) = told["series"]
    assert [point["run"] for point in series["points"]] == [name(number) for number in range(10)]
    assert series["labels"] == {"endpoint": "GET /orders"}
    assert told["left_out"] == {}


def test_json_has_every_point_and_change(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    since = ("--since", f"{moment(1):%Y-%m-%d}", "--until", f"{moment(23):%Y-%m-%d}")
    (series,) = json.loads(said(store, "history", P95, "staging", *since, "--json", capsys=capsys))["series"]
    assert len(series["points"]) == 22
    assert series["points"][3] | {"started": ""} == {
        "run": name(4),
        "started": "",
        "release": "v0",
        "commit": f"{4:040x}",
        "value": None,
        "interval": None,
        "n": 0,
        "note": "nothing answered",
    }
    (change,) = series["changes"]
    assert (change["run"], change["direction"], change["status"]) == (name(15), 1, "confirmed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("history", "api.latncy.p95", "staging"), "there are api.latency.p95"),
        (("history", P95, "production"), "no run of production"),
        (("history", P95, "staging", "--since", "yesterday"), "no day"),
        (("history", P95, "staging", "--label", "orders"), "NAME=VALUE"),
        (("baseline", "set", "x", "v77", "--environment", "staging"), "no release"),
    ],
)
def test_what_is_not_there_is_named(
    store: Store, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=message):
        said(store, *arguments, capsys=capsys)


def test_baselines_by_name_release_run_and_last_good(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(store, "baseline", "set", "golden", "v1", "--environment", "staging", capsys=capsys)
    assert f"golden is {name(19)} now" in text
    assert find_baseline(store, "staging", "golden") == name(19)
    assert find_baseline(store, "staging", "last-good") == name(22)
    assert find_baseline(store, "staging", "latest") == name(23)
    assert find_baseline(store, "staging", "v0") == name(9)
    assert find_baseline(store, "staging", name(3)) == name(3)
    with pytest.raises(UnknownRunError):
        find_baseline(store, "staging", "v7")
    assert baseline_run(store, "staging", asked=None, release="v2") == name(19)
    assert baseline_run(store, "staging", asked=None, release=None) is None
    shown = json.loads(said(store, "baseline", "show", "staging", "--json", capsys=capsys))
    assert (shown["pinned"]["golden"]["run"], shown["last_good"]) == (name(19), name(22))
    table = said(store, "baseline", "show", "staging", capsys=capsys)
    assert "golden" in table
    assert name(22) in table


def test_a_baseline_must_be_a_whole_run_with_a_report(store: Store) -> None:
    folder = made(store, 30)
    store.write_json(folder.orchestration("report.json"), {"gate": {"verdict": "pass"}})
    partial = made(store, 31)
    score = {"value": 20.0, "grade": "D", "coverage": 0.5}
    report = {"gate": {"verdict": "no_data"}, "score": score, "components": [{"status": "failed"}]}
    store.write_json(partial.orchestration("report.json"), report)
    gone = made(store, 32)
    announce(gone)
    remove(gone)
    assert baseline_run(store, "staging", asked=None, release="v9") == name(23)
    assert find_baseline(store, "staging", name(31)) == name(31)


def test_a_sparkline_shows_least_greatest_and_gaps() -> None:
    assert sparkline([0.0, 1.0, float("nan"), 7.0]) == "▁▂·█"
    assert sparkline([5.0, 5.0]) == "▅▅"
    assert sparkline([1.0, 2.0, 3.0], width=2) == "▁█"
    assert sparkline([float("nan")] * 3) == "···"
    assert sparkline([0.0, float("nan"), 1.0], ascii_only=True).isascii()


def test_a_run_against_a_baseline_that_is_not_there_does_not_start(store: Store) -> None:
    with pytest.raises(UnknownRunError, match="nope"):
        said(store, "run", "staging", "--local", "--baseline", "nope")
