"""The WebSocket component: whether connections come about, hold, and answer in time."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import RunConfig, Target
from storage.records import Collected, ComponentId, Finding, Measurement
from tasks.components.base import Check, CollectContext, Samples
from tasks.components.websocket.advise import findings
from tasks.components.websocket.check import checks
from tasks.components.websocket.collect import collect
from tasks.components.websocket.measure import METRICS, measurements

__all__ = ["WEBSOCKET", "WebsocketComponent"]


class WebsocketComponent:
    """See `tasks.components.base.Component`."""

    id = ComponentId.WEBSOCKET
    title = "WebSocket"
    metrics = METRICS

    def collect(self, context: CollectContext) -> Collected:
        """Hold connections and send messages for the profile's duration; tables `samples` and `connections`."""
        return collect(context)

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """Latency, connects, drops, throughput and errors; pure."""
        return measurements(samples, config)

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """What to do about failed connects, drops, slow and missing answers; pure."""
        return findings(samples, measurements, config)

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """One handshake, closed at once."""
        return checks(config, target)


WEBSOCKET = WebsocketComponent()
