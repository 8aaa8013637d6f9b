"""The cache component: what the server counted while the load ran, how fast it answers, which key families miss."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import RunConfig, Target
from storage.records import Collected, ComponentId, Finding, Measurement
from tasks.components.base import Check, CollectContext, Rights, Samples
from tasks.components.cache.advise import findings
from tasks.components.cache.check import checks
from tasks.components.cache.collect import collect
from tasks.components.cache.measure import METRICS, measurements
from tasks.components.cache.rights import look

__all__ = ["CACHE", "CacheComponent"]


class CacheComponent:
    """See `tasks.components.base.Component`."""

    id = ComponentId.CACHE
    title = "Cache"
    metrics = METRICS

    def collect(self, context: CollectContext) -> Collected:
        """Watch counters and keys and time GETs for the profile's duration; writes own keys alone, where asked to."""
        return collect(context, write_share=context.config.environment.cache.write_share)

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """Hit ratio, latency, evictions and memory, and estimates by key family; pure."""
        return measurements(samples, config)

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """What to do about misses, evictions, memory, keys and slow commands; pure."""
        return findings(samples, measurements, config)

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """Address, login and rights."""
        return checks(config, target)

    def rights(self, config: RunConfig, target: Target) -> Rights:
        """What the user may do beyond reading."""
        return look(config, target)


CACHE = CacheComponent()
