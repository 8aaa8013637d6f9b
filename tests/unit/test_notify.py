"""What people are told of a run, and what no message may ever carry."""

from __future__ import annotations

import inspect
import re

import pytest

from deployments.channels import EMAIL, PAGER, PAGER_API, PRIVATE, SLACK, WEBHOOK, notification_blocks
from deployments.notifications import INCOMPLETE, NOTICE
from flows import pipeline
from storage.errors import ConfigurationError
from storage.records import AlertLevel, ComponentId, Regression, Report, Severity, Unit
from tasks.monitoring.notices import Notice, inert, messages
from tasks.monitoring.notify import EVENT, event_of
from tasks.report.build import build
from tests.report_example import (
    HOSTILE,
    THRESHOLDS,
    WEIGHTS,
    example_report,
    failed,
    finding,
    good_report,
    info,
    measured,
    measurement,
    replaced,
    results,
)

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # in apprise

LINK = "https://perf.example/staging/r1/report.html"
SLOW = Regression(
    metric="api.latency.p95",
    labels={"endpoint": HOSTILE},
    baseline=142,
    value=199,
    unit=Unit.MS,
    change=0.4014,
    confirmed=True,
    detail="d",
)


def told(report: Report) -> dict[str, Notice]:
    return {one.reason: one for one in messages(report, LINK)}


def with_findings(*titles: str, severity: Severity = Severity.WARNING) -> Report:
    found = tuple(finding(f"s{n}", title=title, severity=severity) for n, title in enumerate(titles))
    database = measured(
        ComponentId.DATABASE,
        measurement("database.query.p95", 31.5),
        measurement("database.pool.utilisation", 0.5),
        findings=found,
    )
    return build(info(), replaced(ComponentId.DATABASE, database), THRESHOLDS, WEIGHTS)


def test_a_healthy_run_says_nothing() -> None:
    assert told(good_report()) == {}
    assert told(with_findings("a warning alone")) == {}


def test_a_failed_gate_names_what_fails() -> None:
    (notice,) = told(good_report({"api.latency.p95": 250})).values()
    assert notice.reason == "gate-failed"
    assert notice.subject == "Staging v2.14.0: the gate failed"
    assert notice.verdict == "Staging is not ready: 1 of 7 checks fails."
    assert notice.verdict in notice.body
    assert "API response time, p95: 250 ms, must be below 200 ms" in notice.body
    assert f"Report: {LINK}" in notice.body


def test_an_incomplete_run_is_no_failed_gate_as_well() -> None:
    gone = build(info(), replaced(ComponentId.CACHE, failed(ComponentId.CACHE)), THRESHOLDS, WEIGHTS)
    (notice,) = told(gone).values()
    assert notice.reason == "not-measured"
    assert "Cache: nothing answers at the address" in notice.body
    assert "Retry" not in notice.subject
    assert "retry" in notice.body


def test_only_a_confirmed_regression_is_told() -> None:
    unsure = SLOW.model_copy(update={"confirmed": False})
    parts = results()
    assert told(build(info(), parts, THRESHOLDS, WEIGHTS, (unsure,), compared=1)) == {}
    notices = told(build(info(), parts, THRESHOLDS, WEIGHTS, (SLOW,), compared=1))
    assert set(notices) == {"gate-failed", "regression"}
    assert "142 ms before, 199 ms now (+40%)" in notices["regression"].body


def test_critical_findings_and_values_past_their_alert_are_told_together() -> None:
    assert (
        "Critical (1):\n- disk full" in told(with_findings("disk full", severity=Severity.CRITICAL))["critical"].body
    )
    slow = told(good_report({"api.latency.p95": 501}))["critical"].body
    assert "API response time, p95: 501 ms, alert above 500 ms" in slow
    assert "critical" not in told(good_report({"api.latency.p95": 500}))
    limits = [
        t.model_copy(update={"critical": AlertLevel(limit=0.9)}) if t.metric == "cache.hits.ratio" else t
        for t in THRESHOLDS
    ]
    low = build(info(), results({"cache.hits.ratio": 0.89}), limits, WEIGHTS)
    assert "89 %, alert below 90 %" in told(low)["critical"].body


