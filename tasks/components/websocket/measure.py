"""WebSocket samples → measurements. Pure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from deployments.config import RunConfig
from storage.records import LoadSummary, Measurement, Unit, Window
from tasks.components.base import Samples
from tasks.load.measured import percentile_of, trust_note
from tasks.load.samples import (
    STEADY,
    answered,
    counts,
    endpoints,
    latency_ms,
    of_endpoint,
    of_phase,
)

METRICS = frozenset(
    {
        "websocket.latency.p50",
        "websocket.latency.p95",
        "websocket.latency.p99",
        "websocket.connects.ratio",
        "websocket.connect.p95",
        "websocket.drops.count",
        "websocket.messages.throughput",
        "websocket.errors.ratio",
    }
)
"""What `measurements` always answers without labels."""

_LATENCY = "client: answers matched by sequence id, from the intended moment, steady phase"
_CONNECT = "client: from the intended moment to the end of the handshake"
_ATTEMPTS = "client: attempts to connect, reconnects included"


def measurements(samples: Samples, config: RunConfig) -> list[Measurement]:
    """Every metric of `METRICS`, and latency by type of message."""
    del config
    messages, connections = samples.tables["samples"], samples.tables["connections"]
    window, note = samples.collected.window, trust_note(samples.collected.load)
    steady = of_phase(messages, STEADY)
    rows = [*_latencies(steady, window, note, {}), *_connects(connections, window, note)]
    for kind in endpoints(steady):
        rows += _latencies(of_endpoint(steady, kind), window, note, {"message": kind})
    rows.append(_throughput(steady, float(samples.collected.load_plan["steady_s"]), window, note))
    rows.append(_errors(messages, samples.collected.load, window, note))
    return rows


def _latencies(rows: pa.Table, window: Window, note: str, labels: dict[str, str]) -> list[Measurement]:
    values = latency_ms(rows)
    return [
        percentile_of(
            f"websocket.latency.p{round(100 * q)}",
            values,
            q,
            source=_LATENCY,
            window=window,
            labels=labels,
            note=note,
            why_none=_why(rows),
        )
        for q in (0.5, 0.95, 0.99)
    ]


def _why(rows: pa.Table) -> str:
    """Why there is no latency."""
    if rows.num_rows == 0:
        return "no data: no message was sent in the steady phase"
    return f"no data: none of {rows.num_rows} messages was answered"


def _connects(connections: pa.Table, window: Window, note: str) -> list[Measurement]:
    attempts = connections.num_rows
    times = connections.column("connect_ms").drop_null().to_numpy()
    opened = len(times)
    drops = pc.sum(connections.column("dropped")).as_py() or 0
    return [
        Measurement(
            metric="websocket.connects.ratio",
            value=opened / attempts if attempts else None,
            unit=Unit.RATIO,
            n=attempts,
            source=_ATTEMPTS,
            window=window,
            note="" if attempts else "no data: the load stopped before the first attempt to connect",
        ),
        percentile_of(
            "websocket.connect.p95",
            times,
            0.95,
            source=_CONNECT,
            window=window,
            note=note,
            why_none="no data: no connection was opened",
        ),
        Measurement(
            metric="websocket.drops.count",
            value=float(drops) if opened else None,
            unit=Unit.COUNT,
            n=opened,
            source="client: open connections that the peer or the network ended",
            window=window,
            note="" if opened else "no data: no connection was opened",
        ),
    ]


def _throughput(steady: pa.Table, seconds: float, window: Window, note: str) -> Measurement:
    number = int(answered(steady).sum())
    known = steady.num_rows > 0 and seconds > 0
    return Measurement(
        metric="websocket.messages.throughput",
        value=number / seconds if known else None,
        unit=Unit.PER_SECOND,
        n=steady.num_rows,
        source="client: answered messages a second, steady phase",
        window=window,
        note=note if known else _why(steady),
    )


def _errors(messages: pa.Table, load: LoadSummary | None, window: Window, note: str) -> Measurement:
    number = counts(messages)
    sent = number["sent"]
    unsent = f"{load.unsent} planned messages were never sent" if load is not None and load.unsent else ""
    return Measurement(
        metric="websocket.errors.ratio",
        value=(number["failed"] + number["errors"]) / sent if sent else None,
        unit=Unit.RATIO,
        n=sent,
        source="client: messages without the expected answer ÷ messages sent, all phases",
        window=window,
        note="; ".join(filter(None, (unsent, note))) if sent else "no data: no message was sent",
    )
