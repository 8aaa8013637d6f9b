"""Request samples: one row per request that was sent, and the figures that are computed from such rows.

Latency counts from the *intended* moment of the schedule, so that a stalled target cannot hide behind requests
that were not sent while it stalled (coordinated omission). Percentiles are exact and by nearest rank: the
smallest value that at least the share q of the sample does not exceed, so always a value that was observed
(Hyndman & Fan 1996, definition 1).
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.records import LoadSummary, Trust, Window

_DICTIONARY = pa.dictionary(pa.int16(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("intended_ns", pa.int64(), nullable=False),
        pa.field("taken_ns", pa.int64(), nullable=False),
        pa.field("sent_ns", pa.int64(), nullable=False),
        pa.field("received_ns", pa.int64(), nullable=False),
        pa.field("seen_ns", pa.int64(), nullable=False),
        pa.field("endpoint", _DICTIONARY, nullable=False),
        pa.field("phase", _DICTIONARY, nullable=False),
        pa.field("status", pa.int16(), nullable=False),
        pa.field("error", _DICTIONARY),
        pa.field("failed", pa.bool_(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("items", pa.int32(), nullable=False),
        pa.field("worker", pa.int16(), nullable=False),
    ]
)
"""Schema of a samples table; times are UTC epoch nanoseconds by one mapping per worker, so differences are exact.

