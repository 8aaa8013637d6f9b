"""WebSocket samples → measurements. Pure."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deployments.config import RunConfig
from storage.records import LoadSummary, Measurement, Unit, Window
from tasks.components.base import Samples
from tasks.components.websocket.storms import storms
from tasks.load.measured import percentile_of, trust_note
from tasks.load.recording.samples import (
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
        "websocket.handshake.p50",
        "websocket.handshake.p95",
        "websocket.handshake.p99",
        "websocket.drops.count",
        "websocket.messages.throughput",
        "websocket.errors.ratio",
    }
)
"""What `measurements` always answers without labels."""

_LATENCY = "client: answers matched by sequence id, from the intended moment, steady phase"
_CONNECT = "client: from the intended moment to the end of the handshake"
_HANDSHAKE = "client: from TCP (and TLS) to the end of the handshake; with polling, from the first request"
_ATTEMPTS = "client: attempts to connect, reconnects included"


def measurements(samples: Samples, config: RunConfig) -> list[Measurement]:
    """Every metric of `METRICS`, latency by message, closes by code; pushes and storms where there were any."""
    del config
    messages, connections = samples.tables["samples"], samples.tables["connections"]
    window, note = samples.collected.window, trust_note(samples.collected.load)
    steady = of_phase(messages, STEADY)
    rows = [*_latencies(steady, window, note, {}), *_connects(connections, window, note)]
    for kind in endpoints(steady):
        rows += _latencies(of_endpoint(steady, kind), window, note, {"message": kind})
    rows.append(_throughput(steady, float(samples.collected.load_plan["steady_s"]), window, note))
    rows.append(_errors(messages, samples.collected.load, window, note))
    rows += _closes(connections, window)
    rows += _recovery(connections, window)
    return rows + _pushes(samples, window)


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
        *_handshakes(connections, window, note),
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


def _handshakes(connections: pa.Table, window: Window, note: str) -> list[Measurement]:
    times = connections.column("handshake_ms").drop_null().to_numpy()
    return [
        percentile_of(
            f"websocket.handshake.p{round(100 * q)}",
            times,
            q,
            source=_HANDSHAKE,
            window=window,
            note=note,
            why_none="no data: no connection was opened",
        )
        for q in (0.5, 0.95, 0.99)
    ]


def _closes(connections: pa.Table, window: Window) -> list[Measurement]:
    """How many of the connections that had opened ended with which code."""
    rows = connections.filter(pc.is_valid(connections.column("opened_ns")))
    codes = Counter(rows.column("close_code").to_pylist())
    return [
        Measurement(
            metric="websocket.closes.count",
            value=float(number),
            unit=Unit.COUNT,
            n=rows.num_rows,
            source="client: close codes of RFC 6455 of connections that had opened; 1006 is no close frame",
            window=window,
            labels={"code": str(code)},
        )
        for code, number in sorted(codes.items())
    ]


def _recovery(connections: pa.Table, window: Window) -> list[Measurement]:
    """From the first drop of the worst storm until the last of its connections was back."""
    found = storms(connections)
    if not found:
        return []
    back = [storm.recovery_ms for storm in found if storm.recovery_ms is not None]
    lost = sum(storm.lost for storm in found)
    return [
        Measurement(
            metric="websocket.recovery.max",
            value=max(back) if back and not lost else None,
            unit=Unit.MS,
            n=sum(storm.dropped for storm in found),
            source="client: from the first of many drops at once to the last of these connections open again",
            window=window,
            note=f"{lost} connections never came back" if lost else "",
        )
    ]


def _pushes(samples: Samples, window: Window) -> list[Measurement]:
    """Pushes a second, and how many numbers are missing in them; nothing where no push came."""
    table = samples.tables.get("pushes")
    if table is None or table.num_rows == 0:
        return []
    received = table.column("received_ns").to_numpy()
    seconds = max((samples.collected.window.end - samples.collected.window.start).total_seconds(), 1e-3)
    rows = [
        Measurement(
            metric="websocket.pushes.throughput",
            value=len(received) / seconds,
            unit=Unit.PER_SECOND,
            n=len(received),
            source="client: messages of the server that answer none, a second of the whole load",
            window=window,
        )
    ]
    missing, numbered = missing_pushes(table)
    if numbered:
        rows.append(
            Measurement(
                metric="websocket.pushes.missing",
                value=float(missing),
                unit=Unit.COUNT,
                n=numbered,
                source="client: gaps in `seq`, by connection and kind of push",
                window=window,
            )
        )
    return rows


def missing_pushes(table: pa.Table) -> tuple[int, int]:
    """How many numbers are missing between the first and the last push of each kind on each connection; of how many.

    A reconnect begins anew: what was pushed while a connection was down is not counted.
    """
    numbered = table.filter(pc.is_valid(table.column("sequence")))
    if numbered.num_rows == 0:
        return 0, 0
    grouped = numbered.set_column(
        numbered.schema.get_field_index("kind"), "kind", numbered.column("kind").cast(pa.string())
    ).group_by(["connection", "attempt", "kind"])
    each = grouped.aggregate([("sequence", "min"), ("sequence", "max"), ("sequence", "count_distinct")])
    low, high, distinct = (
        each.column(name).to_numpy() for name in ("sequence_min", "sequence_max", "sequence_count_distinct")
    )
    return int(np.sum(high - low + 1 - distinct)), numbered.num_rows


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
