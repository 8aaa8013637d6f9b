"""Server truth: percentiles that a tool reports against those that the server knows, and what the tool costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.load.places import (
    CLIENT_CORE,
    Certificate,
    MissingError,
    delay_server,
    fetch,
    pinned,
    program,
    started,
)
from storage.errors import NotMeasuredError
from tasks.load.adhoc.adhoc import http_plan
from tasks.load.adhoc.oracle import run_k6
from tasks.load.adhoc.plan import make_plan
from tasks.load.http_load import HttpRun
from tasks.load.process import run_worker
from tasks.load.recording import samples

RATE = 1000.0
WORKER = "benchmarks.load.workers"
BLOCK_MS, BLOCK_EVERY_MS = 40, 240


@dataclass(frozen=True)
class Spread:
    """Percentiles in ms."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: samples.Floats) -> Spread:
        """By nearest rank."""
        return cls(*(_rank(values, q) for q in (0.5, 0.95, 0.99)))

    def minus(self, other: Spread) -> Spread:
        """How far off each is."""
        return Spread(self.p50 - other.p50, self.p95 - other.p95, self.p99 - other.p99)


@dataclass(frozen=True)
class Seen:
    """What a tool reported (from sending, and from the intended start where it knows that), and what it used."""

    service: Spread
    requests: int
    cpu_s: float
    latency: Spread | None = None
    trust: str = ""


@dataclass(frozen=True)
class Compared:
    """A tool minus the server, and its processor seconds for 10,000 requests."""

    tool: str
    service: Spread
    latency: Spread | None
    cpu_s: float
    trust: str


Tool = Callable[[str, float, float], Seen]
"""(url, rate, seconds) → what it reports."""


def engine(url: str, rate: float, seconds: float) -> Seen:
    """The raw wire: what `hasivu-perf load --rate` runs."""
    return _seen(_run(url, rate, seconds, {}))


def _run(url: str, rate: float, seconds: float, fault: Mapping[str, int], timeout_s: float = 5) -> HttpRun:
    plan = http_plan(make_plan(url, rate=rate, duration_s=seconds, timeout_s=timeout_s))
    with pinned(CLIENT_CORE):
        output = run_worker(WORKER, {**plan.to_json(), "what": "http", **fault}, deadline_s=seconds + 60)
    return HttpRun(output.tables["samples"], output.facts)


def _seen(run: HttpRun) -> Seen:
    verdict = run.verdict(["steady"], same_machine=False)
    return Seen(
        Spread.of(samples.service_ms(run.table)),
        run.table.num_rows,
        sum(part["cpu_s"] for part in run.facts["runs"]),
        Spread.of(samples.latency_ms(run.table)),
        f"{verdict.trust.value}: {verdict.reasons[0]}" if verdict.reasons else verdict.trust.value,
    )


def blocked(url: str, rate: float, seconds: float) -> Seen:
    """The raw wire in a process whose event loop is blocked again and again."""
    return _seen(_run(url, rate, seconds, {"block_ms": BLOCK_MS, "block_every_ms": BLOCK_EVERY_MS}))


def api(url: str, rate: float, seconds: float) -> Seen:
    """The httpx API on the engine."""
    return _asked(url, rate, seconds, {})


def api_blocked(url: str, rate: float, seconds: float) -> Seen:
    """The httpx API in a process whose event loop is blocked again and again."""
    return _asked(url, rate, seconds, {"block_ms": BLOCK_MS, "block_every_ms": BLOCK_EVERY_MS})


def _asked(url: str, rate: float, seconds: float, fault: Mapping[str, int]) -> Seen:
    plan = {"what": "api", "url": url, "rate": rate, "seconds": seconds, **fault}
    with pinned(CLIENT_CORE):
        output = run_worker(WORKER, plan, deadline_s=seconds + 40)
    return _seen(HttpRun(output.tables["samples"], output.facts))


def k6(url: str, rate: float, seconds: float) -> Seen:
    """k6's constant arrival rate; the processor time of its own start is left out (see `k6_start_s`)."""
    binary = program("k6")
    with pinned(CLIENT_CORE):
        seen = run_k6(make_plan(url, rate=rate, duration_s=seconds, timeout_s=5), binary)
    used = (seen.client_cpu_seconds or 0.0) - k6_start_s()
    service = Spread(*(seen.service_ms[name] for name in ("p50", "p95", "p99")))
    return Seen(service, seen.requests, used, trust=f"{seen.dropped} arrivals dropped" if seen.dropped else "")


