"""Stored runs held against each other: slices from samples, the runs beside a baseline, what the command prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deployments.config import build_config
from flows.cli import app
from storage.baselines import pin
from storage.clock import Clock
from storage.errors import UsageError
from storage.parquet import Store
from storage.records import Collected, ComponentId, Window
from storage.runs import RunFolder
from tasks.comparing import baselines_of, compare, compare_runs, figures_of
from tasks.load.recording import samples
from tasks.load.recording.samples import Recorder
from tests.history_runs import figure, info, judged, moment, name

P95 = "api.latency.p95"
CONFIG = build_config("staging", local=True)
ENDPOINTS = ("GET /orders", "GET /menus")


def run(
    store: Store, number: int, slower: float = 1.0, *, users: str = "50", release: str | None = None
) -> RunFolder:
    """A run with 4,000 stored requests to two endpoints; the first of them is slower by a factor."""
    settings = {**info(number).settings, "users": users}
    about = info(number, settings=settings, release=release or f"v{number // 5}")
    folder = RunFolder(store, about.environment, about.run)
    folder.create(about, CONFIG.model_dump(mode="json"))
    rng = np.random.default_rng(number)
    recorder = Recorder(list(ENDPOINTS), [samples.STEADY])
    for at in range(4_000):
        took = int(20e6 * np.exp(rng.normal(0, 0.3)) * (slower if at % 2 == 0 else 1.0))
        begun = at * 25_000_000
        recorder.add((begun, begun, begun, begun + took), at % 2, 0, status=200, error=None, failed=False, size=3)
    files = folder.component(ComponentId.API)
    files.begin()
    files.write("samples", recorder.table(Clock(int(moment(number).timestamp() * 1e9))))
    table = files.written()["samples"]
    figures = []
    for endpoint in (None, *ENDPOINTS):
        rows = table if endpoint is None else samples.of_endpoint(table, endpoint)
        labels = {"endpoint": endpoint} if endpoint else {}
        value = samples.percentile(samples.latency_ms(rows), 0.95)
        figures.append(figure(P95, value, number, labels=labels, n=rows.num_rows))
    figures.append(figure("api.latency.p99", 1.0, number))  # not what the samples say
    collected = Collected(window=Window(start=moment(number), end=moment(number)))
    files.finish(collected, figures, [], attempt=1, code_version="test")
    judged(folder, number)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("compared"))
    for number in range(7):
        run(store, number, release="v0" if number < 6 else "v1")
    run(store, 7, slower=1.5, release="v2")
    run(store, 8, users="500", release="v3")
    return store


def test_slices_are_taken_where_the_samples_give_the_figure(store: Store) -> None:
    found = figures_of(RunFolder(store, "staging", name(0)))
    assert {(one.metric, *one.labels.values()): len(one.slices) for one in found.figures} == {
        (P95,): 40,
        (P95, "GET /orders"): 40,
        (P95, "GET /menus"): 40,
        ("api.latency.p99",): 0,
    }
    assert found.context["users"] == "50"
    assert found.context["platform"] == "real"
    assert found.release == "v0"


def test_beside_a_baseline_stand_others_of_its_release(store: Store) -> None:
    about = RunFolder(store, "staging", name(7)).opened()[0]
    assert baselines_of(store, about, name(2)) == [name(number) for number in (2, 5, 4, 3, 1)]
    assert baselines_of(store, about, name(6)) == [name(6)]


def test_the_slower_endpoint_is_found_and_the_other_is_not(store: Store) -> None:
    found = compare(RunFolder(store, "staging", name(7)), "v0")
    verdicts = {(one.metric, *one.labels.values()): one.verdict for one in found.comparisons}
    assert verdicts[P95, "GET /orders"] == "worse"
    assert verdicts[P95, "GET /menus"] in ("same", "inconclusive")
    assert verdicts[(P95,)] == "worse"
    assert [(one.metric, one.confirmed) for one in found.regressions] == [(P95, True)]
    (note,) = found.notes
    assert note == f"Compared with run {name(5)} of release v0 and 4 like it: 1 figure, 1 worse"


def test_an_equal_run_is_not_worse(store: Store) -> None:
    found = compare(RunFolder(store, "staging", name(6)), "v0")
    assert {one.verdict for one in found.comparisons} <= {"same", "inconclusive"}
    assert found.regressions == ()


def test_stored_runs_are_compared_by_whatever_names_them(store: Store) -> None:
    root = Path(store.root)
    folders = [root / "performance-analysis-results" / "staging" / name(number) for number in range(8)]
    report = root / "performance-orchestration-reports" / "staging" / name(7) / "report.json"
    by_path = compare_runs(folders[7], folders[:5])
    for run in (str(folders[7]), folders[7] / "api" / "manifest.json", report, RunFolder(store, "staging", name(7))):
        assert compare_runs(run, folders[:5]) == by_path
    verdicts = {one.labels.get("endpoint", ""): one.verdict for one in by_path if one.metric == P95}
    assert verdicts.pop("GET /menus") != "worse"
    assert set(verdicts.values()) == {"worse"}
    (alone,) = {one.baselines for one in compare_runs(folders[7], folders[0])}
    assert alone == 1
    assert compare_runs(figures_of(RunFolder(store, "staging", name(7))), folders[0])
    with pytest.raises(UsageError, match="leads to no stored run"):
        compare_runs(root, folders[0])
    with pytest.raises(UsageError, match="leads to no stored run"):
        compare_runs(folders[0].with_name("gone"), folders[0])


def test_another_load_is_not_compared(store: Store) -> None:
    found = compare(RunFolder(store, "staging", name(8)), name(0))
    assert {one.verdict for one in found.comparisons} == {"not_alike"}
    assert (found.compared, found.regressions) == (0, ())
    assert found.notes == (
        f"Not compared with run {name(0)}, since that is not like with like: users 50 then, 500 now",
    )
    assert compare(RunFolder(store, "staging", name(8)), None).comparisons == ()


def test_the_command_names_what_became_worse(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    pin(store, "staging", "golden", name(4), by="me")
    for more in ((), ("--json",)):
        arguments = ["compare", name(7), "golden", "--output", store.root, *more]
        app(arguments, result_action="return_value", exit_on_error=False, print_error=False)
    text, _, answer = capsys.readouterr().out.partition("\n{")
    assert f"Compared with run {name(4)} of release v0 and 4 like it" in text
    assert "✗ worse" in text
    told = json.loads("{" + answer)
    assert told["baselines"][0] == name(4)
    assert {one["verdict"] for one in told["comparisons"] if one["labels"] == {"endpoint": "GET /orders"}} == {
        "worse"
    }


def test_a_run_without_one_before_it_says_so(tmp_path: Path) -> None:
    folder = run(Store(tmp_path), 0)
    assert compare(folder, None).notes == (f"There is no whole run before {name(0)} under like load to compare with",)
    assert compare(folder, name(0)).notes == (f"{name(0)} is the run itself: name another one",)
