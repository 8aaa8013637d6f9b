"""Text and figures: what is shown, and what never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Unit
from tasks.report.figures import figure
from tasks.report.markdown import escape
from tasks.report.text import ascii_text, clean, one_line, shorten, whole_commands


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(0lqk", "lqk"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("\u202egpj.exe", "gpj.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\ud800", ""),
        ("\ufffe\U0001ffff", ""),
        ("naïve ₹ ✓ 食", "naïve ₹ ✓ 食"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_cleaned_text_can_be_written_anywhere_and_stays_as_it_is(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert all(c in "\n\t" or ord(c) >= 0x20 for c in once)
    once.encode()
    assert ascii_text(once).isascii()


def test_shorten_marks_what_it_cuts() -> None:
    assert shorten("SELECT\n  1", 20) == "SELECT 1"
    assert shorten("x" * 30, 10) == "x" * 9 + "…"
    assert one_line("a\n\n b") == "a b"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, Unit.MS, "not measured"),
        (0, Unit.MS, "0 ms"),
        (0.8234, Unit.MS, "0.823 ms"),
        (43.15, Unit.MS, "43.1 ms"),
        (1240.4, Unit.MS, "1,240 ms"),
        (0.0043, Unit.RATIO, "0.43 %"),
        (0.99996, Unit.RATIO, "99.996 %"),
        (1.0, Unit.RATIO, "100 %"),
        (612.4, Unit.PER_SECOND, "612/s"),
        (48210, Unit.COUNT, "48,210"),
        (2.5, Unit.COUNT, "2.5"),
        (88_604_672, Unit.BYTES, "84.5 MiB"),
        (512, Unit.MB, "512 MB"),
        (1240.5, Unit.USD_PER_MONTH, "$1,240.50 a month"),
        (84.96, Unit.SCORE, "84.9"),
    ],
)
def test_figures(value: float | None, unit: Unit, shown: str) -> None:
    assert figure(value, unit) == shown


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [(199.96, 200, "199.96 ms"), (200.0, 200, "200 ms"), (200.004, 200, "200.004 ms"), (142.0, 200, "142 ms")],
)
def test_a_value_is_never_written_as_the_limit_that_it_is_not(value: float, limit: float, shown: str) -> None:
    assert figure(value, Unit.MS, unlike=limit) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", "a \\| b"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("`x` *y* _z_ [l](u) ~s~", "\\`x\\` \\*y\\* \\_z\\_ \\[l\\](u) \\~s\\~"),
        ("# heading", "\\# heading"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("https://evil.example www.evil.example @team", "https&#58;//evil.example www\\.evil.example &#64;team"),
        ("two\nlines", "two lines"),
    ],
)
def test_markdown_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_commands_are_shown_whole_or_not_at_all() -> None:
    commands = [f"aws lambda update-function-configuration --function-name f{n}" for n in range(161)]
    shown = whole_commands(commands, 1000)
    assert list(shown[:-1]) == commands[: len(shown) - 1]
    assert shown[-1] == f"# {161 - len(shown) + 1} more of this finding are in report.json"
    assert whole_commands(["x" * 9000]) == ("# 1 more of this finding are in report.json",)
    assert whole_commands(["a\x1b[31m", "b"]) == ("a", "b")
