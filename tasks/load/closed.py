"""What stands beside the figures of a closed model: what they are not, and stalls of the target that they hide. Pure.

In a closed model a user waits for its answer before it asks again. While the target stands still it is asked less, so
that its percentiles look better than callers would find them (coordinated omission).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from storage.records import Measurement, Unit
from tasks.load.recording.samples import column, latency_ms, percentile

CLOSED = (
    "closed model: a user waits for its answers, so that a target which stands still is asked less and its "
    "percentiles look better than callers would find them (coordinated omission)"
)
"""The whole note."""

SHORT = "closed model, not what callers of an open one would find (coordinated omission)"
"""The note of one figure."""

SOURCE = "HTTP load, closed model, latency from the moment at which its user was free to ask"
"""Where latencies of a closed model come from."""

_STALL_MS = 100.0
_STALL_TIMES = 20.0


@dataclass(frozen=True)
class Stall:
    """The longest time in which requests waited and no answer came at all, ms.

    `hidden` is how many requests an open model at the rate of the rest would have sent meanwhile; None where there
    was no rest.
    """

    longest_ms: float
    hidden: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def told(self) -> str:
        """In one line."""
        more = "" if self.hidden is None else f", in which about {self.hidden:,.0f} requests are missing"
        return f"the target gave no answer at all for {self.longest_ms:,.0f} ms{more}"


def stall_of(rows: pa.Table) -> Stall | None:
    """The stall that some rows of samples show; None where the longest one is short.

    Short is 100 ms or less, or 20 times the median latency or less. A time in which nobody waited for an answer, such
    as that of a pace or of thinking, is none.
    """
    median = percentile(latency_ms(rows), 0.5)
    if rows.num_rows < 3 or median is None:  # noqa: PLR2004 - two gaps are the least to compare
        return None
    received, sent = column(rows, "received_ns"), column(rows, "sent_ns")
    order = np.argsort(received)
    received = received[order]
    # the earliest sending among the requests that had not ended when answer k came, k itself among them
    waiting_since = np.minimum.accumulate(sent[order][::-1])[::-1]
    gaps_ms = (received[1:] - np.maximum(received[:-1], waiting_since[1:])) / 1e6
    longest = float(gaps_ms.max())
    if longest <= max(_STALL_MS, _STALL_TIMES * median):
        return None
    rest_ms = (received[-1] - received[0]) / 1e6 - longest
    return Stall(longest, longest * len(received) / rest_ms if rest_ms > 0 else None)


def marked(measurements: Sequence[Measurement], stall: Stall | None) -> list[Measurement]:
    """Figures of a closed model, those of time marked as such; `stall` is said beside those of the whole load."""
    return [_marked(one, stall) if one.unit is Unit.MS else one for one in measurements]


def _marked(one: Measurement, stall: Stall | None) -> Measurement:
    stalled = stall.told() if stall is not None and not one.labels else ""
    source = SOURCE if "open model" in one.source else one.source
    return one.model_copy(update={"source": source, "note": "; ".join(filter(None, (SHORT, stalled, one.note)))})
