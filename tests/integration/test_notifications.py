"""Messages on a real Prefect server with its triggers, to a real webhook and a real mail server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Crashed, Failed, Pending, Running

from deployments.channels import EMAIL, PAGER, PAGER_API, PRIVATE, SLACK, WEBHOOK
from deployments.notifications import ensure_notifications
from deployments.server import connected
from flows.watch_tell import to_channels
from storage.errors import UsageError
from storage.parquet import Store
from storage.records import ComponentId, Regression, Report, Severity, Unit
from storage.runs import RunFolder
from tasks.judge.gate import SCORE_LIMIT
from tasks.monitoring.database_watch.events import Lost
from tasks.monitoring.notify import announce, saw
from tasks.monitoring.watch.alarm import Alert
from tasks.report.build import build
from tests.prefect_servers import full_server
from tests.receivers import Received, mail_server, webhook
from tests.report_example import (
    THRESHOLDS,
    WEIGHTS,
    example_report,
    finding,
    info,
    measured,
    measurement,
    results,
)

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # in apprise

SECRET = "canary5ecret"
LINK = "https://perf.example/staging/r1/report.html"
QUIET_S = 2.0
"""How long is waited for a message that must not come; those that must take 0.3 s."""


@dataclass(frozen=True)
class Channels:
    """A server that was set up to send to these receivers."""

    client: SyncPrefectClient
    api: str
    hook: Received
    mail: Received
    variables: dict[str, str]


@pytest.fixture(scope="module")
def channels() -> Iterator[Channels]:
    with ExitStack() as stack:
        changed = stack.enter_context(pytest.MonkeyPatch.context())
        changed.setenv("PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL", "0.5")
        hook, mail = stack.enter_context(webhook()), stack.enter_context(mail_server())
        api, client = stack.enter_context(full_server()), stack.enter_context(connected())
        variables = {
            WEBHOOK: f"http://127.0.0.1:{hook.port}/hooks/{SECRET}",
            EMAIL: f"mailto://127.0.0.1:{mail.port}?from=perf@hasivu.example&to=ops@hasivu.example",
            PRIVATE: "true",
        }
        assert {one.what for one in ensure_notifications(client, variables)} == {"created"}
        yield Channels(client, api, hook, mail, variables)


@pytest.fixture(autouse=True)
def _fresh(channels: Channels) -> None:
    channels.hook.posts.clear()
    channels.mail.mails.clear()
    channels.hook.status = 200


def failing_report(run: str) -> Report:
    """A whole run with everything to tell but that something is missing."""
    regression = Regression(
        metric="api.latency.p95", baseline=142, value=812, unit=Unit.MS, change=4.7, confirmed=True, detail="d"
    )
    found = tuple(finding(f"t{n}", severity=Severity.CRITICAL, title=f"Finding {n} <!channel>") for n in range(4))
    database = measured(
        ComponentId.DATABASE,
        measurement("database.query.p95", 31.5),
        measurement("database.pool.utilisation", 0.5),
        findings=found,
    )
    parts = [database if one.component is ComponentId.DATABASE else one for one in results({"api.latency.p95": 812})]
    return build(info(run=run), parts, THRESHOLDS, WEIGHTS, (regression,), compared=1)


def folder_of(path: Path, run: str) -> RunFolder:
    return RunFolder(Store(path), "staging", run)


def alert(event: Literal["firing", "resolved"]) -> Alert:
    """An alert of a watch, with a mention in what it quotes."""
    since = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
    return Alert(
        event=event,
        alert="HasivuCacheHitsRatioLowWarning",
        severity="warning",
        environment="staging",
        target="cache",
        incident=f"staging.HasivuCacheHitsRatioLowWarning.{uuid4().hex}",
        at=since,
        since=since,
        title="Cache hit ratio",
        words="Cache hit ratio: 50 %, below 90 % for 600 s, n = 60 <!channel>",
        value=0.5,
        limit=0.9,
        unit=Unit.RATIO,
        n=60,
        source="INFO stats",
    )


def test_an_alert_of_the_watch_is_told_when_it_begins_and_when_it_is_over(channels: Channels) -> None:
    began = alert("firing")
    for told in (began, began.model_copy(update={"event": "resolved"})):
        saw(told)
        saw(told)  # sent again: it has the same id, and counts once
    channels.hook.wait(lambda received: len(received.posts) >= 2)
    channels.mail.wait(lambda received: len(received.mails) >= 2)
    time.sleep(QUIET_S)
    posts = {post["reason"]: post for _, post in channels.hook.posts}
    assert len(channels.hook.posts) == len(channels.mail.mails) == 2
    assert set(posts) == {"alert-firing", "alert-resolved"}
    assert posts["alert-firing"]["subject"] == "Staging: Cache hit ratio"
    assert posts["alert-resolved"]["subject"] == "Staging: over: Cache hit ratio"
    assert posts["alert-firing"]["body"].splitlines() == [
        "Cache hit ratio: 50 %, below 90 % for 600 s, n = 60 ‹!channel›",
        "Alert: HasivuCacheHitsRatioLowWarning (warning)",
        "Source: INFO stats",
    ]
    assert "It began at 2026-03-02 06:30:00 UTC." in posts["alert-resolved"]["body"]


def test_an_alert_is_told_without_a_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as hook, mail_server() as mail, ExitStack() as stack:
        monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{hook.port}/hooks/{SECRET}")
        monkeypatch.setenv(EMAIL, f"mailto://127.0.0.1:{mail.port}?from=perf@hasivu.example&to=ops@hasivu.example")
        monkeypatch.setenv(PRIVATE, "true")
        told = alert("firing")
        for send in to_channels(stack):
            send(told)
            send(Lost(at=datetime.now(UTC), database="db:5432/meals", reason="an event is no alert"))
        hook.wait(lambda received: bool(received.posts))
        mail.wait(lambda received: bool(received.mails))
    assert [(post["reason"], post["subject"]) for _, post in hook.posts] == [
        ("alert-firing", "Staging: Cache hit ratio")
    ]
    (sent,) = mail.mails
    assert sent["subject"] == "Staging: Cache hit ratio"
    assert "Alert: HasivuCacheHitsRatioLowWarning (warning)" in str(sent.get_body())


def test_without_a_channel_there_is_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (WEBHOOK, EMAIL, SLACK, PAGER):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack, pytest.raises(UsageError, match="HASIVU_NOTIFY_"):
        to_channels(stack)


def test_an_event_of_a_database_reaches_the_server(channels: Channels) -> None:
    name = f"db-{uuid4().hex[:6]}:5432/meals"
    saw(Lost(at=datetime.now(UTC), database=name, reason="gone"))
    wanted = {"filter": {"resource": {"id": [f"hasivu.database.{name}"]}}}
    until = time.monotonic() + 15
    while not (found := httpx.post(f"{channels.api}/events/filter", json=wanted, timeout=10).json()["events"]):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert (found[0]["event"], found[0]["payload"]["reason"]) == ("hasivu.database.lost", "gone")


def run_of(channels: Channels, *states: State[None], name: str = "performance-pipeline") -> str:
    """A flow run that went through these states, as an engine or a worker reports them; its id."""

    @flow(name=name)
    def nothing() -> None:
        pass

    made = channels.client.create_flow_run(nothing, name=f"run {uuid4().hex[:6]}")
    for state in states:
        channels.client.set_flow_run_state(made.id, state, force=True)
    return str(made.id)


def kept_by_server(channels: Channels) -> str:
    """Every event, every automation and block as the API gives them out, and the server's log."""
    found = []
    page = httpx.post(f"{channels.api}/events/filter", json={"limit": 50}, timeout=10).json()
    while page:
        found += page["events"]
        page = httpx.get(page["next_page"], timeout=10).json() if page["next_page"] else None
    assert len(found) > 10
    for path in ("automations", "block_documents", "artifacts", "logs"):
        found += httpx.post(f"{channels.api}/{path}/filter", json={}, timeout=10).json()
    log = (Path(PREFECT_HOME.value()).parent / "logs" / "prefect.log").read_text()
    assert "Action failed" in log
    return str(found) + log


