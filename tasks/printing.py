"""The executive summary as PDF, printed by a headless Chromium where one is installed.

The page is our own, asks the network for nothing, and its policy runs no foreign script; the browser gets an empty
profile, resolves no name, and ends with its time limit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from storage.errors import ConfigurationError, HasivuError
from storage.runs import RunFolder

PROGRAM = "HASIVU_CHROMIUM"
"""Variable with the browser's path, where it is none of `NAMES`."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PDF = "executive-summary.pdf"
LIMIT_S = 30.0
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-pdf-header-footer",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_LAST_LINES = 200


def browser() -> str | None:
    """The browser that would print; None where there is none."""
    named = os.environ.get(PROGRAM)
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


def print_executive(folder: RunFolder) -> str:
    """Print a run's executive-summary.html beside it and return the PDF's name.

    `ConfigurationError` where no browser is installed, `HasivuError` where it does not print.
    """
    program = browser()
    if program is None:
        raise ConfigurationError(
            [f"no Chromium to print {PDF} with: apt-get install chromium, or set {PROGRAM} to its path"]
        )
    page = folder.store.read(folder.orchestration("executive-summary.html"))
    folder.store.write(folder.orchestration(PDF), printed(program, page))
    return folder.orchestration(PDF)


def printed(program: str, page: bytes) -> bytes:
    """A page as PDF."""
    with tempfile.TemporaryDirectory(prefix="hasivu-print-", ignore_cleanup_errors=True) as place:
        source, target = Path(place, "page.html"), Path(place, "page.pdf")
        source.write_bytes(page)
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # Chromium has no sandbox for root
        command = [program, *_FLAGS, *root, f"--user-data-dir={place}/profile", f"--print-to-pdf={target}"]
        try:
            done = subprocess.run(
                [*command, source.as_uri()],
                check=False,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=LIMIT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HasivuError(f"{program} did not print: {type(error).__name__}") from error
        if not target.exists():
            said = " ".join(done.stderr.decode(errors="replace").split())[-_LAST_LINES:]
            raise HasivuError(f"{program} ended with {done.returncode} and printed nothing: {said}")
        return target.read_bytes()
