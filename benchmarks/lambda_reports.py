"""How many lines a second the report reader takes, of a log of every format with hostile lines in it.

The corpus is that of the tests (tests/lambda_corpus.py); the clock is that on the wall, the figure a median.
"""

from __future__ import annotations

import statistics as stdlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.components.lambda_functions.reports import statistics
from tests.lambda_corpus import generate

_RUNS = 7


def main() -> None:
    """Print the median, and the fastest and slowest run."""
    events = generate(2500).events
    rates = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        statistics(events)
        rates.append(len(events) / (time.perf_counter() - began))
    print(f"{len(events):,} lines, {_RUNS} runs: {stdlib.median(rates):,.0f} lines a second", end=" ")
    print(f"({min(rates):,.0f} to {max(rates):,.0f})")


if __name__ == "__main__":
    main()
