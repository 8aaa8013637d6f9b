"""What somebody who waits for a run elsewhere gets to see."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from tasks.monitoring.teller import Teller


def told(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, seconds: float) -> str:
    """Two states, one of them twice, and progress twice a second for some seconds."""
    clock = iter(range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: next(clock) / 2)
    file = StringIO()
    with Teller(Console(file=file, force_terminal=terminal, width=120)) as one:
        for state in ("Pending", "Running", "Running"):
            one.state(state)
        for _ in range(int(seconds * 2)):
            one.progress("40 % api 4/10 s \x1b[31m")
    return file.getvalue()


def test_without_a_terminal_a_plain_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line.split(" ", 1)[1] for line in told(monkeypatch, terminal=False, seconds=40).splitlines()]
    assert lines[:2] == ["Pending", "Running"]
    assert 3 <= len(lines[2:]) <= 4
    assert set(lines[2:]) == {"40 % api 4/10 s"}


def test_on_a_terminal_states_stay_and_progress_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(monkeypatch, terminal=True, seconds=40)
    assert text.count("Running") == 1
    assert "40 % api" in text
    assert not re.search(r":\d\d\S* 40 %", text), "only what stays has the time before it"
