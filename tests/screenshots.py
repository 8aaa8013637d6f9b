"""Takes the pictures of docs/reports.md from real runs: python -m tests.screenshots OUTPUT SERIES.

OUTPUT holds a run of the development environment, SERIES at least eight runs of one kind for the history site.
"""

from __future__ import annotations

import sys
from pathlib import Path

from storage.parquet import Store
from storage.runs import ORCHESTRATION, find_run
from tests.chromium import Page, chromium

IMAGES = Path(__file__).parents[1] / "docs/images"
WIDTH, HEIGHT = 718, 1016
"""The printable part of a sheet, in CSS pixels."""


def main(output: str, series: str) -> None:
    """Take them all."""
    folder = find_run(Store(output), "latest")
    report = Path(folder.store.path(folder.orchestration("report.html")))
    site = Path(series, ORCHESTRATION, folder.environment, "index.html").resolve()
    with chromium() as page:
        shoot(page, report, "report-light")
        shoot(page, report, "report-load", anchor="load")
        shoot(page, report, "report-dark", dark=True, anchor="components")
        shoot(page, report, "report-phone", width=390, height=844)
        shoot(page, site, "site", height=1400)
        shoot(page, site, "site-compare", anchor="compare")
        for source, name in (
            (report, "report-print"),
            (report.with_name("executive-summary.html"), "executive-print"),
        ):
            page.open(source, width=WIDTH, height=HEIGHT)
            page.call("Emulation.setEmulatedMedia", media="print")
            page.screenshot(IMAGES / f"{name}.png")
            page.call("Emulation.setEmulatedMedia", media="")


def shoot(
    page: Page, source: Path, name: str, *, anchor: str = "", width: int = 1280, height: int = 900, dark: bool = False
) -> None:
    """One window of a page, without anything it complains of."""
    page.open(source, width=width, height=height, dark=dark)
    if anchor:
        page.run(
            f"document.getElementById('{anchor}').scrollIntoView(); new Promise((done) => setTimeout(done, 200))"
        )
    assert page.complaints == [], page.complaints
    page.screenshot(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
