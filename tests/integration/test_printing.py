"""The executive summary as PDF, printed by a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from storage.errors import ConfigurationError, HasivuError
from storage.parquet import Store
from storage.records import ComponentId
from storage.runs import RunFolder
from tasks.printing import PROGRAM, browser, print_executive
from tasks.report.build import build
from tasks.report.executive import executive_html
from tests.report_example import THRESHOLDS, WEIGHTS, example_report, failed, info

LONG = "nothing answers at https://api.staging.example.org/v1; check STAGING_API_URL, the VPN and the proxy " * 3
DEAD = build(info(), [failed(component, LONG) for component in ComponentId], THRESHOLDS, WEIGHTS)


@pytest.fixture(params=[example_report(), DEAD], ids=["example", "dead"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> RunFolder:
    report = request.param
    folder = RunFolder(Store(tmp_path), report.info.environment, report.info.run)
    folder.store.write(folder.orchestration("executive-summary.html"), executive_html(report))
    return folder


@pytest.mark.system
@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine: apt-get install chromium")
def test_it_is_one_page(folder: RunFolder) -> None:
    content = folder.store.read(print_executive(folder))
    assert content.startswith(b"%PDF-")
    assert re.findall(rb"/Count (\d+)", content) == [b"1"]


def test_without_a_browser_it_says_what_to_install(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAM, "/no/such/browser")
    with pytest.raises(ConfigurationError, match="apt-get install chromium"):
        print_executive(folder)


def test_a_browser_that_prints_nothing_is_named(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAM, "false")
    with pytest.raises(HasivuError, match=r"false ended with 1 and printed nothing"):
        print_executive(folder)
