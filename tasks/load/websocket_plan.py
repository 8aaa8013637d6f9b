"""What a WebSocket load does, as its worker is told, and the table in which it records connections. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from deployments.config import ValueRange
from tasks.load.samples import RAMP, STEADY

SETUP = "setup"
"""Phase of the messages that a connection sends once, when it opens."""

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
    "connect_ms": pa.float64(),
    "ended_by": pa.string(),
    "close_code": pa.int32(),
    "status": pa.int32(),
    "dropped": pa.bool_(),
    "error": pa.string(),
}
CONNECTIONS = pa.schema(_CONNECTIONS)
"""Schema of the table `connections`, one row per attempt to connect; times are UTC epoch ns.

`attempt` 1, then one more per reconnect · `opened_ns`, `connect_ms` null where it never opened; `connect_ms` from the
intended moment to the end of the handshake · `ended_by` client, peer, lost or handshake (it never opened) ·
`close_code` of RFC 6455, 1006 without a close frame · `status` HTTP status of a refused handshake, else 0 ·
`dropped` it was open and the peer or the network ended it · `error` one of `samples.ERRORS`, null in good order.
"""


class WebsocketPlan(BaseModel):
    """The plan of one WebSocket load; `url` may hold a secret: the plan goes by the worker's standard input alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr
    connections: int = Field(ge=1)
    pace_s: float = Field(gt=0)
    ramp_up_s: float = Field(ge=0)
    duration_s: float = Field(gt=0)
    channel: str
    orders: ValueRange
    orders_a_connection: int = Field(default=4, ge=1)
    track_share: float = Field(default=0.2, ge=0, le=1)
    timeout_s: float = Field(gt=0)
    backoff_s: float = Field(default=0.5, gt=0)
    reconnects: int = Field(default=10, ge=0, description="per connection, one after each drop")
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

    @property
    def deadline_s(self) -> float:
        """The total time that the worker may take."""
        return self.duration_s + 3 * self.timeout_s + 15


@dataclass(frozen=True)
class Timetable:
    """When connections open and messages are due: offsets from the start in ns; `steady` marks the steady phase."""

    opens_ns: NDArray[np.int64]
    moments_ns: NDArray[np.int64]
    connection: NDArray[np.int64]
    steady: NDArray[np.bool_]


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
        steady=moments >= plan.ramp_up_s,
    )


PHASES = (SETUP, RAMP, STEADY)
"""Phases in the order in which samples refer to them."""