`intended_ns` schedule · `taken_ns` the generator took it up (its own lateness is taken − intended) · `sent_ns`
handed to the wire (sent − taken is the wait for a free connection; the attempt's start where no connection came
about) · `received_ns` the answer was whole, by the kernel's stamp where the wire has them, or the error was seen ·
`seen_ns` the generator came to know of it (seen − received is its event loop's lag) · `phase` warmup, ramp, steady,
`step:<n>`, bulk … · `status` 0 where there is none · `error` null where an answer came, else one of `ERRORS` ·
`failed` an answer came but was not the expected one · `bytes` of the answer · `items` 1, or how many a bulk request
carried · `worker` number of the process.
"""

ERRORS = (
    "dns",
    "connect",
    "tls",
    "timeout",
    "reset",
    "closed",
    "protocol",
    "too_large",
    "aborted",
)
"""Why a request got no answer: the closed set of `error`. `reset` is a torn connection, `closed` one that the
target closed in order before the answer was whole, `protocol` an answer that breaks its protocol, `aborted` one
that the generator gave up itself."""

_SECOND = 1_000_000_000
_TIMES = 5
STEADY = "steady"
RAMP = "ramp"
WARMUP = "warmup"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Clock:
    """The one mapping of a worker from its monotonic clock to UTC: utc_ns = monotonic_ns + offset_ns."""

    offset_ns: int

    @classmethod
    def read(cls, attempts: int = 9) -> Clock:
        """Read both clocks and keep the reading with the narrowest bracket, as clock synchronisation does."""
        best = (1 << 62, 0)
        for _ in range(attempts):
            before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
            best = min(best, (after - before, wall - (before + after) // 2))
        return cls(best[1])


class Recorder:
    """Collects rows while load runs, at a fraction of a microsecond a column; times are monotonic nanoseconds.

    `endpoints` and `phases` name what the rows refer to by number; phases may be appended while it records.
    """

    def __init__(self, endpoints: Sequence[str], phases: Sequence[str], worker: int = 0) -> None:
        self.endpoints = list(endpoints)
        self.phases = list(phases)
        self.worker = worker
        self._times = array("q")
        self._codes = array("q")

    def __len__(self) -> int:
        return len(self._times) // _TIMES

    def add(
        self,
        times: tuple[int, int, int, int],
        endpoint: int,
        phase: int,
        *,
        status: int = 0,
        error: str | None = None,
        failed: bool = False,
        size: int = 0,
        items: int = 1,
        seen: int = 0,
    ) -> None:
        """Record one request: times are (intended, taken, sent, received); `error` is one of `ERRORS` or None.

        `seen` is when the generator came to know of its end, where that is not when it was received.
        """
        self._times.extend(times)
        self._times.append(seen or times[3])
        code = -1 if error is None else ERRORS.index(error)
        self._codes.extend((endpoint, phase, status, code, failed, size, items))

    def rows_since(self, first: int) -> tuple[Ints, Ints]:
        """Copies of the rows from number `first` on, as times and codes.

        Times are (intended, taken, sent, received, seen) in monotonic ns; codes are (endpoint, phase, status, the
        error's place in `ERRORS` or −1, failed, bytes, items).
        """
        times = np.array(self._times[_TIMES * first :], np.int64).reshape(-1, _TIMES)
        return times, np.array(self._codes[7 * first :], np.int64).reshape(-1, 7)

    def table(self, clock: Clock) -> pa.Table:
        """All rows as a table of `SCHEMA`, in the order in which the requests ended."""
        times = np.frombuffer(self._times, np.int64).reshape(-1, _TIMES) + clock.offset_ns
        codes = np.frombuffer(self._codes, np.int64).reshape(-1, 7)
        columns = [
            *(pa.array(times[:, column]) for column in range(_TIMES)),
            _encoded(codes[:, 0], self.endpoints),
            _encoded(codes[:, 1], self.phases),
            pa.array(codes[:, 2].astype(np.int16)),
            _encoded(codes[:, 3], ERRORS),
            pa.array(codes[:, 4].astype(np.bool_)),
            pa.array(codes[:, 5]),
            pa.array(codes[:, 6].astype(np.int32)),
            pa.array(np.full(len(codes), self.worker, np.int16)),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


def _encoded(codes: Ints, names: Sequence[str]) -> pa.Array[Any]:
    """A dictionary column from codes; a negative code is null."""
    indices = cast("pa.Int16Array", pa.array(codes.astype(np.int16), mask=codes < 0))
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def column(table: pa.Table, name: str) -> Ints:
    """A numeric column of a samples table."""
    values: Ints = table.column(name).to_numpy().astype(np.int64)
    return values


def answered(table: pa.Table) -> Mask:
    """Which requests got an answer, whatever it said."""
    mask: Mask = pc.is_null(table.column("error")).to_numpy()
    return mask


def failed(table: pa.Table) -> Mask:
    """Which answers were not the expected ones."""
    mask: Mask = table.column("failed").to_numpy()
    return mask


def _decoded(table: pa.Table, name: str) -> tuple[Ints, list[str]]:
    """A dictionary column as codes (−1 for null) and the names that they refer to."""
    encoded = table.column(name).unify_dictionaries().combine_chunks()
    if not isinstance(encoded, pa.DictionaryArray):  # a reader may have decoded it
        encoded = encoded.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    return np.nan_to_num(codes, nan=-1).astype(np.int64), [str(name) for name in encoded.dictionary.to_pylist()]


def _matching(table: pa.Table, name: str, wanted: Sequence[str]) -> pa.Table:
    codes, names = _decoded(table, name)
    return table.filter(pa.array(np.isin(codes, [code for code, value in enumerate(names) if value in wanted])))


def of_phase(table: pa.Table, *phases: str) -> pa.Table:
    """The rows of some phases."""
    return _matching(table, "phase", phases)


def of_endpoint(table: pa.Table, endpoint: str) -> pa.Table:
    """The rows of one endpoint."""
    return _matching(table, "endpoint", (endpoint,))


def endpoints(table: pa.Table) -> list[str]:
    """Names of the endpoints that have rows, sorted."""
    return _present(table, "endpoint")


def phases(table: pa.Table) -> list[str]:
    """Names of the phases that have rows, sorted."""
    return _present(table, "phase")


def _present(table: pa.Table, name: str) -> list[str]:
    codes, names = _decoded(table, name)
    return sorted({names[code] for code in np.unique(codes) if code >= 0})


def latency_ms(table: pa.Table) -> Floats:
    """Latency of each answered request, from its intended moment to the whole answer, in ms, in the table's order."""
    latencies: Floats = (column(table, "received_ns") - column(table, "intended_ns"))[answered(table)] / 1e6
    return latencies


def service_ms(table: pa.Table) -> Floats:
    """Time from sending to the whole answer of each answered request, in ms: without the wait in the generator."""
    times: Floats = (column(table, "received_ns") - column(table, "sent_ns"))[answered(table)] / 1e6
    return times


def percentile(values: Floats, q: float) -> float | None:
    """The exact percentile by nearest rank, q in 0..1; None for no values."""
    if len(values) == 0:
        return None
    rank = _rank(len(values), q)
    return float(np.partition(values, rank - 1)[rank - 1])


def _rank(n: int, q: float) -> int:
    """Smallest k with k/n ≥ q, at least 1; the slack undoes binary rounding (0.95 · 20 = 19.000000000000004)."""
    return min(n, max(1, math.ceil(q * n - 1e-9)))


def percentile_interval(values: Floats, q: float, confidence: float = 0.95) -> tuple[float, float] | None:
    """Confidence interval of a percentile by order statistics; None where the sample is too small for one.

    The number of values below the true percentile is binomial(n, q), so [x(l), x(u)] covers it with probability
    F(u − 1) − F(l − 1) ≥ `confidence` (David & Nagaraja, Order Statistics, 7.1). It assumes independent values:
    neighbouring requests are not quite, so it is a lower bound of the uncertainty.
    """
    n = len(values)
    if n == 0:
        return None
    below = _binomial_cdf(n, q)
    tail = (1 - confidence) / 2
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    if low < 1 or high > n:
        return None
    ordered = np.partition(values, [low - 1, high - 1])
    return float(ordered[low - 1]), float(ordered[high - 1])


def _binomial_cdf(n: int, q: float) -> Floats:
    """P(B ≤ k) for k = 0 … n, B ~ binomial(n, q), 0 < q < 1, by logarithms of the ratio of neighbouring terms."""
    k = np.arange(1, n + 1, dtype=np.float64)
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - k + 1) / k) + math.log(q / (1 - q)))]) + n * math.log1p(-q)
    cumulated: Floats = np.minimum(np.cumsum(np.exp(logs)), 1.0)
    return cumulated


