"""Request samples: one row per request that was sent, and the figures that are computed from such rows.

Latency counts from the *intended* moment of the schedule, so that a stalled target cannot hide behind requests
that were not sent while it stalled (coordinated omission). Percentiles are exact and by nearest rank: the
smallest value that at least the share q of the sample does not exceed, so always a value that was observed
(Hyndman & Fan 1996, definition 1).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.records import LoadSummary, Trust, Window
from tasks.load.recording.recorder import ERRORS, SCHEMA, Ints, Recorder

__all__ = [
    "ERRORS",
    "RAMP",
    "SCHEMA",
    "STEADY",
    "WARMUP",
    "Floats",
    "Ints",
    "Mask",
    "Recorder",
    "answered",
    "column",
    "counts",
    "endpoints",
    "error_ratio",
    "errors_by_kind",
    "failed",
    "latency_ms",
    "of_endpoint",
    "of_phase",
    "per_second",
    "percentile",
    "percentile_interval",
    "phases",
    "sent_rate",
    "service_ms",
    "statuses",
    "summarise",
    "unexpected_by_kind",
    "window",
]

_SECOND = 1_000_000_000
STEADY = "steady"
RAMP = "ramp"
WARMUP = "warmup"

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


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


def unexpected_by_kind(table: pa.Table) -> dict[str, int]:
    """How many answers were not the expected ones, by what their status means, the most frequent first.

    `throttled` is 429, `unavailable` 503; `server_error`, `client_error` and `redirect` are the rest of 5xx, 4xx and
    3xx; `unexpected_answer` has a status that is good elsewhere, or a body that is not the expected one.
    """
    values, numbers = np.unique(column(table, "status")[failed(table)], return_counts=True)
    found: Counter[str] = Counter()
    for status, number in zip(values, numbers, strict=True):
        kind = _STATUS_KINDS.get(int(status)) or _CLASS_KINDS.get(int(status) // 100, "unexpected_answer")
        found[kind] += int(number)
    return dict(found.most_common())


_STATUS_KINDS = {429: "throttled", 503: "unavailable"}
_CLASS_KINDS = {3: "redirect", 4: "client_error", 5: "server_error"}


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
