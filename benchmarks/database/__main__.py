"""Index advice measured: `python -m benchmarks.database [SUITE…] [--rehearse=never]`, about ten minutes for all.

Without names every suite runs and REPORT.md is written; with names the report goes to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.database import hasivu, movies, pgbench, retail, wholesale
from benchmarks.database.measure import run
from benchmarks.database.report import markdown

SUITES = {one.name: one for one in (hasivu.SUITE, pgbench.SUITE, wholesale.SUITE, retail.SUITE, movies.SUITE)}
REPORT = Path(__file__).with_name("REPORT.md")


def main(arguments: list[str]) -> None:
    """Run the suites that are named, or all."""
    names = [one for one in arguments if not one.startswith("--")]
    rehearse = next((one.partition("=")[2] for one in arguments if one.startswith("--rehearse=")), "auto")
    unknown = [one for one in arguments if one.startswith("--") and not one.startswith("--rehearse=")]
    if unknown or set(names) - SUITES.keys():  # a whole run takes its time and writes the report anew
        raise SystemExit(f"usage: python -m benchmarks.database [--rehearse=always] [{'] ['.join(SUITES)}]")
    results = []
    for name in names or SUITES:
        results.append(run(SUITES[name], rehearse=rehearse))
        if not names:  # what was measured stays, whatever becomes of the next one
            REPORT.write_text(markdown(results), encoding="utf-8")
    print(markdown(results) if names else f"written to {REPORT}")


if __name__ == "__main__":
    main(sys.argv[1:])
