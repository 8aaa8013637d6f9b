"""Times representative reads in a process of its own: open model, one row of samples per read.

A read's latency counts from its intended moment to its last row at the client; it is parsed and planned each time (no
prepared statement). How outcomes are told in the samples' terms: rows came → status 200; the server answered with
an SQL error → status 500, failed; a time-out (the server's or the client's) → error `timeout`; no connection →
`connect`; a connection that broke → `closed`; bytes that cannot be read → `protocol`. `bytes` is 0: libpq does not
tell it.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from array import array
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deployments.config import ValueRange
from storage.clock import current_clock
from storage.errors import NotMeasuredError
from tasks.load.database.session import QueryError, Server, Session, Watchdog, parse
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.recording.samples import STEADY, WARMUP, Recorder
from tasks.load.schedule import Phase, Schedule, arrivals
from tasks.load.trust.guard import Guard, Pulse
from tasks.load.trust.trust import Vitals

CONNECTIONS = 2
"""Sessions that the reads share; a third belongs to the collector."""

LEAD_S = 0.3
"""Time between the connections and the first read."""

OK, SQL_ERROR = 200, 500
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Plan:
    """What to read, how often, for how long; `statements` are pairs of name and SQL."""

    server: Server
    statements: Sequence[tuple[str, str]]
    values: Mapping[str, ValueRange]
    rate: float
    duration_s: float
    timeout_ms: int
    limits: Mapping[str, float]
    seed: int = 0

    @classmethod
    def from_json(cls, plan: Mapping[str, Any]) -> Plan:
        """The plan as the collector sends it."""
        return cls(
            server=parse(plan["url"], plan["variable"]),
            statements=[(name, sql) for name, sql in plan["statements"]],
            values={name: ValueRange.model_validate(value) for name, value in plan["values"].items()},
            rate=plan["rate"],
            duration_s=plan["duration_s"],
            timeout_ms=plan["timeout_ms"],
            limits=plan["limits"],
            seed=plan["seed"],
        )


def draw(values: Mapping[str, ValueRange], generator: random.Random) -> dict[str, str]:
    """One value of each range: n = first + span · u^hot for uniform u."""
    drawn = {}
    for name, given in values.items():
        span = given.last - given.first + 1
        drawn[name] = given.value(given.first + min(span - 1, int(span * generator.random() ** given.hot)))
    return drawn


def schedule(rate: float, duration_s: float) -> Schedule:
    """Evenly spaced reads; those of the first tenth (a second at most) are warm-up."""
    warmup = min(1.0, duration_s / 10)
    phases = [Phase(WARMUP, rate, rate, warmup), Phase(STEADY, rate, rate, duration_s - warmup)]
    return arrivals(phases, jitter="none")


class Reads:
    """The reads of one plan: threads that share a schedule, one session each."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.recorder = Recorder([name for name, _ in plan.statements], [WARMUP, STEADY])
        self.messages: Counter[str] = Counter()
        self.stopped = ""
        self.late_ns = array("q")
        self.queued_s: float | None = 0.0
        self._lock = threading.Lock()
        self._next = 0
        self._guard = Guard.from_plan(plan.limits)
        self._latest: deque[float] = deque(maxlen=500)
        self._second: list[tuple[float, bool]] = []
        self._failed = 0
        self._watchdog = Watchdog()
        generator = random.Random(plan.seed)  # noqa: S311 - a load plan, not a secret
        self.schedule = schedule(plan.rate, plan.duration_s)
        self._work = [
            (generator.randrange(len(plan.statements)), draw(plan.values, generator))
            for _ in range(len(self.schedule))
        ]
        self.sessions: list[Session | None] = [self._session() for _ in range(CONNECTIONS)]
        self.start_ns = 0

    def _session(self) -> Session:
        return Session(self.plan.server, self._watchdog, timeout_ms=self.plan.timeout_ms)

    def run(self, tell: Progress) -> None:
        """Tell that the sessions are open, send every read at its moment, tell progress each second, close."""
        tell(self._progress())
        self.start_ns = time.monotonic_ns() + int(LEAD_S * _SECOND)
        threads = [threading.Thread(target=self._serve, args=(lane,)) for lane in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for second in itertools.count(1):
            _join_until(threads, self.start_ns / _SECOND + second)
            if not any(thread.is_alive() for thread in threads):
                break
            self._pulse(second)
            tell(self._progress())
        for session in self.sessions:
            if session is not None:
                session.close()
        self._watchdog.close()

    def _pulse(self, second: int) -> None:
        """Hold the last second against the limits."""
        with self._lock:
            ended, self._second = self._second, []
        fine = [latency for latency, bad in ended if not bad]
        p95 = float(np.percentile(fine, 95, method="inverted_cdf")) if fine else None
        bad = len(ended) - len(fine)
        self._guard.watch(Pulse(at_s=second, ended=len(ended), bad=bad, p95_ms=p95, waiting_ms=0.0))
        self.stopped = self._guard.reason or ""

    def _progress(self) -> dict[str, Any]:
        with self._lock:
            latest, sent, failed = list(self._latest), len(self.recorder), self._failed
        p95 = float(np.percentile(latest, 95, method="inverted_cdf")) if latest else None
        elapsed = max(0.0, (time.monotonic_ns() - self.start_ns) / _SECOND) if self.start_ns else 0.0
        return {"elapsed_s": elapsed, "sent": sent, "p95_ms": p95, "failed": failed}

    def _take(self) -> int | None:
        """The next read; none after the end, nor where the window has been over for longer than one time-out.

        What is left then stays unsent: a target that hangs does not prolong the load.
        """
        over_ns = self.start_ns + self.schedule.duration_ns + self.plan.timeout_ms * 1_000_000
        with self._lock:
            if self.stopped or self._next >= len(self.schedule) or time.monotonic_ns() > over_ns:
                return None
            self._next += 1
            return self._next - 1

    def _serve(self, lane: int) -> None:
        """One lane: take the next read, wait for its moment, read, record."""
        queued, free_ns = _queued_s(), time.monotonic_ns()
        while (number := self._take()) is not None:
            intended = self.start_ns + int(self.schedule.offsets_ns[number])
            wait = (intended - time.monotonic_ns()) / _SECOND
            if wait > 0:
                time.sleep(wait)
            woken = time.monotonic_ns()
            # A lane that was busy at the moment is a wait for a connection (taken → sent), not a late generator.
            taken = max(intended, min(woken, intended if free_ns > intended else woken))
            self._read(lane, number, (intended, taken))
            free_ns = time.monotonic_ns()
        waited = _queued_s()
        with self._lock:
            if queued is None or waited is None or self.queued_s is None:
                self.queued_s = None
            else:
                self.queued_s += waited - queued

    def _read(self, lane: int, number: int, moments: tuple[int, int]) -> None:
        statement, values = self._work[number]
        sent = time.monotonic_ns()
        status = OK
        error: str | None = None
        try:
            session = self.sessions[lane]
            if session is None or not session.alive:
                session = self.sessions[lane] = self._again(session)
            session.query(self.plan.statements[statement][1], values)
        except QueryError as problem:
            status, error = (SQL_ERROR, None) if problem.kind == "refused" else (0, problem.kind)
            self._remember(self.plan.statements[statement][0], problem)
        except NotMeasuredError as problem:
            status, error = 0, "connect"
            self._remember("connection", problem)
            self.sessions[lane] = None
        received = time.monotonic_ns()
        self._record((*moments, sent, received), statement, number, status=status, error=error)

    def _again(self, session: Session | None) -> Session:
        if session is not None:
            session.close()
        return self._session()

    def _remember(self, where: str, problem: Exception) -> None:
        with self._lock:
            self.messages[f"{where}: {problem}"] += 1

    def _record(
        self, times: tuple[int, int, int, int], statement: int, number: int, *, status: int, error: str | None
    ) -> None:
        failed = status == SQL_ERROR
        latency = (times[3] - times[0]) / 1e6
        with self._lock:
            self.recorder.add(
                times, statement, int(self.schedule.phase[number]), status=status, error=error, failed=failed
            )
            self.late_ns.append(times[1] - times[0])
            self._latest.append(latency)
            bad = failed or error is not None
            self._second.append((latency, bad))
            self._failed += bad


def _join_until(threads: Sequence[threading.Thread], moment: float) -> None:
    """Wait for the threads until a moment of the monotonic clock."""
    for thread in threads:
        thread.join(max(0.0, moment - time.monotonic()))


def work(plan_json: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run the reads of a plan; the samples, and what the generator saw of itself."""
    plan = Plan.from_json(plan_json)
    clock = current_clock()
    reads = Reads(plan)
    reads.recorder.keep(clock)
    cpu, began = time.process_time(), time.monotonic()
    reads.run(tell)
    elapsed = time.monotonic() - began
    late = np.frombuffer(reads.late_ns, np.int64) if len(reads.late_ns) else np.zeros(1, np.int64)
    vitals = Vitals(
        due=len(reads.recorder) if reads.stopped else len(reads.schedule),
        sent=len(reads.recorder),
        late_p99_ms=float(np.percentile(late, 99, method="inverted_cdf")) / 1e6,
        cpu_share=(time.process_time() - cpu) / elapsed,
        run_queue_share=None if reads.queued_s is None else reads.queued_s / elapsed,
    )
    facts = {
        "planned": len(reads.schedule),
        "vitals": asdict(vitals),
        "stopped": reads.stopped,
        "messages": dict(reads.messages.most_common(10)),
        "pooled": any(session.pooled for session in reads.sessions if session is not None),
    }
    return WorkerOutput(tables={"samples": reads.recorder.table(clock)}, facts=facts)


def _queued_s() -> float | None:
    """Seconds that this thread could have run but did not (Linux); None where the system does not tell."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as stream:  # noqa: PTH123 - not a file of ours
            return int(stream.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


if __name__ == "__main__":
    serve(work)