def test_each_reason_of_a_failing_run_is_told_once(channels: Channels, tmp_path: Path) -> None:
    run = f"r{uuid4().hex[:6]}"
    report, folder = failing_report(run), folder_of(tmp_path, run)
    assert report.score.value >= SCORE_LIMIT, "or the test would not show that checks fail"

    @flow(name="publishing")
    def publishing() -> None:
        with ThreadPoolExecutor(2) as both:  # a retry beside what it replaces
            futures = [both.submit(copy_context().run, announce, report, folder, LINK) for _ in range(2)]
            told = [future.result() for future in futures]
        assert sorted(one.reason for part in told for one in part) == ["critical", "gate-failed", "regression"]

    publishing()
    channels.hook.wait(lambda got: len(got.posts) == 3)
    channels.mail.wait(lambda got: len(got.mails) == 3)
    assert announce(report, folder_of(tmp_path, run), LINK) == ()
    time.sleep(QUIET_S)
    bodies = {post["reason"]: post for _, post in channels.hook.posts}
    assert len(channels.hook.posts) == len(bodies) == 3
    assert {path for path, _ in channels.hook.posts} == {f"/hooks/{SECRET}"}
    for reason, post in bodies.items():
        assert post["verdict"] == "Staging is not ready: 3 of 8 checks fail.", reason
        assert post["verdict"] in post["body"]
        assert post["link"] == LINK
        assert f"Report: {LINK}" in post["body"]
        assert [one[:19] for one in post["findings"]] == [f"critical: Finding {n}" for n in range(3)]
        assert "Finding 3" not in str(post["findings"])
        assert "<" not in str(post)
    assert "812 ms" in bodies["regression"]["body"]

    assert len(channels.mail.mails) == 3
    text = channels.mail.mails[0].get_content()
    assert LINK in text
    assert "/runs/flow-run/" in text
    assert "Finding 2" in text


