"""What a WebSocket load does, as its worker is told, and the table in which it records connections. Pure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from deployments.config import ValueRange
from tasks.load.recording.samples import RAMP, STEADY

SETUP, STORM = "setup", "storm"
"""Phases of the messages that a connection sends once, when it opens, and of those that fall into a planned storm."""

ANSWERS = {
    "ping": "pong",
    "track_order": "order_status_update",
    "subscribe": "subscribed",
    "authenticate": "connection_status",
}
"""Type of the expected answer by type of message; any other answer counts as failed."""

_GOLDEN = (math.sqrt(5) - 1) / 2

_CONNECTIONS: dict[str, pa.DataType] = {
    "connection": pa.int32(),
    "attempt": pa.int32(),
    "intended_ns": pa.int64(),
    "started_ns": pa.int64(),
    "opened_ns": pa.int64(),
    "closed_ns": pa.int64(),
    "connected_ns": pa.int64(),
    "connect_ms": pa.float64(),
    "handshake_ms": pa.float64(),
    "ended_by": pa.string(),
    "close_code": pa.int32(),
    "status": pa.int32(),
    "dropped": pa.bool_(),
    "error": pa.string(),
    "reason": pa.string(),
}
CONNECTIONS = pa.schema(_CONNECTIONS)
"""Schema of the table `connections`, one row per attempt to connect; times are UTC epoch ns.

`attempt` 1, then one more per reconnect · `connected_ns` TCP (and TLS) stood; null where it never did, and with
polling · `opened_ns`, `connect_ms`, `handshake_ms` null where it never opened; `connect_ms` from the intended moment
to the end of the handshake, `handshake_ms` its part after `connected_ns` (after `started_ns` where that is null) ·
`ended_by` client, storm (the plan dropped it), peer, lost or handshake (it never opened) · `close_code` of RFC 6455,
1006 without a close frame · `status` HTTP status of a refused handshake, else 0 · `dropped` it was open and the peer
or the network ended it · `error` one of `samples.ERRORS`, null in good order · `reason` the server's own word for it.
"""

PUSHES = pa.schema(
    [
        pa.field("connection", pa.int32(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("kind", pa.dictionary(pa.int16(), pa.string()), nullable=False),
        pa.field("sequence", pa.int64()),
        pa.field("received_ns", pa.int64(), nullable=False, metadata={"stored": "us", "after": ""}),
        pa.field("seen_ns", pa.int64(), nullable=False, metadata={"stored": "us", "after": "received_ns"}),
        pa.field("bytes", pa.int32(), nullable=False),
    ]
)
"""Schema of the table `pushes`: one row per message that answers none of ours; times are UTC epoch ns.

