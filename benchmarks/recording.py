"""What it costs to keep every request: a row when it ends, the journal meanwhile, Parquet at the end.

`make bench` runs it. CPU time counts, for it holds on a noisy machine where wall time does not, and the least of
several rounds taken in turn. Beside it stand the ways that a user would take instead: CSV, JSON lines, pickle,
Parquet as pyarrow writes it by default, and a histogram, which is small but answers no question that it was not
made for.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import pickle
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from storage.clock import Clock
from storage.parquet import Store
from tasks.load.recording import journal
from tasks.load.recording.samples import Recorder

ROWS = 500_000
ROUNDS = 5
RATE = 1000.0
CALLS = 100_000
LOOP_S = 4.0
LOOP_RATE = 20_000
_ENDPOINTS = [f"GET /api/v1/resource/{number}" for number in range(8)]
_SIZES = np.array([1024, 300, 800, 52, 90, 4000, 20, 7])

Row = tuple[tuple[int, int, int, int], int, int, int]


def requests(number: int = ROWS) -> list[Row]:
    """Plausible requests: Poisson arrivals, late by 40 µs, answered in 5 ms; (times, endpoint, size, seen)."""
    rng = np.random.default_rng(3)
    moments = [np.cumsum(rng.exponential(1e9 / RATE, number)).astype(np.int64)]
    for typical_ns, spread in ((40e3, 0.5), (8e3, 0.4), (5e6, 0.6), (15e3, 0.6)):
        moments.append(moments[-1] + rng.lognormal(np.log(typical_ns), spread, number).astype(np.int64))
    order = np.argsort(moments[4], kind="stable")
    columns = np.stack(moments)[:, order].tolist()
    endpoints = rng.choice(8, number, p=[0.3, 0.2, 0.2, 0.1, 0.05, 0.05, 0.05, 0.05])
    sizes = _SIZES[endpoints] + rng.integers(0, 3, number)
    times = zip(*columns[:4], strict=True)
    return list(zip(times, endpoints.tolist(), sizes.tolist(), columns[4], strict=True))


def record(recorder: Recorder, rows: list[Row]) -> None:
    """Add rows as the generator does."""
    for times, endpoint, size, seen in rows:
        recorder.add(times, endpoint, 1, status=200, failed=False, size=size, items=1, seen=seen)


def cpu_ms(work: Callable[[], Any]) -> float:
    """CPU time of this process in ms."""
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1e3


def least(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The least CPU time of each way, in ms, over rounds taken in turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            found[name].append(cpu_ms(work))
    return {name: min(values) for name, values in found.items()}


def adding(rows: list[Row]) -> None:
    """Nanoseconds of one call, the loop around it taken off."""
    some = rows[:CALLS]

    def arrays() -> None:  # how this recorder did it at first
        times_, codes = array("q"), array("q")
        for times, endpoint, size, seen in some:
            times_.extend(times)
            times_.append(seen)
            codes.extend((endpoint, 1, 200, -1, False, size, 1))

    def lines() -> None:
        with io.StringIO() as stream:
            writer = csv.writer(stream)
            for times, endpoint, size, seen in some:
                writer.writerow((*times, seen, endpoint, 1, 200, "", False, size, 1))

    ways: dict[str, Callable[[], Any]] = {
        "nothing": lambda: [None for times, endpoint, size, seen in some],
        "Recorder.add": lambda: record(Recorder(_ENDPOINTS, ["warmup", "steady"]), some),
        "two arrays, no call": arrays,
        "csv.writer, no call": lines,
        "json.dumps, no call": lambda: [json.dumps((*times, seen, endpoint)) for times, endpoint, _, seen in some],
    }
    found = least(ways)
    nothing = found.pop("nothing")
    print("one request, CPU ns")
    for name, milliseconds in found.items():
        print(f"  {name:44} {(milliseconds - nothing) * 1e6 / CALLS:8,.0f}")


def storing(rows: list[Row]) -> None:
    """CPU and size of all rows as one file."""
    recorder = Recorder(_ENDPOINTS, ["warmup", "steady"])
    record(recorder, rows)
    table = recorder.table(Clock.read())
    plain = table.to_pylist()
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="hasivu-bench-") as folder:
        store = Store(folder)

        def ours() -> None:
            sizes["samples.parquet"] = store.write_table("samples.parquet", table).bytes

        def default() -> None:
            with io.BytesIO() as stream:
                pq.write_table(table, stream, compression="zstd")
                sizes["Parquet, zstd, pyarrow's defaults"] = stream.tell()

        def comma() -> None:
            with io.StringIO() as stream:
                writer = csv.DictWriter(stream, table.column_names)
                writer.writerows(plain)
                sizes["CSV"] = stream.tell()

        def jsons() -> None:
            sizes["JSON lines"] = sum(len(json.dumps(row)) + 1 for row in plain)

        def pickled() -> None:
            sizes["pickle of tuples"] = len(pickle.dumps([tuple(row.values()) for row in plain]))

        ways = {
            "samples.parquet": ours,
            "Parquet, zstd, pyarrow's defaults": default,
            "CSV": comma,
            "JSON lines": jsons,
            "pickle of tuples": pickled,
        }
        found = least({name: ways[name] for name in list(ways)[:2]})
        found |= {name: cpu_ms(ways[name]) for name in list(ways)[2:]}
    print(f"{len(rows):,} requests as a file: CPU ms, MB")
    for name, milliseconds in found.items():
        print(f"  {name:44} {milliseconds:8,.0f} {sizes[name] / 1e6:8.2f}")
    print(f"  {'HdrHistogram, 3 digits, one figure only':44} {'':8} {histogram_bytes() / 1e6:8.2f}")


def histogram_bytes(highest: int = 60_000_000) -> int:
    """Size of an HdrHistogram of 1 µs to one minute at three significant digits, by its own formula."""
    half = 1024
    buckets = 1
    while (2 * half) << (buckets - 1) <= highest:
        buckets += 1
    return (buckets + 1) * half * 8


def journalling(rows: list[Row]) -> None:
    """CPU and size of the journal, and how long an event loop that records 20,000 rows a second is held up by it."""
    with tempfile.TemporaryDirectory(prefix="hasivu-bench-") as folder:
        whole = journalled(Path(folder, "journal-attempt-1-1.arrows"))

        def all_rows() -> float:
            spent = 0.0
            for start in range(0, len(rows), 500):
                record(whole, rows[start : start + 500])
                spent += cpu_ms(whole.flush)
            return spent

        spent = all_rows()
        size = Path(folder, "journal-attempt-1-1.arrows").stat().st_size
        back = cpu_ms(lambda: whole.rows_since(len(rows) - 10_000))
        print(f"journal of {len(rows):,} rows in batches of 500: CPU ms {spent:,.0f}, MB {size / 1e6:.1f}")
        print(f"  the last 10,000 read back: CPU ms {back:,.1f}")
        found: dict[str, list[float]] = {"without": [], "with": []}
        for number in range(3):
            path = Path(folder, f"journal-attempt-2-{number}.arrows")
            found["without"].append(asyncio.run(held_up_ms(Recorder(_ENDPOINTS, ["steady", "steady"]))))
            found["with"].append(asyncio.run(held_up_ms(journalled(path))))
    print(f"event loop at {LOOP_RATE:,} rows/s: its worst delay in half a second, median, ms")
    for name, values in found.items():
        print(f"  {name + ' a journal':44} {statistics.median(values):8.2f}")


def journalled(path: Path) -> Recorder:
    """A recorder whose rows go to a journal."""
    journal.assign(path, print)
    recorder = Recorder(_ENDPOINTS, ["warmup", "steady"])
    recorder.keep(Clock(0))
    return recorder


async def held_up_ms(recorder: Recorder) -> float:
    """The median of the worst delays of a 1 ms tick in each half second."""
    each = LOOP_RATE // 1000
    start = time.monotonic_ns()
    worst: dict[int, int] = {}
    for number in range(int(LOOP_S * 1000)):
        due = start + number * 1_000_000
        await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
        late = time.monotonic_ns() - due
        worst[number // 500] = max(worst.get(number // 500, 0), late)
        for _ in range(each):
            recorder.add((due, due, due, due), 0, 1, status=200, size=1024)
    recorder.table(Clock(0))
    return statistics.median(worst.values()) / 1e6


def main() -> None:
    """Print all three."""
    rows = requests()
    adding(rows)
    storing(rows)
    journalling(rows)


if __name__ == "__main__":
    main()
