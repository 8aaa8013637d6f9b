"""What a scenario leaves: a row per request, a row per journey and group, checks, exceptions by kind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from storage.clock import Clock
from tasks.load.client.client import Exchange
from tasks.load.recording.kept import Kept
from tasks.load.recording.samples import Recorder

START = "start"
"""The phase in which users start (`on_start`, such as a login), before the load."""

CHECKS = pa.schema(
    (
        ("scenario", pa.string()),
        ("name", pa.string()),
        ("passed", pa.int64()),
        ("failed", pa.int64()),
        ("worker", pa.int16()),
    )
)
"""Schema of the checks' table: how often each check of a scenario held."""

MOST_NAMES = 1000
"""So many different endpoints, checks and exceptions are told apart, each; further ones are counted together."""

OTHER = "(further names)"
_LONGEST = 200


@dataclass(slots=True)
class Journey:
    """One journey on its way, or a group of requests within it; times are monotonic ns.

    `failed` is set by a check that does not hold.
    """

    name: str
    phase: int
    intended: int
    started: int = field(default_factory=time.monotonic_ns)
    failed: bool = False
    recorded: bool = False


class Checks(Kept):
    """How often each check of a scenario held.

    In the journal stands what was added since the last time, so that its rows add up to what held until then.
    """

    def __init__(self, worker: int) -> None:
        super().__init__("checks", CHECKS)
        self._worker = worker
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._told: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, scenario: str, name: str, *, passed: bool) -> None:
        """Count a check."""
        key = (scenario, name)
        if key not in self._counts and len(self._counts) >= MOST_NAMES:
            key = (scenario, OTHER)
        self._counts.setdefault(key, [0, 0])[not passed] += 1

    def table(self) -> pa.Table:
        """One row for each check; ends the journal."""
        super().table()
        self._told.clear()
        return pa.Table.from_batches([self._fresh()], CHECKS)

    def _fresh(self) -> pa.RecordBatch:
        rows = []
        for key, (passed, failed) in list(self._counts.items()):
            before = self._told.get(key, (0, 0))
            if (passed, failed) != before:
                rows.append((*key, passed - before[0], failed - before[1], self._worker))
        columns = zip(*rows, strict=True) if rows else [()] * len(CHECKS)
        arrays = [pa.array(list(values), kind.type) for values, kind in zip(columns, CHECKS, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=CHECKS)

    def _forget(self, batch: pa.RecordBatch) -> None:
        for row in batch.to_pylist():
            key = (row["scenario"], row["name"])
            passed, failed = self._told.get(key, (0, 0))
            self._told[key] = (passed + row["passed"], failed + row["failed"])


class Records:
    """Collects all of it; `mask` takes secrets out of exceptions' texts, `files` are those of the scenario.

    Where `journeys` is false they are counted and have no rows, as journeys of one request, which has its own.
    """

    def __init__(
        self, worker: int, mask: Callable[[str], str] = str, files: Sequence[str] = (), *, journeys: bool = True
    ) -> None:
        self._worker = worker
        self._with_journeys = journeys
        self._mask = mask
        self._files = frozenset(files)
        self.requests = Recorder([], [], worker)
        self.journeys = Recorder([], [], worker)
        self.journeys.phases = self.requests.phases  # one list: a phase has one number
        self._endpoints: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self.checks = Checks(worker)
        self.exceptions: Counter[str] = Counter()
        self.ended = self.failed = 0

    def phase(self, name: str) -> int:
        """The number of a phase."""
        phases = self.requests.phases
        if name not in phases:
            phases.append(name)
        return phases.index(name)

    def request(self, exchange: Exchange, phase: int, *, failed: bool) -> None:
        """Record one exchange; `failed` is said of an answer that was not a good one."""
        self.requests.add(
            (exchange.intended, exchange.taken, exchange.sent or exchange.taken, exchange.received),
            _number(self._endpoints, self.requests, exchange.name),
            phase,
            status=exchange.status,
            error=exchange.error,
            failed=failed,
            size=exchange.size,
            seen=exchange.seen,
        )

    def journey(
        self, journey: Journey, *, error: str | None = None, broken: bool = False, whole: bool = True
    ) -> None:
        """Record a journey (`whole`) or a group that ends now, once; `broken` by an exception of the scenario's code.

        `items` is 1 where it came to its end, 0 where it was broken off: its time says nothing then.
        """
        if journey.recorded:
            return
        journey.recorded = True
        bad = broken or journey.failed
        if self._with_journeys:
            self.journeys.add(
                (journey.intended, journey.started, journey.started, time.monotonic_ns()),
                _number(self._names, self.journeys, journey.name),
                journey.phase,
                error=error,
                failed=bad and error is None,
                items=0 if broken or error is not None else 1,
            )
        if whole:
            self.ended += 1
            self.failed += bad or error is not None

    def check(self, scenario: str, name: str, *, passed: bool) -> None:
        """Count a check."""
        self.checks.add(scenario, name, passed=passed)

    def exception(self, error: BaseException) -> None:
        """Count an exception of a scenario by its type, the first line of its words, and the place in its file."""
        words = self._mask(str(error).strip().partition("\n")[0])[:_LONGEST]
        text = f"{type(error).__name__}: {words}" if words else type(error).__name__
        place = self._place(error)
        key = f"{text} ({place})" if place else text
        if key not in self.exceptions and len(self.exceptions) >= MOST_NAMES:
            key = f"{type(error).__name__} {OTHER}"
        self.exceptions[key] += 1

    def keep(self, clock: Clock) -> None:
        """From now on, move rows to journals; see `Recorder.keep`."""
        self.requests.keep(clock)
        if self._with_journeys:
            self.journeys.keep(clock, "journeys")
            self.checks.keep()

    def tables(self, clock: Clock) -> dict[str, pa.Table]:
        """`samples`, `journeys` and `checks`."""
        return {
            "samples": self.requests.table(clock),
            "journeys": self.journeys.table(clock),
            "checks": self.checks.table(),
        }

    def _place(self, error: BaseException) -> str:
        """The line of the scenario's own file in which it happened."""
        place, frame = "", error.__traceback__
        while frame is not None:
            name = frame.tb_frame.f_code.co_filename
            if name in self._files:
                place = f"{Path(name).name}:{frame.tb_lineno}"
            frame = frame.tb_next
        return place


def _number(known: dict[str, int], recorder: Recorder, name: str) -> int:
    number = known.get(name)
    if number is None:
        if len(known) >= MOST_NAMES and name != OTHER:
            return _number(known, recorder, OTHER)
        number = known[name] = len(recorder.endpoints)
        recorder.endpoints.append(name)
    return number
