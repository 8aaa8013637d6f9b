"""Changes for the worse, what would raise the score, and the roadmap's steps: in words."""

from __future__ import annotations

from types import SimpleNamespace

from storage.records import Remedy
from tasks.components.database.advise.advised import plans
from tasks.judge.score import total
from tasks.report.advice import NOT_TRIED, index_rows
from tasks.report.changes import change_rows, levers
from tasks.report.further_markdown import roadmap_markdown
from tasks.report.html import html
from tasks.report.markdown import technical_markdown
from tests.report_example import changed_report, example_report, finding, good_report


def test_a_change_says_its_size_its_place_and_whether_it_is_confirmed() -> None:
    first, second = change_rows(changed_report())
    assert first.title == "Cold start of critical functions, p95"
    assert (first.before, first.after, str(first.word)) == ("2,106 ms", "3,412 ms", "✗ confirmed")
    assert first.size == "+62.1 % (+48.2 to +77.1 %)"
    assert first.kind == "change of level, 7 runs"
    assert first.place == (
        "since run 20250224T063000Z-000002 of 2025-02-24 06:30 UTC, after 20250223T063000Z-000001; "
        "release v2.12.0 → v2.13.0; commit unknown → a1b2c3d"
    )
    assert (second.word.text, second.place) == ("suspected", "")


def test_hostile_parts_stay_text() -> None:
    assert b"<img" not in html(changed_report())
    text = technical_markdown(changed_report())
    part = text[text.index("## Changes for the worse") :]
    assert "<script" not in part[: part.index("##", 3)]


def test_levers_are_re_scored() -> None:
    report = example_report()
    lines = levers(report)
    assert "Cold start of critical functions, p95: 3,412 ms → 1,000 ms alone is worth " in "\n".join(lines)
    why = report.score.explanation
    assert why is not None
    best = max(why.levers, key=lambda one: one.gain)
    assert f"{best.gain:.1f}" in lines[0]
    assert total(report.score.components) + best.gain <= 100
    assert levers(good_report()) == () or "alone is worth" in levers(good_report())[0]


def test_index_advice_shows_the_plans_before_and_after_as_the_advisor_tells_them() -> None:
    tried = ("before: Limit > Index Scan on orders_created_at_idx (cost 3,471)", "after: Index Only Scan (cost 2)")
    told = plans(SimpleNamespace(evidence={"plans": tried}))  # type: ignore[arg-type]
    detail = f"Helps 2 statements. {told} Size 28 MB (estimated). Tested: planner twin, confidence medium."
    found = (
        finding(id="database.missing_index:a", detail=detail, remedy=Remedy(summary="x")),
        finding(id="database.missing_index:b", detail=detail),
        finding(id="database.missing_index:c", remedy=Remedy(summary="x", commands=("CREATE INDEX c",))),
    )
    rows = index_rows(example_report().model_copy(update={"findings": found}))
    shown = {"Limit > Index Scan on orders_created_at_idx (cost 3,471)", "Index Only Scan (cost 2)"}
    assert {rows[0].before, rows[0].after} == {rows[2].before, rows[2].after} == shown
    assert rows[0].how == "tested: planner twin, confidence medium"
    assert (rows[1].before, rows[1].after) == ("184 ms", "42 ms")
    assert (rows[3].before, rows[3].after) == ("query p95 184 ms", NOT_TRIED)


def test_a_step_says_what_it_waits_for_and_counts_the_rest() -> None:
    report = example_report()
    first, *others = report.roadmap
    waiting = first.model_copy(
        update={"waits_for": ("one:a", "one:<b>", "one:c"), "why_after": "it is sized by them"}
    )
    changed = report.model_copy(update={"roadmap": (waiting, *others)})
    assert b"after one:a, one:&lt;b&gt; and 1 more: it is sized by them" in html(changed)
    assert "after one:a, " in technical_markdown(changed)
    assert "<b>" not in roadmap_markdown(changed)
