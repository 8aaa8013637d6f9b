"""Changes for the worse, what would raise the score, and the roadmap's steps: in words."""

from __future__ import annotations

from tasks.judge.score import total
from tasks.report.changes import change_rows, levers
from tasks.report.html import html
from tasks.report.markdown import technical_markdown
from tests.report_example import changed_report, example_report, good_report


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
