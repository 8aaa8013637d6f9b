"""The history site: rows of runs, trends with change points, and pages that heal themselves."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from storage.parquet import Store
from storage.records import Report
from storage.runs import ORCHESTRATION, RunFolder
from tasks.report.record import to_json
from tasks.report.run_row import row_of
from tasks.report.site import environment_page, thresholds_of
from tasks.report.trends import trends
from tasks.runs_index import earlier_runs, index_name, read_index
from tasks.site import MARK, add_run, rebuild
from tests.report_example import HOSTILE, START, example_report, good_report, info

PAGE = f"{ORCHESTRATION}/staging/index.html"


def run(number: int, values: dict[str, float | None] | None = None, **changes: object) -> Report:
    started = START + timedelta(days=number)
    fields = {"run": f"{started:%Y%m%dT%H%M%SZ}-{number:06x}", "started": started, "release": f"v{number}", **changes}
    return good_report(values).model_copy(update={"info": info(**fields)})


def publish(store: Store, report: Report) -> None:
    folder = RunFolder(store, report.info.environment, report.info.run)
    store.write(folder.orchestration("report.json"), to_json(report))
    add_run(store, report)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_each_run_is_on_the_pages_of_its_environment_and_of_all(store: Store) -> None:
    for report in (run(0), run(1), run(2, environment="production")):
        publish(store, report)
    page = store.read(PAGE).decode()
    assert all(f'href="{run(n).info.run}/report.html"' in page for n in (0, 1))
    for name, prefix in (("index.html", f"{ORCHESTRATION}/"), (f"{ORCHESTRATION}/index.html", "")):
        front = store.read(name).decode()
        for environment in ("staging", "production"):
            assert f'href="{prefix}{environment}/index.html"' in front
        for link in re.findall(r'href="([^#:"]+)"', front):
            assert store.exists(str(Path(name).parent / link)) or link.endswith("report.html")


def test_an_index_page_of_somebody_else_stays(store: Store) -> None:
    store.write("index.html", b"<h1>mine</h1>")
    publish(store, run(0))
    assert store.read("index.html") == b"<h1>mine</h1>"
    assert MARK in store.read(f"{ORCHESTRATION}/index.html")


def test_rows_that_were_lost_or_damaged_are_made_again_from_the_reports(store: Store) -> None:
    for number in range(3):
        publish(store, run(number))
    whole = store.read(index_name("staging"))
    rows = json.loads(whole)
    store.write(index_name("staging"), json.dumps([rows[0]]).encode())  # two runs were published at once
    publish(store, run(2))
    assert store.read(index_name("staging")) == whole
    store.write(index_name("staging"), whole[:500])
    assert len(read_index(store, "staging").rows) == 3


def test_removed_runs_leave_the_pages_and_damaged_ones_are_named(store: Store) -> None:
    for number in range(3):
        publish(store, run(number))
    store.remove_folder(RunFolder(store, "staging", run(0).info.run).orchestration("").rstrip("/"))
    store.write(RunFolder(store, "staging", "20200101T000000Z-dead00").orchestration("report.json"), b"{")
    rebuild(store, "staging")
    page = store.read(PAGE).decode()
    assert run(0).info.run not in page
    assert "20200101T000000Z-dead00" in page[page.index("Left out") :]


def test_earlier_runs_are_like_with_like_and_before(store: Store) -> None:
    for report in (run(0), run(1, profile="quick"), run(2, local=True), run(3), run(5)):
        publish(store, report)
    found = earlier_runs(store, run(4).info)
    assert [one.run for one in found] == [run(0).info.run, run(3).info.run]
    assert found[0].score == run(0).score.value


def test_a_change_of_level_is_marked_with_its_release_and_place() -> None:
    rows = [row_of(run(n, {"api.latency.p95": 140.0 + n % 3 if n < 20 else 190.0 + n % 3})) for n in range(30)]
    chart = next(c for c in trends(rows, thresholds_of(run(0))) if c.key == "trend-api-latency-p95")
    (change,) = chart.changes
    assert change.tone == "poor"
    assert change.x == pytest.approx(100 * 20 / 30, abs=100 / 30)
    assert re.match(
        r"\+3\d(\.\d)? % \(.* %\), confirmed, since 2025-03-2\d 06:30 UTC, release v(19|20|21)$", change.text
    )
    assert len(chart.steps) == 30
    assert chart.steps[25].endswith(", v25: 191 ms")


def test_what_was_not_measured_is_a_gap_and_never_a_zero() -> None:
    rows = [row_of(run(n, {"cache.hits.ratio": None if n == 1 else 0.96})) for n in range(3)]
    chart = next(c for c in trends(rows, thresholds_of(run(0))) if c.key == "trend-cache-hits-ratio")
    assert chart.path.count("M") == 2
    assert chart.steps[1].endswith("not measured")
    assert "2 of 3 runs" in chart.summary


def test_hostile_names_stay_text_and_data_close_no_script() -> None:
    rows = [row_of(run(0, release=HOSTILE)), row_of(run(1, release="</script><script>alert(1)</script>"))]
    page = environment_page("staging", rows, thresholds_of(run(0)), {"x": HOSTILE}).decode()
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    assert "<img" not in page
    assert not re.search(r"[\x00-\x08\x1b\u202e]", page)


def test_two_hundred_runs_are_a_page_of_a_megabyte_at_most() -> None:
    row = row_of(example_report())
    rows = [row.model_copy(update={"run": f"r{n}", "started": START + timedelta(days=n)}) for n in range(400)]
    page = environment_page("staging", rows, thresholds_of(example_report()), {})
    assert len(page) < 1_000_000
    assert b"200 older ones" in page
