"""Operations on real parts: a release is validated, a component fails, Retry is clicked, processes are killed.

One Prefect server on PostgreSQL, set up by the program, serves the whole module. Workers are "machines" of their own;
the embedded platform stands behind a door that can shut its cache off. What waits for heartbeats is begun first and
looked at last. Limits on what the documents promise are the promises; those on the rest leave a busy machine time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest

from deployments.hosting.guardian import Guardian, free_port
from deployments.local import held
from deployments.local.platform import Platform
from storage.parquet import Store
from storage.records import Report
from storage.runs import RunFolder, find_run
from tests.chromium import PROGRAM, Page, chromium
from tests.databases import database
from tests.door import door
from tests.e2e.conftest import run as run_program
from tests.e2e.operations import (
    WAIT_S,
    World,
    alive,
    kill,
    last_json,
    load_workers,
    short_environments,
    until,
)
from tests.s3_server import CREDENTIALS, start_s3

SCREENSHOTS = os.environ.get("HASIVU_PERF_SCREENSHOTS")
"""Folder that gets the pictures of the documents; without it they are only looked at."""

HEARD_S = 3.0
"""How long it may take until a worker hears of a cancellation: it asks each second, the server takes its own time."""

ENDLESS = {"duration_s": "300"}
"""A load that does not end by itself while a test does something to it."""

pytestmark = [pytest.mark.timeout(1500), pytest.mark.system]
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def world(held_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("operations")
    kept = held.Home(folder / "kept")
    for part in (kept.server, kept.client, kept.logs):
        part.mkdir(parents=True)
    port = free_port()
    cache = urlsplit(held_platform.redis_url)
    with (
        database(folder / "database") as prefects,
        Guardian(folder / "guardian") as guardian,
        door(cache.port or 0) as redis,
    ):
        with environment({held.DATABASES[0]: prefects.admin.replace("postgresql://", "postgresql+asyncpg://")}):
            held.start_server(guardian, kept, port)
        through = held_platform.redis_url.replace(f":{cache.port}", f":{redis.port}")
        addresses = {
            name: value
            for prefix in ("DEVELOPMENT", "STAGING", "PRODUCTION")
            for name, value in {**held_platform.variables(prefix), f"{prefix}_REDIS_URL": through}.items()
        }
        variables = {
            **addresses,
            **held.QUIET,
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_HOME": str(kept.client),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "HASIVU_PERF_ENVIRONMENTS": str(short_environments(folder / "environments")),
            "HASIVU_PERF_OUTPUT": str(folder / "output"),
            "PATH": os.environ["PATH"],
        }
        for expected in ("created", "unchanged"):
            done = run_program("setup", cwd=folder, variables=variables)
            assert done.code == 0, done.err
            assert expected in done.out
        with httpx.Client(base_url=variables["PREFECT_API_URL"], timeout=60) as api:
            ui = f"http://127.0.0.1:{port}"
            yield World(held_platform, guardian, api, ui, variables, redis, folder)


@dataclass(frozen=True)
class Killed:
    """A run whose process was killed, and one whose worker was killed with it, when the module began."""

    alone: str
    silent: str
    at: float


@pytest.fixture(scope="module")
def killed(world: World) -> Killed:
    world.redis.open()
    world.only_worker("lost")
    alone = world.create("development", components=["api"], overrides=ENDLESS)
    engine, load = running(world, alone, "lost")
    kill(engine)
    until(lambda: not alive(load), 5)
    assert world.wait(alone)["state_type"] == "CRASHED"

    silent = world.create("production", components=["api"], overrides=ENDLESS)
    engine, load = running(world, silent, "lost")
    assert world.slots("production") == 1
    for pid in (world.workers["lost"], engine):
        kill(pid)
    at = time.monotonic()
    until(lambda: not alive(load), 5)
    return Killed(alone, silent, at)


def running(world: World, run: str, worker: str, *, count: int = 1) -> tuple[int, dict[int, str]]:
    """The process of a flow run, and those of its load, once it measures."""
    world.wait(run, ["RUNNING"], count=count)
    engine = until(lambda: world.engine(run, worker), WAIT_S)
    return engine, until(lambda: load_workers(engine), WAIT_S, lambda: world.log(run))


@dataclass(frozen=True)
class Story:
    """A release that was validated while its cache was down, and repaired by a click on Retry."""

    code: int
    verdict: dict[str, Any]
    partial: Report
    failed: dict[str, Any]
    whole: dict[str, Any]
    report: Report
    requests: int
    """Requests at the application between the click and the end."""
    tasks: dict[str, dict[str, Any]]
    artifacts: dict[str, Any]


@pytest.fixture(scope="module")
def story(world: World, killed: Killed, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    world.redis.shut()
    world.only_worker("first")
    arguments = ("release", "v1.0.0", "--commit", "0123abc", "--wait", "--timeout", f"{WAIT_S:g}", "--json")
    released = run_program(*arguments, cwd=folder, variables=world.variables, seconds=WAIT_S + 60)
    assert released.out, released.err
    verdict = last_json(released.out)
    run = str(verdict["flow_run"])
    failed = world.wait(run)
    partial = newest(world, "staging").report()
    world.redis.open()
    before = requests(world)
    retried_in_a_browser(world, run, folder)
    return Story(
        code=released.code,
        verdict=verdict,
        partial=partial,
        failed=failed,
        whole=world.flow_run(run),
        report=newest(world, "staging").report(),
        requests=requests(world) - before,
        tasks=world.task_runs(run),
        artifacts=world.artifacts(run),
    )


def retried_in_a_browser(world: World, run: str, folder: Path) -> None:
    """What an engineer does: look at the failed run, press Retry, look at what came of it."""
    with chromium() as page:
        page.visit(f"{world.ui}/runs/flow-run/{run}")
        page.wait_for(f"!!{button('Retry')}")
        picture(page, "run-failed", folder)
        page.click(button("Retry"))
        page.wait_for("!!document.querySelector('.p-modal')")
        page.click(button("Retry", "document.querySelector('.p-modal')"))
        world.wait(run, count=2)
        page.visit(f"{world.ui}/runs/flow-run/{run}")
        page.wait_for_text("Completed")
        picture(page, "run-retried", folder)
        page.visit(f"{world.ui}/artifacts/key/summary-staging")
        page.wait_for_text("summary-staging")
        picture(page, "artifacts", folder)
        page.visit(f"{world.ui}/deployments/deployment/{world.deployment('custom')['id']}/run")
        page.wait_for_text("profile")
        picture(page, "run-form", folder)


def requests(world: World) -> int:
    """Answered requests, without those that ask which build it is."""
    return sum(count for route, count in world.counted().items() if route != "/status")


def newest(world: World, environment: str) -> RunFolder:
    return find_run(Store(world.variables["HASIVU_PERF_OUTPUT"]), f"{environment}/latest")


def unmeasured(report: Report) -> set[str]:
    return {one.component.value for one in report.components if one.status != "measured"}


def attempts(report: Report) -> dict[str, int]:
    return {one.component.value: one.attempt for one in report.components if one.status == "measured"}


def checks(report: Report) -> dict[str, str]:
    return {check.id: check.verdict.value for check in report.gate.checks}


def button(text: str, within: str = "document") -> str:
    return (
        f"[...{within}.querySelectorAll('button')]"
        f".filter(b => b.innerText.trim() === '{text}' && b.offsetParent !== null).at(-1)"
    )


def picture(page: Page, name: str, folder: Path) -> None:
    time.sleep(2)  # the graph and the fonts draw themselves
    path = (Path(SCREENSHOTS) if SCREENSHOTS else folder) / f"{name}.png"
    page.screenshot(path)
    assert path.stat().st_size > 10_000


@needs_chromium
def test_a_release_starts_the_staging_run_and_its_gate_answers(story: Story) -> None:
    assert story.code == 3
    assert (story.verdict["release"], story.verdict["verdict"]) == ("v1.0.0", "no_data")
    assert (story.failed["state_type"], story.failed["run_count"]) == ("FAILED", 1)
    assert "cache" in story.failed["state"]["message"]
    assert story.partial.partial
    assert unmeasured(story.partial) == {"cache"}
    assert (story.partial.info.release, story.partial.info.commit) == ("v1.0.0", "0123abc")


@needs_chromium
def test_a_click_on_retry_measures_what_failed_and_nothing_else(story: Story) -> None:
    assert (story.whole["state_type"], story.whole["run_count"]) == ("COMPLETED", 2)
    assert story.requests == 0, "only the cache was measured again"
    again = {name for name, one in story.tasks.items() if (one["start_time"] or "") > story.failed["end_time"]}
    assert {name for name in again if story.tasks[name]["state"]["name"] != "Cached"} == {"cache", "judge", "publish"}


@needs_chromium
def test_after_the_retry_the_report_is_whole_and_says_what_came_when(story: Story) -> None:
    assert unmeasured(story.report) == set()
    first = dict.fromkeys(("database", "lambda", "api", "websocket", "rfid"), 1)
    assert attempts(story.report) == {**first, "cache": 2}
    assert checks(story.report)["one_target"] == "pass"
    assert any("Cache was measured by attempt 2" in note for note in story.report.notes)
    assert {f"{kind}-staging" for kind in ("summary", "gate", "verdict", "report")} <= set(story.artifacts)
    assert "progress-staging" in story.artifacts
    assert "Cache" in story.artifacts["summary-staging"]
    (row,) = json.loads(story.artifacts["verdict-staging"])
    assert row["verdict"] == story.report.gate.verdict.value


@needs_chromium
def test_another_machine_finishes_a_retry_but_not_into_a_pass_on_another_build(world: World, story: Story) -> None:
    world.redis.shut()
    world.stop_worker("first")
    with Guardian(world.folder / "s3") as guardian:
        bucket = {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": start_s3(guardian, deadline=time.monotonic() + 30)}
        make_bucket(bucket)
        world.only_worker("second", **bucket)
        run = world.create("staging", components=["api", "cache"], output="s3://results/perf")
        assert "cache" in world.wait(run)["state"]["message"]
        world.stop_worker("second")

        world.redeploy("v2.0.0")
        world.redis.open()
        before = requests(world)
        world.only_worker("third", **bucket)
        world.set_state(run, "SCHEDULED", "AwaitingRetry")
        assert "no_data" in world.wait(run, count=2)["state"]["message"]
        assert requests(world) == before, "the API was not measured again"
        with environment(bucket):
            report = find_run(Store("s3://results/perf"), "staging/latest").report()
        world.stop_worker("third")
    assert attempts(report) == {"api": 1, "cache": 2}
    (check,) = [check for check in report.gate.checks if check.id == "one_target"]
    assert check.verdict == "no_data"
    assert check.detail.startswith("measure api again")
    assert "→ v2.0.0" in check.detail


def test_cancel_stops_the_load_and_publishes_what_there_is(world: World, killed: Killed) -> None:
    world.only_worker("fourth")
    run = world.create("staging", components=["api", "lambda"], overrides=ENDLESS)
    _, load = running(world, run, "fourth")
    until(lambda: measured(world, run, "lambda"), WAIT_S, lambda: world.log(run))
    asked = time.monotonic()
    world.set_state(run, "CANCELLING", "Cancelling")
    until(lambda: not alive(load), 3 + HEARD_S)
    until(lambda: world.slots("staging") == 0, 15 - (time.monotonic() - asked))
    assert world.wait(run)["state_type"] == "CANCELLED"
    report = newest(world, "staging").report()
    assert "lambda" not in unmeasured(report)
    assert "api" in unmeasured(report)
    assert "summary-staging" in world.artifacts(run)
    until(lambda: world.engine(run, "fourth") is None, 30)


def test_a_killed_run_can_be_retried_and_one_whose_worker_is_killed_ends_itself(world: World, killed: Killed) -> None:
    run = killed.alone
    world.only_worker("fourth")
    world.set_state(run, "SCHEDULED", "AwaitingRetry")  # the lease of the killed process has run out by now, or soon
    engine, load = running(world, run, "fourth", count=2)
    kill(world.workers["fourth"])
    until(lambda: not alive(load), 5)
    assert world.wait(run, count=2)["state_type"] == "CRASHED"
    until(lambda: not Path(f"/proc/{engine}").exists(), 30)
    assert world.slots("development") == 0
    assert "api" in unmeasured(newest(world, "development").report())


def test_worker_and_run_killed_together_are_found_by_their_silence(world: World, killed: Killed) -> None:
    left = max(30.0, 120 - (time.monotonic() - killed.at))
    crashed = world.wait(killed.silent, seconds=left)
    assert crashed["state_type"] == "CRASHED"
    assert "no sign of life" in crashed["state"]["message"]
    until(lambda: world.slots("production") == 0, left)
    world.only_worker("fifth")
    world.set_state(killed.silent, "SCHEDULED", "AwaitingRetry")
    running(world, killed.silent, "fifth", count=2)
    world.set_state(killed.silent, "CANCELLING", "Cancelling")
    assert world.wait(killed.silent, count=2)["state_type"] == "CANCELLED"


def measured(world: World, run: str, component: str) -> bool:
    """Whether a component's task run of a flow run has ended well."""
    task = world.task_runs(run).get(component)
    return task is not None and task["state_type"] == "COMPLETED"


def make_bucket(variables: Mapping[str, str]) -> None:
    boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    ).create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process takes on some variables for a while."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield
