"""What history costs, and how that grows with runs: `python -m benchmarks.history [SERIES]`, a minute.

Each row is the median of three. The targets: any query 0.5 s, detection over all series 15 s, one more run 1 s.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.config import load_thresholds
from storage import segments
from storage.history import open_history
from storage.history_records import HistoryRun
from storage.history_rows import ROWS, labels_text
from storage.parquet import MEASUREMENTS, Store
from storage.runs import ANALYSIS
from tasks.judge.detect import change_points
from tasks.judge.regressions import RUNS, over_runs

START = datetime(2023, 1, 2, 20, tzinfo=UTC)
ENVIRONMENT = "staging"
KINDS = ("api.latency.p95", "api.latency.p50", "database.query.p95", "cache.latency.p95", "lambda.duration.p95")


def named(number: int) -> str:
    """Name of a run."""
    return f"{START + timedelta(days=number):%Y%m%dT%H%M%SZ}-{number:06x}"


def a_run(number: int) -> HistoryRun:
    """One night."""
    return HistoryRun(
        run=named(number),
        environment=ENVIRONMENT,
        profile=ENVIRONMENT,
        started=START + timedelta(days=number),
        release=f"v{number // 10}",
        code_version="benchmark",
        settings={"users": "50", "duration_s": "300", "ramp_up_s": "60", "pace_s": "1"},
    )


def a_table(rng: np.random.Generator, number: int, count: int) -> pa.Table:
    """The measurements of one night."""
    at = START + timedelta(days=number)
    return pa.table(
        {
            "run": [named(number)] * count,
            "metric": [KINDS[place % len(KINDS)] for place in range(count)],
            "labels": [
                "" if place < len(KINDS) else labels_text({"endpoint": f"GET /e{place}"}) for place in range(count)
            ],
            "value": 100 * np.exp(rng.normal(0, 0.03, count)),
            "unit": ["ms"] * count,
            "n": np.full(count, 15_000),
            "source": ["HTTP load, open model, latency from the intended start"] * count,
            "window_start": [at] * count,
            "window_end": [at + timedelta(seconds=300)] * count,
            "interval_low": np.full(count, 95.0),
            "interval_high": np.full(count, 105.0),
            "note": [""] * count,
            "idle": [False] * count,
        },
        schema=ROWS,
    )


def of_run(table: pa.Table) -> pa.Table:
    """Rows of history as the measurements that a run has in memory."""
    texts: list[Any] = table.column("labels").to_pylist()
    labels = pa.array([[] if not text else [("endpoint", text)] for text in texts], MEASUREMENTS.field("labels").type)
    columns = [labels if name == "labels" else table.column(name) for name in MEASUREMENTS.names]
    return pa.Table.from_arrays(columns, schema=MEASUREMENTS)


def seconds(work: Callable[[], object]) -> float:
    """Median of three."""
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return median(spent)


def measure(folder: Path, runs: int, count: int) -> list[float]:
    """What each question costs, in s."""
    rng = np.random.default_rng(runs)
    store = Store(folder)
    for number in range(runs):
        (folder / ANALYSIS / ENVIRONMENT / named(number)).mkdir(parents=True)
    table = pa.concat_tables([a_table(rng, number, count) for number in range(runs)])
    segments.write(store, ENVIRONMENT, [a_run(number) for number in range(runs)], table, ())
    thresholds, _ = load_thresholds(ENVIRONMENT)
    one_more = of_run(a_table(rng, runs, count))

    def query(**chosen: Any) -> object:
        history = open_history(store, ENVIRONMENT)
        return history.series(**chosen)

    def by_release() -> object:
        history = open_history(store, ENVIRONMENT)
        return history.series(metric="api.latency.p95", runs=history.select(release="v3"))

    def everything() -> object:
        return [change_points(one.values.tolist(), one.times) for one in open_history(store, ENVIRONMENT).series()]

    def judge() -> object:
        history = open_history(store, ENVIRONMENT)
        return over_runs(history.series_with(a_run(runs), one_more, history.runs[-RUNS:]), thresholds)

    return [
        seconds(lambda: query(metric="api.latency.p95", labels={})),
        seconds(lambda: query(metric="api.latency.p95")),
        seconds(by_release),
        seconds(lambda: query(component="lambda")),
        seconds(query),
        seconds(everything),
        seconds(judge),
    ]


def main(count: int) -> None:
    """Print a row for each number of runs."""
    heads = ("runs", "one", "metric", "release", "component", "all", "detect all", "one more run")
    print(f"{count} series a run; seconds, opening the history included")
    print("".join(f"{head:>13}" for head in heads))
    for runs in (100, 300, 1000):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(Path(folder), runs, count)
        print(f"{runs:13d}" + "".join(f"{spent:13.3f}" for spent in row), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
