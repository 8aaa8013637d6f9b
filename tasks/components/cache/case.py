"""What the rules of `advise` look at, gathered once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from deployments.config import RunConfig
from storage.records import ComponentId, Finding, Measurement, Threshold, Unit
from tasks.components.base import Samples
from tasks.components.cache.estimate import Family
from tasks.components.cache.measure import families_of, lookups

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """Samples and measurements of one run, as the rules need them."""

    samples: Samples
    measured: Sequence[Measurement]
    config: RunConfig
    families: Sequence[Family]
    info: Sequence[Row]
    looks: Sequence[Row]

    @classmethod
    def of(cls, samples: Samples, measured: Sequence[Measurement], config: RunConfig) -> Case:
        """Gather."""
        return cls(
            samples=samples,
            measured=measured,
            config=config,
            families=families_of(samples, config),
            info=samples.tables["info"].to_pylist(),
            looks=samples.tables["keys"].to_pylist(),
        )

    def own(self, metric: str) -> Measurement:
        """The cache's own figure of a metric."""
        return next(m for m in self.measured if m.metric == metric and not m.labels)

    def of_family(self, name: str) -> tuple[Measurement, ...]:
        """All figures of one key family."""
        return tuple(m for m in self.measured if m.labels.get("family") == name)

    def limit(self, metric: str) -> Threshold | None:
        """The limits of a metric."""
        return next((one for one in self.config.thresholds if one.metric == metric), None)

    def pattern(self, family: str) -> str:
        """How the keys of a family look."""
        configured = {one.name: one.pattern for one in self.config.environment.cache.families}
        return configured.get(family, family)

    def cli(self, command: str) -> str:
        """A command for redis-cli; the address comes from the environment's variable, so no secret is shown."""
        return f'redis-cli -u "${self.config.environment.variables.redis_url}" {command}'

    def difference(self, name: str) -> int:
        """How far a counter of `info` rose over the window; 0 where the server does not tell it."""
        if len(self.info) < 2:  # noqa: PLR2004 - a difference needs two readings
            return 0
        first, last = self.info[0][name], self.info[-1][name]
        return 0 if first is None or last is None else int(last - first)

    def counted(self, metric: str, name: str) -> Measurement:
        """The rise of a counter of `info` over the window, as evidence."""
        return Measurement(
            metric=metric,
            value=float(self.difference(name)),
            unit=Unit.COUNT,
            n=len(self.info),
            source=f"the server's counter (INFO, {name}), difference over the window",
            window=self.samples.collected.window,
        )

    def lookups_text(self) -> str:
        """The server's lookups, for a sentence."""
        found = lookups(self.info, self.samples.tables["samples"])
        return f"{found.hits} hits and {found.misses} misses"


finding = partial(Finding.of, ComponentId.CACHE)
"""A finding of the cache."""
