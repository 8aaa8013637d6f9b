"""One step of a capacity search: did the target sustain this rate? Pure.

A step is sustained while p95 of the latency from the intended moment stays below its limit, errors do not pass
theirs, and at least 95 % of the offered rate is achieved. Achieved are the good answers that came before the step's
end plus the latency limit, per second of the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.load.recording.samples import percentile
from tasks.load.trust.trust import CPU_LIMIT, LATE_MS

ACHIEVED_SHARE = 0.95

_FIELDS: dict[str, pa.DataType] = {
    "number": pa.int32(),
    "attempt": pa.int32(),
    "rate": pa.float64(),
    "planned": pa.int64(),
    "sent": pa.int64(),
    "good": pa.int64(),
    "p95_ms": pa.float64(),
    "error_ratio": pa.float64(),
    "achieved": pa.float64(),
    "late_p95_ms": pa.float64(),
    "cpu_share": pa.float64(),
    "sustained": pa.bool_(),
    "generator_limited": pa.bool_(),
    "why": pa.string(),
    "start_ns": pa.int64(),
    "end_ns": pa.int64(),
}
SCHEMA = pa.schema(_FIELDS)
"""Schema of the steps of a search, the fields of `Step`; times are UTC epoch ns once a worker has reported them."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Limits:
    """What a sustained step must keep."""

    latency_ms: float
    error_ratio: float


@dataclass(frozen=True)
class Step:
    """What became of one step; `why` says what broke where it was not sustained.

    `generator_limited` tells that the generator used more than 70 % of a processor, or was late at p95 by more than
    a tenth of the latency's limit: a failed step then says nothing about the target.
    """

    number: int
    attempt: int
    rate: float
    planned: int
    sent: int
    good: int
    p95_ms: float | None
    error_ratio: float
    achieved: float
    late_p95_ms: float | None
    cpu_share: float
    sustained: bool
    generator_limited: bool
    why: str
    start_ns: int
    end_ns: int

    @property
    def phase(self) -> str:
        """The name of its samples' phase."""
        return phase_of(self.number, self.attempt)

    def to_json(self) -> dict[str, Any]:
        """As a worker reports it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{item.name: data[item.name] for item in fields(cls)})


def phase_of(number: int, attempt: int) -> str:
    """The phase's name of a step: `step:3`, or `step:3:again` for its one confirmation."""
    return f"step:{number}" if attempt == 1 else f"step:{number}:again"


def judge_step(
    times: Ints,
    codes: Ints,
    *,
    number: int,
    attempt: int,
    rate: float,
    planned: int,
    step_s: float,
    start_ns: int,
    limits: Limits,
    cpu_share: float,
    achieved: float | None = None,
) -> Step:
    """Judge a step by its rows (as `Recorder.rows_since` gives them); `start_ns` is monotonic, as the rows are.

    `achieved` is what was achieved of a rate that is not one of these rows, as that of journeys.
    """
    answered = codes[:, 3] < 0
    good = answered & (codes[:, 4] == 0)
    sent = len(times)
    end_ns = start_ns + round((step_s + limits.latency_ms / 1e3) * 1e9)
    p95 = percentile((times[:, 3] - times[:, 0])[answered] / 1e6, 0.95)
    late = percentile((times[:, 1] - times[:, 0]) / 1e6, 0.95)
    if achieved is None:
        achieved = float((good & (times[:, 3] <= end_ns)).sum()) / step_s
    ratio = 1 - float(good.sum()) / sent if sent else 1.0
    why = _why(p95, ratio, achieved, rate, limits)
    return Step(
        number=number,
        attempt=attempt,
        rate=rate,
        planned=planned,
        sent=sent,
        good=int(good.sum()),
        p95_ms=p95,
        error_ratio=ratio,
        achieved=achieved,
        late_p95_ms=late,
        cpu_share=cpu_share,
        sustained=not why,
        generator_limited=cpu_share > CPU_LIMIT or (late or 0.0) > max(LATE_MS, limits.latency_ms / 10),
        why=why,
        start_ns=start_ns,
        end_ns=int(times[:, 3].max()) if sent else start_ns,
    )


def _why(p95: float | None, ratio: float, achieved: float, rate: float, limits: Limits) -> str:
    broken = []
    if p95 is None:
        broken.append("no request was answered")
    elif p95 >= limits.latency_ms:
        broken.append(f"p95 was {p95:.0f} ms (limit {limits.latency_ms:.0f} ms)")
    if ratio > limits.error_ratio:
        broken.append(f"{ratio:.1%} failed (limit {limits.error_ratio:.1%})")
    if achieved < ACHIEVED_SHARE * rate:
        broken.append(f"{achieved:.0f}/s of {rate:.0f}/s were achieved (limit {ACHIEVED_SHARE:.0%})")
    return ", ".join(broken)


def steps_table(steps: Sequence[Step]) -> pa.Table:
    """Steps as rows of `SCHEMA`."""
    return pa.Table.from_pylist([step.to_json() for step in steps], schema=SCHEMA)


def steps_from(table: pa.Table) -> list[Step]:
    """The inverse of `steps_table`."""
    return [Step.from_json(row) for row in table.to_pylist()]


@dataclass(frozen=True)
class Capacity:
    """The outcome of a search: the highest sustained step, and the last step where that one broke.

    `ended` is `limit` (a step broke twice), `ceiling` (every rate was sustained), `time` (the budget was used up)
    or `stopped` (the guard).
    """

    ended: str
    best: Step | None
    broken: Step | None
    tried: int


def outcome(steps: list[Step], ended: str) -> Capacity:
    """The outcome of the steps of a search, in their order."""
    sustained = [step for step in steps if step.sustained]
    best = max(sustained, key=lambda step: step.rate, default=None)
    broken = steps[-1] if steps and not steps[-1].sustained else None
    return Capacity(ended=ended, best=best, broken=broken, tried=len(steps))
