"""The HTML report in a real browser: it runs nothing foreign, asks the network for nothing, and fits every screen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.report.renderings import renderings
from tasks.report.run_row import RunRow, row_of
from tasks.report.site import environment_page, front, root_page, thresholds_of
from tests.chromium import PROGRAM, Page, chromium
from tests.report_example import START, example_report, good_report, info

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
PAGES = ("report.html", "executive-summary.html", "site.html", "front.html")
AXE = Path(str(distribution("axe-playwright-python").locate_file("axe_playwright_python/axe.min.js")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    for name, data in renderings(example_report()).items():
        (path / name).write_bytes(data)
    rows = site_rows()
    (path / "site.html").write_bytes(environment_page("staging", rows, thresholds_of(example_report()), {}))
    (path / "front.html").write_bytes(root_page([front(rows)], ""))
    return path


def site_rows() -> list[RunRow]:
    """Twenty-four runs: cold starts become slower with the sixteenth, and the example is the last."""
    rows = []
    for number in range(23):
        started = START - timedelta(days=23 - number)
        values = {"lambda.cold_start.p95": 800.0 + 9 * (number % 4) + 500 * (number >= 15)}
        told = info(run=f"{started:%Y%m%dT%H%M%SZ}-{number:06x}", started=started, release=f"v2.{number}.0")
        rows.append(row_of(good_report(values).model_copy(update={"info": told})))
    return [*rows, row_of(example_report())]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_violation(browser: Page, folder: Path, name: str, *, dark: bool) -> None:
    browser.open(folder / name, dark=dark)
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true; 0")
    assert violations(browser) == {}


def violations(browser: Page) -> dict[str, list[str]]:
    """What axe-core calls serious or critical, with the first elements that it means."""
    browser.run(AXE.read_text(encoding="utf-8") + "; 0")
    found: dict[str, list[str]] = browser.run(
        "axe.run().then((r) => Object.fromEntries(r.violations.filter((v) => ['serious', 'critical']"
        ".includes(v.impact)).map((v) => [v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))])))"
    )
    return found


def test_axe_would_find_one(browser: Page, tmp_path: Path) -> None:
    page = "<!doctype html><html><title>x</title><p style='color:#ccc;background:#fff'>pale</p><img src='data:,'>"
    (tmp_path / "bad.html").write_text(page)
    browser.open(tmp_path / "bad.html")
    assert {"color-contrast", "html-has-lang", "image-alt"} <= violations(browser).keys()


def key(browser: Page, name: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)


def test_a_chart_is_read_by_pointer_and_by_keyboard(browser: Page, folder: Path) -> None:
    browser.open(folder / "report.html")
    browser.run("document.querySelector('.timeline').scrollIntoView({block: 'center'})")
    said = "document.querySelector('.timeline output').textContent"
    box = browser.run(
        "(({x, y, width}) => [x, y, width])(document.querySelector('.timeline .plot').getBoundingClientRect())"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] * 0.3, y=box[1] + 50)
    assert browser.run(said) == "60 s (steady): p50 33.1 ms, p95 188 ms, p99 392 ms; 3,000 requests, 12 wrong"
    browser.run("document.querySelector('.timeline input').focus()")
    key(browser, "ArrowRight", 39)
    assert browser.run(said) == "120 s (steady): no answer; 3,000 requests, 3,000 wrong"
    key(browser, "End", 35)
    assert browser.run(said) == "240 s: no request"
    assert (
        browser.run("document.querySelector('.timeline input').getAttribute('aria-valuetext')") == "240 s: no request"
    )


def test_findings_are_filtered_by_text_severity_and_component(browser: Page, folder: Path) -> None:
    browser.open(folder / "report.html")
    shown = (
        "[...document.querySelectorAll('details.finding')].filter((f) => !f.hidden).map((f) => f.dataset.severity)"
    )
    tools = "document.querySelector('#findings .tools')"
    enter = "e.dispatchEvent(new Event('input', {bubbles: true}))"
    everything = browser.run(shown)
    browser.run(f"(() => {{ const e = {tools}.querySelector('select'); e.value = 'critical'; {enter} }})()")
    assert browser.run(shown) == ["critical"] * everything.count("critical")
    browser.run(f"(() => {{ const e = {tools}.querySelector('input'); e.value = 'websocket'; {enter} }})()")
    assert browser.run(f"{tools}.querySelector('[role=status]').textContent") == f"1 of {len(everything)} shown"


def test_the_site_compares_any_two_runs(browser: Page, folder: Path) -> None:
    browser.open(folder / "site.html")
    row = "[...document.querySelectorAll('.comparison tbody tr')].find((r) => r.cells[0].textContent === %s)"
    cells = f"[...({row % json.dumps('Cache hit ratio')}).cells].map((c) => c.textContent)"
    assert browser.run(cells) == ["Cache hit ratio", "96.8 %", "87.3 %", "−9.8 %", "? unclear"]
    select = "document.querySelector('#compare select')"
    browser.run(f"{select}.selectedIndex = 23; {select}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    link = browser.run("location.hash")
    assert link.startswith("#compare=20250208T063000Z-000000..20250303T063000Z")
    assert browser.run("document.querySelector('#compare [role=status]').textContent").startswith("Score 9")
    assert "confirmed, since 2025-02-23" in browser.run("document.querySelector('#trends').textContent")
    browser.open(folder / "front.html")
    browser.open(folder / "site.html")
    browser.run(f"location.hash = {json.dumps(link)}; location.reload()")
    browser.wait_for(f"{select}?.selectedIndex === 23")


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
