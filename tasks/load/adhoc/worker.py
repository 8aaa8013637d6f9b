"""The process of a closed load: `python -m tasks.load.adhoc.worker`, a plan in, samples and facts out.

The plan is what `tasks.load.adhoc.adhoc` writes. A row's `intended_ns`, `taken_ns` and `sent_ns` are one: a closed
loop has no intention but the answer before.
"""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from storage.clock import Clock, current_clock
from tasks.load.adhoc.closed import ERROR_SHIFT, FAILED_BIT, SIZE_SHIFT, ClosedLoop, Pulse
from tasks.load.mix import Request
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.recording import journal
from tasks.load.recording.samples import ERRORS, RAMP, SCHEMA, STEADY, Ints
from tasks.load.trust.trust import Resources
from tasks.load.wire.address import parse, probe
from tasks.load.wire.http import HeadScanner, Scanner
from tasks.load.wire.wire import Place

_STATUS_MASK = FAILED_BIT - 1
_FAILING, _FAILING_S = 0.5, 5
"""A load of which more than this share fails for so many seconds ends, as the open one does by default."""
_ERROR_MASK = (1 << (SIZE_SHIFT - ERROR_SHIFT)) - 1


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run a plan on the fastest event loop that is there."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(plan, tell))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    address = parse(plan["url"], variable="the URL")
    request = Request(plan["endpoint"], {}, address, plan["headers"])
    found = await asyncio.to_thread(probe, address)
    context = _context() if address.tls else None
    place = Place(found.ip, address.port, context, address.host if context else None)
    clock = current_clock()
    began = time.monotonic()
    bad = failing_s = 0

    def on_second(pulse: Pulse) -> None:
        nonlocal bad, failing_s
        second = _Columns.of(loop, pulse.first)
        now_bad = int(second.bad.sum())
        bad += now_bad
        failing_s = failing_s + 1 if now_bad > _FAILING * pulse.ended else 0
        if failing_s >= _FAILING_S:
            loop.stop(f"stopped after {failing_s} s with more than {_FAILING:.0%} of requests failing")
        tell(
            {
                "elapsed_s": time.monotonic() - began,
                "rate": pulse.ended,
                "failed": bad,
                "stage": STEADY,
                **second.live(),
            }
        )

    loop = ClosedLoop(
        place,
        request.render(random.Random(plan["seed"])),  # noqa: S311 - a load plan, not a secret
        connections=plan["connections"],
        timeout_s=plan["timeout_s"],
        expect=request.expect,
        scanner=HeadScanner if request.head_only else Scanner,
        on_second=on_second,
    )
    book = _Book(loop, request.name, plan, clock)
    gc.collect()
    gc.freeze()
    before = Resources.read()
    start, end = await loop.run(plan["duration_s"], ramp_up_s=plan["ramp_up_s"])
    used = Resources.read().since(before)
    return WorkerOutput({"samples": book.table()}, _facts(loop, plan, clock, (start, end), used))


def _facts(
    loop: ClosedLoop, plan: Mapping[str, Any], clock: Clock, window: tuple[int, int], used: Resources
) -> dict[str, Any]:
    return {
        "planned": len(loop.codes),  # a closed loop plans nothing: what it sent is all there was
        "runs": [
            {
                "worker": plan["worker"],
                "phases": [RAMP, STEADY] if plan["ramp_up_s"] else [STEADY],
                "start_ns": window[0] + clock.offset_ns,
                "end_ns": window[1] + clock.offset_ns,
                **used.to_json(),
            }
        ],
        "stopped": loop.stopped,
        "connects": loop.connects,
        "ends": list(loop.ends),
        "stamps": loop.wire.stamps,
    }


class _Book:
    """The rows of a loop as a table, and meanwhile in the journal that the owner may have given to this process."""

    def __init__(self, loop: ClosedLoop, name: str, plan: Mapping[str, Any], clock: Clock) -> None:
        self._loop, self._name, self._clock = loop, name, clock
        self._worker = int(plan["worker"])
        self._ramp_ns = round(plan["ramp_up_s"] * 1e9)
        self._written = 0
        self._lock = threading.Lock()
        self._journal = journal.begin(SCHEMA, self._flush)

    def table(self) -> pa.Table:
        """Every row."""
        if self._journal is not None:
            self._journal.close()
        return self._from(0)

    def _from(self, first: int) -> pa.Table:
        ramp_end = self._loop.started_ns + self._ramp_ns
        return _Columns.of(self._loop, first).table(self._name, self._worker, ramp_end, self._clock)

    def _flush(self) -> None:
        with self._lock:
            if self._journal is None or self._journal.closed:
                return
            rows = self._from(self._written)
            if rows.num_rows:
                self._written += rows.num_rows
                self._journal.append(rows.combine_chunks().to_batches()[0])


class _Columns:
    """The rows of a loop as columns; `bad` are those without the expected answer."""

    def __init__(self, sent: Ints, received: Ints, codes: Ints) -> None:
        self.sent, self.received = sent, received
        self.status = codes & _STATUS_MASK
        self.failed = (codes & FAILED_BIT) != 0
        self.error = (codes >> ERROR_SHIFT & _ERROR_MASK) - 1
        self.size = codes >> SIZE_SHIFT
        self.bad = self.failed | (self.error >= 0)

    @classmethod
    def of(cls, loop: ClosedLoop, first: int = 0) -> _Columns:
        """Copies of the whole rows from number `first` on: the arrays must be free to grow."""
        end = len(loop.codes)  # what is appended last
        return cls(*(np.array(one[first:end], np.int64) for one in (loop.sent_ns, loop.received_ns, loop.codes)))

    def live(self) -> dict[str, float | None]:
        """Latencies of the answered, for the live view."""
        latency = np.sort((self.received - self.sent)[self.error < 0]) / 1e6
        if not len(latency):
            return {"p50_ms": None, "p95_ms": None}
        return {f"p{q}_ms": float(latency[min(len(latency) - 1, len(latency) * q // 100)]) for q in (50, 95)}

    def table(self, name: str, worker: int, ramp_end_ns: int, clock: Clock) -> pa.Table:
        """A table of `SCHEMA`; what was sent during the ramp is of that phase."""
        sent, received = pa.array(self.sent + clock.offset_ns), pa.array(self.received + clock.offset_ns)
        n = len(self.sent)
        columns: list[pa.Array[Any]] = [
            *(sent, sent, sent, received, received),
            _encoded(np.zeros(n, np.int64), [name]),
            _encoded((self.sent >= ramp_end_ns).astype(np.int64), [RAMP, STEADY]),
            pa.array(self.status.astype(np.int16)),
            _encoded(self.error, ERRORS),
            pa.array(self.failed),
            pa.array(self.size),
            pa.array(np.ones(n, np.int32)),
            pa.array(np.full(n, worker, np.int16)),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


def _encoded(codes: Ints, names: Sequence[str]) -> pa.Array[Any]:
    """A dictionary column from codes; a negative code is null."""
    indices = cast("pa.Int16Array", pa.array(np.maximum(codes, 0).astype(np.int16), mask=codes < 0))
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def _context() -> ssl.SSLContext:
    """Verified TLS, by the system's authorities or those of SSL_CERT_FILE."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


if __name__ == "__main__":
    serve(work)