Stored, times are whole microseconds. `kind` its type or event · `sequence` its member `seq`, null where it has none:
numbers that are missing between the first and the last of one kind on one connection are pushes that were lost.
"""


class WebsocketPlan(BaseModel):
    """The plan of one WebSocket load; `url` may hold a secret: the plan goes by the worker's standard input alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr
    protocol: Literal["websocket", "socketio"] = "websocket"
    transport: Literal["websocket", "polling", "upgrade"] = "upgrade"
    namespace: str = "/"
    connections: int = Field(ge=1)
    pace_s: float = Field(gt=0)
    ramp_up_s: float = Field(ge=0)
    duration_s: float = Field(gt=0)
    channel: str = Field(description="what a connection subscribes to when it opens; empty for nothing")
    orders: ValueRange
    orders_a_connection: int = Field(default=4, ge=1)
    track_share: float = Field(default=0.2, ge=0, le=1)
    timeout_s: float = Field(gt=0)
    backoff_s: float = Field(default=0.5, gt=0, description="before the first reconnect after a drop")
    backoff_factor: float = Field(default=2, ge=1, description="longer after each reconnect that failed")
    backoff_limit_s: float = Field(default=10, gt=0)
    backoff_jitter: float = Field(default=0.5, ge=0, le=1, description="share by which it is shortened or prolonged")
    reconnects: int = Field(default=10, ge=0, description="per connection")
    storm_at_s: float | None = Field(default=None, ge=0, description="when the plan drops every connection at once")
    storm_s: float = Field(default=10, gt=0, description="messages due so long after it are a phase of their own")
    seed: int = 1
    error_ratio: float
    latency_ms: float
    after_s: float

    def to_json(self) -> dict[str, Any]:
        """As it is written to the worker's standard input, the URL in clear."""
        return self.model_dump(mode="json") | {"url": self.url.get_secret_value()}

    @property
    def rate(self) -> float:
        """Messages a second of the steady phase."""
        return self.connections / self.pace_s

    def backoff_ns(self, connection: int, attempt: int, failures: int) -> int:
        """The wait before attempt number `attempt`, after so many that failed in a row; the same at each run."""
        wait_s = min(self.backoff_limit_s, self.backoff_s * self.backoff_factor**failures)
        rng = random.Random(f"{self.seed}/{connection}/{attempt}")  # noqa: S311 - a load plan, not a secret
        return round(wait_s * rng.uniform(1 - self.backoff_jitter, 1 + self.backoff_jitter) * 1e9)

    @property
    def steady_apart_s(self) -> float:
        """How much of the time after the ramp belongs to the planned storm."""
        if self.storm_at_s is None:
            return 0.0
        start = max(self.ramp_up_s, self.storm_at_s)
        return max(0.0, min(self.duration_s, self.storm_at_s + self.storm_s) - start)

    @property
    def deadline_s(self) -> float:
        """The total time that the worker may take."""
        return self.duration_s + 3 * self.timeout_s + 15


@dataclass(frozen=True)
class Timetable:
    """When connections open and messages are due: offsets from the start in ns; `phase` is a place in `PHASES`."""

    opens_ns: NDArray[np.int64]
    moments_ns: NDArray[np.int64]
    connection: NDArray[np.int64]
    phase: NDArray[np.int64]

    @property
    def steady(self) -> NDArray[np.bool_]:
        """Which messages belong to the steady phase."""
        marks: NDArray[np.bool_] = self.phase == PHASES.index(STEADY)
        return marks


def timetable(plan: WebsocketPlan) -> Timetable:
    """Connections open evenly over the ramp; each sends one message per pace from half a pace after its opening.

    A connection's place within the pace follows the golden ratio, so that messages of many connections spread
    evenly instead of coming in bursts.
    """
    numbers = np.arange(plan.connections)
    opens = numbers * plan.ramp_up_s / plan.connections
    places = opens + plan.pace_s * (0.5 + (numbers * _GOLDEN) % 1)
    steps = np.arange(math.ceil(plan.duration_s / plan.pace_s) + 1) * plan.pace_s
    moments = (places[:, None] + steps[None, :]).ravel()
    owner = np.repeat(numbers, len(steps))
    order = np.argsort(moments, kind="stable")
    moments, owner = moments[order], owner[order]
    within = moments < plan.duration_s
    moments, owner = moments[within], owner[within]
    return Timetable(
        opens_ns=np.rint(opens * 1e9).astype(np.int64),
        moments_ns=np.rint(moments * 1e9).astype(np.int64),
        connection=owner.astype(np.int64),
        phase=_phases(plan, moments),
    )


def _phases(plan: WebsocketPlan, moments: NDArray[np.float64]) -> NDArray[np.int64]:
    phase = np.where(moments >= plan.ramp_up_s, PHASES.index(STEADY), PHASES.index(RAMP))
    if plan.storm_at_s is not None:
        within = (moments >= plan.storm_at_s) & (moments < plan.storm_at_s + plan.storm_s)
        phase = np.where(within, PHASES.index(STORM), phase)
    return phase.astype(np.int64)


PHASES = (SETUP, RAMP, STEADY, STORM)
"""Phases in the order in which samples refer to them."""
