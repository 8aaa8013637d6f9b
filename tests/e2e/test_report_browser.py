"""The HTML report in a real browser: it runs nothing foreign, asks the network for nothing, and fits every screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.report.renderings import renderings
from tests.chromium import PROGRAM, Page, chromium
from tests.report_example import example_report

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
PAGES = ("report.html", "executive-summary.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    for name, data in renderings(example_report()).items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390, 320])
@pytest.mark.parametrize("name", PAGES)
def test_draws_without_complaint_request_or_overflow(
    browser: Page, folder: Path, name: str, width: int, *, dark: bool
) -> None:
    browser.open(folder / name, width=width, height=844, dark=dark)
    assert browser.complaints == []
    assert [url for url in browser.requests if url != "data:,"] == [(folder / name).as_uri()]
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("typeof alert === 'function' && !document.querySelector('img')")


CONTRAST = """
(() => {
  const luminance = (c) => c.map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); }
    return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll("body *:not(script):not(style):not(title):not(desc)")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e);
    const a = luminance(rgb(e.ownerSVGElement ? style.fill : style.color).slice(0, 3)), b = luminance(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push(`${e.tagName} ${e.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_text_has_contrast(browser: Page, folder: Path, name: str, *, dark: bool) -> None:
    browser.open(folder / name, dark=dark)
    assert browser.run(CONTRAST) == []


def test_injected_markup_could_not_run(browser: Page, folder: Path, tmp_path: Path) -> None:
    """The policy is the second wall: a script that got into the page stays dead."""
    injected = (
        (folder / "report.html").read_text().replace("</main>", "<script>document.title = 'owned'</script></main>")
    )
    (tmp_path / "injected.html").write_text(injected)
    browser.open(tmp_path / "injected.html")
    assert "owned" not in browser.run("document.title")
    assert any("Content Security Policy" in text for text in browser.complaints)


def test_a_table_sorts_by_its_values(browser: Page, folder: Path) -> None:
    browser.open(folder / "report.html")
    table = "[...document.querySelectorAll('table.sortable')].find((t) => t.caption.textContent.startsWith('API'))"
    column = f"[...{table}.tBodies[0].rows].map((row) => Number(row.cells[2].dataset.sort))"
    browser.run(f"{table}.tHead.rows[0].cells[2].querySelector('button').click()")
    assert browser.run(column) == sorted(browser.run(column), reverse=True)
    browser.run(f"{table}.tHead.rows[0].cells[2].querySelector('button').click()")
    assert browser.run(column) == sorted(browser.run(column))
    assert browser.run(f"{table}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == "ascending"


def test_commands_have_copy_buttons_and_a_link_opens_its_finding(browser: Page, folder: Path) -> None:
    browser.open(folder / "report.html")
    assert browser.run("document.querySelectorAll('.command').length === document.querySelectorAll('.copy').length")
    closed = browser.run("document.querySelector('details:not([open])').id")
    browser.run(f"location.hash = '#{closed}'; new Promise((done) => setTimeout(done, 100))")
    assert browser.run(f"document.getElementById('{closed}').open")


def test_headings_and_names_for_screen_readers(browser: Page, folder: Path) -> None:
    browser.open(folder / "report.html")
    levels = browser.run("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert browser.run(
        "[...document.querySelectorAll('svg[role=img]')].every((s) => s.querySelector('title').textContent)"
    )
    assert browser.run("[...document.querySelectorAll('table')].every((t) => t.querySelector('th[scope]'))")
    assert browser.run("document.documentElement.lang") == "en"


def test_the_executive_summary_prints_on_one_page(browser: Page, folder: Path) -> None:
    browser.open(folder / "executive-summary.html")
    assert re.findall(rb"/Count (\d+)", browser.pdf()) == [b"1"]