_START: list[float] = []


def k6_start_s() -> float:
    """Processor seconds that k6 needs for one request: its start."""
    if not _START:
        with delay_server() as url, pinned(CLIENT_CORE):
            seen = run_k6(make_plan(url, rate=1, duration_s=1), program("k6"))
        _START.append(seen.client_cpu_seconds or 0.0)
    return _START[0]


def compare(
    name: str, tool: Tool, *, seconds: float, certificate: Certificate | None = None, hog: bool = False
) -> Compared | str:
    """One tool against a fresh server; a string where it is not measured."""
    with delay_server(certificate=certificate) as url:
        fetch(f"{url}/truth")
        try:
            with _hog() if hog else nullcontext():
                seen = tool(url, RATE, seconds)
        except MissingError as missing:
            return str(missing)
        except NotMeasuredError as error:
            return f"not measured: {error}"
        told = json.loads(fetch(f"{url}/truth"))
    truth = Spread(told["p50"], told["p95"], told["p99"])
    latency = seen.latency.minus(truth) if seen.latency else None
    return Compared(name, seen.service.minus(truth), latency, seen.cpu_s / seen.requests * 10_000, seen.trust)


def medians(rounds: Sequence[Compared | str]) -> Compared | str:
    """The median of each figure over rounds; the reason where a round was not measured."""
    good = [one for one in rounds if isinstance(one, Compared)]
    if len(good) < len(rounds) or not good:
        return next((one for one in rounds if isinstance(one, str)), "not measured")
    latencies = [one.latency for one in good if one.latency]
    return Compared(
        good[0].tool,
        _middle([one.service for one in good]),
        _middle(latencies) if latencies else None,
        median(one.cpu_s for one in good),
        "; ".join(dict.fromkeys(one.trust for one in good if one.trust)),
    )


def _middle(spreads: Sequence[Spread]) -> Spread:
    columns = zip(*((one.p50, one.p95, one.p99) for one in spreads), strict=True)
    return Spread(*(median(column) for column in columns))


@contextmanager
def _hog() -> Iterator[None]:
    """Something else that wants the generator's core."""
    with started([sys.executable, "-c", "while True: pass"], core=CLIENT_CORE):
        time.sleep(0.2)
        yield


@dataclass(frozen=True)
class Stalled:
    """A stall of 2 s at 200/s: reported and analytic percentiles in ms, and how many arrivals were dropped."""

    reported: dict[str, float]
    truth: dict[str, float]
    dropped: int


def stall(seconds: float = 20.0, rate: float = 200.0, delay_ms: float = 5.0) -> Stalled:
    """The raw wire against a server that stands still once; each arrival's truth follows from when it was planned."""
    options = ("--delay-ms", str(delay_ms), "--every", "0", "--stall-at-s", str(seconds * 0.45), "--stall-s", "2")
    with delay_server(*options) as url:
        run = _run(url, rate, seconds, {}, timeout_s=10)
        start, end = json.loads(fetch(f"{url}/truth"))["stall"]
    table = run.table
    done = samples.column(table, "intended_ns") + round(delay_ms * 1e6)
    truth_ms = (np.where((done >= start) & (done < end), end, done) - samples.column(table, "intended_ns")) / 1e6
    names = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    latency = samples.latency_ms(table)
    return Stalled(
        {name: _rank(latency, q) for name, q in names.items()},
        {name: _rank(truth_ms, q) for name, q in names.items()},
        int(run.facts["planned"]) - int(samples.answered(table).sum()),
    )


def lateness(seconds: float = 10.0, rate: float = 500.0) -> float:
    """Median of sent − intended in ms."""
    with delay_server() as url:
        table = _run(url, rate, seconds, {}).table
    return _rank((samples.column(table, "sent_ns") - samples.column(table, "intended_ns")) / 1e6, 0.5)


def _rank(values: samples.Floats, q: float) -> float:
    found = samples.percentile(values, q)
    if found is None:
        raise subprocess.SubprocessError("no answers")
    return found
