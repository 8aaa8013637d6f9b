"""The database component: see what PostgreSQL does under load, and say what to change."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import RunConfig, Target
from storage.records import Collected, ComponentId, Finding, Measurement
from tasks.components.base import Check, CollectContext, Rights, Samples
from tasks.components.database import advise, check, collect, measure, rights


class DatabaseComponent:
    """See `tasks.components.base.Component`."""

    id = ComponentId.DATABASE
    title = "Database"
    metrics = measure.METRICS

    def collect(self, context: CollectContext) -> Collected:
        """Sample the server and time reads over the load window; only SELECT, in read-only sessions."""
        return collect.collect(context)

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """Pure: raw tables → measurements."""
        return measure.measure(samples, config)

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """Pure: raw tables and measurements → findings."""
        return advise.advise(samples, measurements, config)

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """Connection, version, rights and extension, without load."""
        return check.check(config, target)

    def rights(self, config: RunConfig, target: Target) -> Rights:
        """What the role may do beyond reading."""
        return rights.look(config, target)


DATABASE = DatabaseComponent()
"""The component, as COMPONENTS registers it."""
