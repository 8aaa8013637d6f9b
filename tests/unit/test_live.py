"""The live view on a terminal, without one, without colours, narrow, and with hostile words."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from tasks.monitoring import live
from tasks.monitoring.live import LiveView
from tasks.progress import Progress

HOSTILE = "[bold]x[/nothing] \x1b]0;owned\x07\x1b[2J [red]"


def progress(**changes: object) -> Progress:
    fields: dict[str, object] = {
        "component": "api",
        "elapsed_s": 20.0,
        "total_s": 60.0,
        "rate": 10.0,
        "p95_ms": 31.24,
        "failed": 2,
        "message": "",
    }
    return Progress(**(fields | changes))  # type: ignore[arg-type]


def shown(*told: Progress, width: int = 80, terminal: bool = True) -> str:
    out = StringIO()
    with LiveView(["database", "api"], Console(file=out, force_terminal=terminal, width=width)) as view:
        for one in told:
            view(one)
        view.say(HOSTILE)
    return out.getvalue()


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_terminal_has_a_row_a_component() -> None:
    text = Text.from_ansi(shown(progress())).plain
    assert re.search(r"database +waiting", text)
    assert re.search(r"api +20/60 s +10/s +31\.2 ms +2", text)


def test_words_from_outside_are_neither_markup_nor_escapes() -> None:
    text = shown(progress(message=HOSTILE))
    assert "[bold]x[/nothing]" in text
    assert "owned" not in text
    assert "\x1b[2J" not in text


def test_a_narrow_terminal_cuts_and_never_breaks_a_row() -> None:
    lines = Text.from_ansi(shown(progress(message="a long story " * 9), width=40)).plain.splitlines()
    rows = [line for line in lines if line.startswith("api")]
    assert re.match(r"api +20/60 s", rows[-1])
    assert all(len(row) <= 40 for row in rows)
    assert not [line for line in lines if line.startswith(" story")]


def test_without_colours_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])[;m]", shown(progress()))


@pytest.mark.parametrize("dumb", [True, False])
def test_without_a_terminal_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch, *, dumb: bool) -> None:
    monkeypatch.setattr(live, "PLAIN_EVERY_S", 0.0)
    if dumb:
        monkeypatch.setenv("TERM", "dumb")
    text = shown(progress(), terminal=dumb)
    assert "api 20/60 s 10/s p95 31.2 ms 2 failed\n" in text
    assert "\x1b" not in text