def test_an_incomplete_run_is_told_as_such_and_a_healthy_one_not(channels: Channels, tmp_path: Path) -> None:
    run = f"r{uuid4().hex[:6]}"
    told = announce(example_report(run=run), folder_of(tmp_path, run), LINK)
    assert [one.reason for one in told] == ["not-measured", "critical"]
    healthy = build(info(run="r-good"), results(), THRESHOLDS, WEIGHTS)
    assert announce(healthy, folder_of(tmp_path, "r-good"), LINK) == ()
    channels.hook.wait(lambda got: len(got.posts) == 2)
    channels.mail.wait(lambda got: len(got.mails) == 2)


def test_a_run_that_ends_without_a_report_is_told_for_each_crash(channels: Channels) -> None:
    crashed = run_of(channels, Pending(), Running(), Crashed(message="its process died <@here>"))
    channels.hook.wait(lambda got: len(got.posts) == 1)
    run_of(channels, Running(), Failed(message="not measured: cache; retry measures exactly these again"))
    run_of(channels, Running(), Crashed(message="another flow"), name="other")
    failed = run_of(channels, Running(), Failed(message="PRODUCTION_API_URL is not set"))
    channels.hook.wait(lambda got: len(got.posts) == 2)
    again = run_of(channels, Running(), Crashed(), Running(), Crashed())
    channels.hook.wait(lambda got: len(got.posts) == 4)
    time.sleep(QUIET_S)
    posts = [post for _, post in channels.hook.posts]
    assert [one["reason"] for one in posts] == ["crashed", "failed", "crashed", "crashed"]
    for identity, post in zip((crashed, failed, again, again), posts, strict=True):
        assert identity in post["link"]
        assert post["link"] in post["body"]
    assert "its process died ‹＠here›" in posts[0]["body"]
    assert "PRODUCTION_API_URL" in posts[1]["body"]
    assert len(channels.mail.mails) == 4
    assert "Crashed" in channels.mail.mails[0]["subject"]


def test_no_secret_leaves_the_block(channels: Channels, tmp_path: Path) -> None:
    """Whether the receiver takes the message, fails, or is not there at all."""
    for status in (200, 500):
        run = f"r{uuid4().hex[:6]}"
        channels.hook.status = status
        announce(example_report(run=run), folder_of(tmp_path, run), LINK)
        channels.hook.wait(lambda got: len(got.posts) == 2)
        channels.hook.posts.clear()
    nobody = {
        WEBHOOK: f"http://127.0.0.1:1/hooks/{SECRET}",
        EMAIL: f"mailto://{SECRET}:{SECRET}@127.0.0.1:1?from=a@b.example&to=c@d.example",
        SLACK: f"https://hooks.slack.com/services/{SECRET}/{SECRET}/{SECRET}",
        PAGER: SECRET,
        PAGER_API: SECRET,
        PRIVATE: "true",
    }
    # Slack and PagerDuty are outside: their blocks are made and looked at, and told nothing
    done = list(ensure_notifications(channels.client, {**nobody, SLACK: "", PAGER: "", PAGER_API: ""}))
    assert [one.what for one in done if "block" in one.thing] == ["changed", "changed"]
    run = f"r{uuid4().hex[:6]}"
    announce(example_report(run=run), folder_of(tmp_path, run), LINK)
    time.sleep(QUIET_S)  # the server writes events down every half second
    list(ensure_notifications(channels.client, nobody))
    list(ensure_notifications(channels.client, channels.variables))
    kept = kept_by_server(channels)
    assert "prefect.automation.action.failed" in kept
    assert "hasivu.run.notice" in kept
    assert SECRET not in kept
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert SECRET not in file.read_text()


def test_setting_up_again_changes_nothing(channels: Channels) -> None:
    def state() -> str:
        return str(
            [
                httpx.post(f"{channels.api}/{path}/filter", json={}, timeout=10).json()
                for path in ("automations", "block_documents")
            ]
        )

    list(ensure_notifications(channels.client, channels.variables))
    before = state()
    assert {one.what for one in ensure_notifications(channels.client, channels.variables)} == {"unchanged"}
    assert list(ensure_notifications(channels.client, {})) == []
    assert state() == before


def test_a_notice_that_the_server_does_not_take_is_told_by_the_next_attempt(
    channels: Channels, tmp_path: Path
) -> None:
    run = f"r{uuid4().hex[:6]}"
    report, folder = example_report(run=run), folder_of(tmp_path, run)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert announce(report, folder, LINK) == ()
    assert len(announce(report, folder, LINK)) == 2
    channels.hook.wait(lambda got: len(got.posts) == 2)