def counts(table: pa.Table) -> dict[str, int]:
    """How many requests were sent, answered, failed (an unexpected answer) and got no answer (errors)."""
    got = int(answered(table).sum())
    return {
        "sent": table.num_rows,
        "answered": got,
        "failed": int(failed(table).sum()),
        "errors": table.num_rows - got,
    }


def errors_by_kind(table: pa.Table) -> dict[str, int]:
    """How many requests got no answer, by kind, the most frequent first; kinds that did not occur are absent."""
    codes, names = _decoded(table, "error")
    kinds, numbers = np.unique(codes[codes >= 0], return_counts=True)
    found = {names[kind]: int(number) for kind, number in zip(kinds, numbers, strict=True)}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def statuses(table: pa.Table) -> dict[int, int]:
    """How many answers had which status, by status."""
    values, numbers = np.unique(column(table, "status")[answered(table)], return_counts=True)
    return {int(value): int(number) for value, number in zip(values, numbers, strict=True)}


def error_ratio(table: pa.Table) -> float | None:
    """(unexpected answers + requests without an answer) ÷ requests sent; None where nothing was sent."""
    number = counts(table)
    return (number["failed"] + number["errors"]) / number["sent"] if number["sent"] else None


def window(table: pa.Table) -> Window | None:
    """From the first intended moment to the last answer or error; None for no rows."""
    if table.num_rows == 0:
        return None
    start, end = int(column(table, "intended_ns").min()), int(column(table, "received_ns").max())
    return Window(start=_moment(start), end=_moment(max(start, end)))


def _moment(utc_ns: int) -> datetime:
    return datetime.fromtimestamp(utc_ns / 1e9, UTC)


def per_second(table: pa.Table) -> pa.Table:
    """Each second of the run by intended moment: sent, answered, failed, errors, p50_ms, p95_ms, p99_ms.

    `second_ns` is the UTC epoch in ns at which the second starts, counted from the first intended moment; a second
    without requests has no row, one without answers has null percentiles.
    """
    if table.num_rows == 0:
        return pa.table({name: pa.array([], kind) for name, kind in _PER_SECOND})
    intended = column(table, "intended_ns")
    start = int(intended.min())
    order = np.argsort(intended, kind="stable")
    seconds, firsts = np.unique((intended[order] - start) // _SECOND, return_index=True)
    latency = ((column(table, "received_ns") - intended) / 1e6)[order]
    got, bad = answered(table)[order], failed(table)[order]
    rows = []
    for second, of in zip(seconds, np.split(np.arange(len(order)), firsts[1:]), strict=True):
        values = latency[of][got[of]]
        sent, unexpected = len(of), int(bad[of].sum())
        figures = (percentile(values, q) for q in (0.5, 0.95, 0.99))
        rows.append((start + int(second) * _SECOND, sent, len(values), unexpected, sent - len(values), *figures))
    columns = zip(zip(*rows, strict=True), _PER_SECOND, strict=True)
    return pa.table({name: pa.array(values, kind) for values, (name, kind) in columns})


_PER_SECOND: tuple[tuple[str, pa.DataType], ...] = (
    ("second_ns", pa.int64()),
    ("sent", pa.int64()),
    ("answered", pa.int64()),
    ("failed", pa.int64()),
    ("errors", pa.int64()),
    ("p50_ms", pa.float64()),
    ("p95_ms", pa.float64()),
    ("p99_ms", pa.float64()),
)


def sent_rate(table: pa.Table, phases: str | Sequence[str], seconds: float) -> float:
    """Requests a second that were sent within phases of `seconds` in all, from their first intended moment on."""
    rows = of_phase(table, *((phases,) if isinstance(phases, str) else phases))
    if rows.num_rows == 0 or seconds <= 0:
        return 0.0
    start = int(column(rows, "intended_ns").min())
    return float((column(rows, "sent_ns") <= start + int(seconds * 1e9)).sum()) / seconds


def summarise(
    table: pa.Table,
    *,
    planned: int,
    target_rate: float,
    achieved_rate: float,
    trust: Trust,
    reasons: Sequence[str] = (),
    late_p99_ms: float | None = None,
) -> LoadSummary:
    """What was planned and what became of it; the record itself refuses numbers that do not add up.

    `planned` counts every request of the schedule, warm-up and probes too; what has no row was not sent.
    """
    number = counts(table)
    kinds: Mapping[str, int] = errors_by_kind(table)
    return LoadSummary(
        planned=planned,
        sent=number["sent"],
        unsent=planned - number["sent"],
        answered=number["answered"],
        failed=number["failed"],
        errors=kinds,
        target_rate=target_rate,
        achieved_rate=achieved_rate,
        trust=trust,
        reasons=tuple(reasons),
        late_p99_ms=late_p99_ms,
    )