def test_three_findings_and_no_more() -> None:
    notice = told(with_findings("one", "two", "three", "four", severity=Severity.CRITICAL))["critical"]
    assert notice.findings == ("critical: one", "critical: two", "critical: three")
    assert all(one in notice.body for one in notice.findings)
    assert "four" not in notice.body
    assert "- and 1 more" in notice.body


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<!channel> <@U123> <https://evil.example|click>", r"[<>|@]"),
        ("@everyone @here ops@hasivu.example", r"@"),
        ("[click](javascript:alert(1)) **bold** `code` ~~gone~~", r"[\[\]`*~]"),
        ("https://evil.example http://evil WWW.evil.example", r"://|www\."),
        ("{{ event.payload }} {% raw %} {# c #} {{{x}}}", r"[{][{%#]|[}%#][}]"),
        ("a\r\nBcc: x@y.example\r\n\r\nbody", r"[\r\n]"),
        ("&lt;script&gt; &#64;", r"&"),
        ("\x1b[31mred\x1b[0m \u202egpj\x00", "[\x00-\x1f\u202e]"),
        ("x" * 5000, r".{141}"),
    ],
)
def test_text_from_outside_stays_text(text: str, never: str) -> None:
    assert not re.search(never, inert(text), re.IGNORECASE)


def test_hostile_reports_are_bounded_and_inert() -> None:
    hostile = failed(ComponentId.CACHE, HOSTILE * 500)
    parts = [hostile if one.component is ComponentId.CACHE else one for one in example_report().components]
    marks = info(release=(HOSTILE * 2)[:100])
    for notice in messages(build(marks, parts, THRESHOLDS, WEIGHTS, (SLOW,) * 9, compared=9), LINK):
        assert len(notice.subject) <= 120
        assert len(notice.body) <= 2500
        assert len(notice.body.splitlines()) <= 14
        assert not re.search(r"[<>`*\[\]@|\x00\x1b\u202e]", notice.body + notice.subject)
        assert notice.body.count("://") == 1, "the report's own link"


def test_a_link_loses_what_lets_somebody_in() -> None:
    (notice,) = messages(good_report({"api.latency.p95": 250}), "https://ops:canary@perf.example/r")
    assert notice.link == "https://perf.example/r"
    assert "canary" not in notice.model_dump_json()


def test_the_same_notice_is_the_same_event() -> None:
    (notice,) = messages(good_report({"api.latency.p95": 250}), LINK)
    first, second = event_of(notice), event_of(notice)
    assert first.id == second.id
    assert first.resource.id == "hasivu.run.staging.20250303T063000Z-4f2a91.gate-failed"
    other = event_of(notice.model_copy(update={"reason": "critical"}))
    assert other.id != first.id


def test_what_automations_wait_for_is_what_runs_say() -> None:
    assert EVENT == NOTICE
    assert f'message=f"{INCOMPLETE} ' in inspect.getsource(pipeline)


GOOD = {
    SLACK: "https://hooks.slack.com/services/T0canary/B0canary/canary",
    WEBHOOK: "https://10.0.0.9/canary",
    EMAIL: "mailtos://canary:canary@smtp.hasivu.example?from=a@b.example&to=c@d.example",
    PAGER: "canary",
    PAGER_API: "canary",
    PRIVATE: "true",
}


def test_each_named_channel_gets_its_block() -> None:
    assert notification_blocks({}) == {}
    blocks = notification_blocks(GOOD)
    assert set(blocks) == {"slack", "webhook", "email", "pagerduty"}
    assert "canary" not in repr(blocks)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({SLACK: "https://evil.example/services/canary"}, SLACK),
        ({WEBHOOK: "ftp://canary"}, f"{WEBHOOK} must begin with https"),
        ({PRIVATE: ""}, f"{WEBHOOK} is on a private address.*set {PRIVATE}=true"),
        ({WEBHOOK: "http://169.254.169.254/canary", PRIVATE: "false"}, "private address"),
        ({EMAIL: "smtp://canary@x"}, f"{EMAIL} must be mailtos://"),
        ({EMAIL: "mailtos://canary"}, f"{EMAIL} must be mailtos://"),
        ({PAGER_API: ""}, f"{PAGER} .* and {PAGER_API} are set together"),
    ],
)
def test_a_wrong_variable_is_named_without_its_value(
    changes: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        notification_blocks({**GOOD, **changes})
    assert "canary" not in str(caught.value) + caplog.text
