"""What the api, websocket, cache and rfid components ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from deployments.config.values import ValueRange
from deployments.settings import Settings


class Endpoint(Settings):
    """One weighted request of the API's mix. `{name}` in path, query and body is drawn from `values`."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str = Field(pattern=r"^/")
    weight: float = Field(default=1.0, gt=0)
    query: Mapping[str, str] = Field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    expect: tuple[int, ...] = (200,)
    writes: bool = Field(default=False, description="changes data: left out where the environment forbids writes")

    @property
    def name(self) -> str:
        """How samples and findings call it: method and path template."""
        return f"{self.method} {self.path}"


class ApiSettings(Settings):
    """What the api component asks for.

    A header may hold `${NAME}`: the value of that variable takes its place when the load starts, so that a token
    stands in no file and in no parameter.
    """

    headers: Mapping[str, str] = Field(default_factory=dict)
    values: Mapping[str, ValueRange] = Field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = Field(min_length=1)
    timeout_s: float = Field(default=10, gt=0)


class WebsocketSettings(Settings):
    """What the websocket component does: connections that each send one message per pace."""

    connections: int | None = Field(default=None, ge=1, description="by default one for each user of the load")
    pace_s: float = Field(default=1.0, gt=0)
    subscribe: str = Field(default="orders", description="channel of the message of an opening; empty for none")
    orders: ValueRange
    timeout_s: float = Field(default=10, gt=0)
    protocol: Literal["websocket", "socketio"] = "websocket"
    transport: Literal["websocket", "polling", "upgrade"] = Field(
        default="upgrade", description="of Socket.IO; upgrade: by polling until the upgrade, as browsers do"
    )
    namespace: str = Field(default="/", pattern=r"^/[^,\s?]*$", description="of Socket.IO")
    reconnects: int = Field(default=10, ge=0, description="per connection")
    backoff_s: float = Field(default=0.5, gt=0, description="before the first reconnect after a drop")
    backoff_factor: float = Field(default=2, ge=1, description="longer after each reconnect that failed")
    backoff_limit_s: float = Field(default=10, gt=0)
    backoff_jitter: float = Field(default=0.5, ge=0, le=1)
    storm_at_s: float | None = Field(default=None, ge=0, description="when the plan drops every connection at once")
    storm_s: float = Field(default=10, gt=0, description="messages due so long after it are a phase of their own")


class CacheFamily(Settings):
    """A family of cache keys, and which of its keys a read probe asks for."""

    name: str
    pattern: str = Field(description="glob as SCAN MATCH takes it")
    keys: ValueRange | None = None


class CacheSettings(Settings):
    """What the cache component reads, and how much it may write."""

    families: tuple[CacheFamily, ...] = ()
    probe_rate: float = Field(default=50, gt=0, description="GETs a second of the latency probe")
    write_share: float = Field(
        default=0, ge=0, le=1, description="share of the probe's calls on keys of its own, where writes are allowed"
    )
    scan_limit: int = Field(default=20_000, ge=0, description="keys looked at per scan, at most")


class RfidSettings(Settings):
    """What the rfid component presents to the readers: test cards only."""

    verify_path: str = "/rfid/verify"
    bulk_path: str = "/rfid/verify-bulk"
    cards: ValueRange
    readers: ValueRange
    bulk_size: int = Field(default=20, ge=1, le=100)
    bulk_rate: float = Field(default=5, gt=0, description="bulk requests a second")
    target_rate: float = Field(default=500, gt=0, description="verifications a second that the readers need")
    margin: float = Field(default=1.2, ge=1, description="the search stops at target_rate × margin")
    step_s: float = Field(default=3, gt=0)
    latency_limit_ms: float = Field(default=300, gt=0, description="a step is sustained while p95 stays below")
    error_limit: float = Field(default=0.01, ge=0, le=1)
    timeout_s: float = Field(default=5, gt=0)
