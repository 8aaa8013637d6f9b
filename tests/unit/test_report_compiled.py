"""Compiled templates are kept, believed only where they fit, and never missed."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment

from tasks.report import html
from tests.report_example import good_report


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    html._environment.cache_clear()
    return tmp_path / "hasivu-perf" / "templates"


def _rendered() -> bytes:
    html._environment.cache_clear()
    return html.html(good_report())


def test_a_template_is_compiled_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _rendered()
    assert any(kept.iterdir())
    monkeypatch.setattr(Environment, "_generate", lambda *_args, **_more: pytest.fail("compiled again"))
    assert _rendered() == first


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_damaged_one_is_made_anew(kept: Path, keep: int) -> None:
    first = _rendered()
    whole = {path: path.read_bytes() for path in kept.iterdir()}
    for path, content in whole.items():
        path.write_bytes(content[:keep])
    assert _rendered() == first
    assert {path: path.read_bytes() for path in kept.iterdir()} == whole


def test_nothing_is_kept_where_nothing_can_be(kept: Path, tmp_path: Path) -> None:
    kept.parent.write_bytes(b"no folder")
    assert _rendered().startswith(b"<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["hasivu-perf"]
