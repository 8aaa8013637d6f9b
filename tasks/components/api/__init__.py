"""The HTTP API under a load of weighted endpoints: latency, errors and throughput, whole and by endpoint.

First a *ramp*, in which the load grows from 0, and a *warm-up* where one is asked for; then the steady phase. By
default the model is open: arrivals at one rate of users ÷ pace, or by the periods of a day. A closed model
(`load.model = "users"`) has each user wait for its answers; its figures say so. Latency and throughput speak of the
steady phase, whole, by endpoint and by period; the error ratio, (unexpected answers + no answer) ÷ sent, of
everything. Where the load asks for a search (`load.search`), it follows when the load of all components has ended,
and `api.capacity` is what it found; no other figure speaks of it. Every HTTP request that is sent has a row in
`samples`: looking at the address before the load is a TCP (and TLS) connection without a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.config import RunConfig, Target
from storage.records import Collected, ComponentId, Finding, Measurement
from tasks.components.api.advise import findings
from tasks.components.api.collect import allowed, collect
from tasks.components.api.measure import METRICS, measurements
from tasks.components.base import Check, CollectContext, Samples
from tasks.load import figures

__all__ = ["API", "ApiComponent", "allowed"]


@dataclass(frozen=True)
class ApiComponent:
    """See the module."""

    id: ComponentId = ComponentId.API
    title: str = "HTTP API"
    metrics: frozenset[str] = METRICS

    def collect(self, context: CollectContext) -> Collected:
        """Load the API; `NotMeasuredError` where its address is missing or has no host."""
        return collect(context)

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """Latency, errors and throughput, of journeys where there are some, and the capacity; pure."""
        return measurements(samples, config)

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """A dead target, a stopped load, a generator that cannot be trusted, failing and slow endpoints; pure."""
        return findings(samples, measurements, config)

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """Name, TCP connection and TLS of the API's address, without any request."""
        seen = figures.look(target.api_url, config.environment.variables.api_url)
        return [Check(f"API {what}", ok, detail, remedy) for what, ok, detail, remedy in seen]


API = ApiComponent()
"""The one instance."""
