"""Root-cause hints: joined on names and windows, ranked, and never more than correlation."""

from __future__ import annotations

from datetime import timedelta

from storage.records import ComponentId, ComponentResult, Measurement, Report, Severity, Unit
from tasks.judge.causes import LEAST_MATCH, match, words
from tasks.report.build import build
from tasks.report.markdown import technical_markdown
from tests.report_example import THRESHOLDS, WEIGHTS, WINDOW, finding, info, measured, results

ENDPOINTS = ("GET /orders/history/{userId}", "GET /menus/daily", "POST /rfid/verify", "GET /payments/analytics")
FUNCTIONS = tuple(f"hasivu-platform-prod-{one}" for one in ("orders-history", "menus-daily", "rfid-verify", "health"))
STATEMENTS = (
    "12 SELECT o.id, o.status FROM orders o WHERE",
    "13 SELECT id FROM daily_menus WHERE",
    "14 SELECT 1 FROM rfid",
)


def figure(metric: str, value: float, unit: Unit = Unit.MS, **labels: str) -> Measurement:
    return Measurement(metric=metric, value=value, unit=unit, n=200, source="test", window=WINDOW, labels=labels)


def platform(
    orders_ms: float, statement_ms: float, function_ms: float, menus_ms: float = 30.0
) -> list[ComponentResult]:
    """A platform whose order history takes so long, and what lies behind it."""
    parts = {
        ComponentId.API: [
            figure("api.latency.p95", orders_ms if one is ENDPOINTS[0] else 20.0, endpoint=one) for one in ENDPOINTS
        ],
        ComponentId.DATABASE: [
            figure("database.statement.mean", value, statement=one)
            for one, value in zip(STATEMENTS, (statement_ms, menus_ms, 1.0), strict=True)
        ],
        ComponentId.LAMBDA: [
            figure("lambda.duration.p95", function_ms if one is FUNCTIONS[0] else 15.0, function=one)
            for one in FUNCTIONS
        ],
    }
    return [
        one.model_copy(update={"measurements": (*one.measurements, *parts.get(one.component, ()))})
        for one in results()
        if one.status == "measured"
    ]


def report(found: list[ComponentResult], previous: Report | None = None, days: int = 0) -> Report:
    started = WINDOW.start + timedelta(days=days)
    return build(info(started=started, run=f"run-{days}"), found, THRESHOLDS, WEIGHTS, previous=previous)


def test_words_of_names() -> None:
    assert words("GET /api/v1/orders/history/{userId}") == {"order", "history"}
    assert words("hasivu-platform-prod-orders-history") >= {"order", "history"}
    assert words('SELECT o.order_number AS "orderNumber" FROM daily_menus') == {"order", "number", "daily", "menu"}


def test_words_that_all_candidates_have_say_little() -> None:
    shares = match("GET /hasivu/orders/history", {name: name for name in FUNCTIONS})
    assert max(shares, key=lambda name: shares[name]) == "hasivu-platform-prod-orders-history"
    assert shares["hasivu-platform-prod-health"] < LEAST_MATCH


def test_what_became_worse_with_an_endpoint_is_ranked_by_what_it_could_explain() -> None:
    before = report(platform(80, 20, 30))
    after = report(platform(280, 190, 60, menus_ms=300.0), previous=before)
    assert [(one.endpoint, one.cause.partition(" ")[0]) for one in after.hints] == [
        (ENDPOINTS[0], "database.statement.mean"),
        (ENDPOINTS[0], "lambda.duration.p95"),
    ]  # the menus' statement became ten times slower, and is about something else
    first, second = after.hints
    assert first.rank > second.rank
    assert "Correlation, no proof." in first.detail
    assert [one.value for one in first.evidence] == [80, 280, 20, 190]
    assert "Where to look first" in technical_markdown(after)


def test_nothing_is_said_where_nothing_changed_or_there_was_no_run_before() -> None:
    before = report(platform(80, 20, 30))
    assert report(platform(82, 20.5, 30), previous=before).hints == ()
    assert report(platform(180, 190, 60)).hints == ()


def test_an_endpoint_beyond_its_limit_is_joined_with_a_finding_about_the_same() -> None:
    found = platform(900, 20, 30)
    database = next(one for one in found if one.component is ComponentId.DATABASE)
    assert database.status == "measured"
    index = finding("public.orders(user_id)", title="Add an index on public.orders", severity=Severity.WARNING)
    other = finding("public.payments(order_ref)", title="Add an index on public.invoices", severity=Severity.WARNING)
    with_findings = database.model_copy(update={"findings": (index, other)})
    made = report([with_findings if one.component is ComponentId.DATABASE else one for one in found])
    assert [(one.basis, one.endpoint, one.cause) for one in made.hints][:1] == [("slow", ENDPOINTS[0], index.id)]


def test_figures_of_other_times_are_not_joined() -> None:
    before = report(platform(80, 20, 30))
    old = WINDOW.model_copy(update={"start": WINDOW.start - timedelta(days=9), "end": WINDOW.end - timedelta(days=9)})
    after = [
        measured(
            ComponentId.DATABASE,
            *(m.model_copy(update={"window": old}) if m.labels else m for m in one.measurements),
        )
        if one.component is ComponentId.DATABASE and one.status == "measured"
        else one
        for one in platform(280, 190, 30)
    ]
    assert report(after, previous=before).hints == ()
