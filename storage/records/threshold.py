"""The limits of a metric."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from storage.records.base import Finite, MetricName, Record, Unit
from storage.records.finding import Severity


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"


class AlertLevel(Record):
    """When a metric pages someone: past `limit` (in the bad direction) for `for_s` seconds."""

    limit: Finite
    for_s: int = Field(default=300, ge=0)


class Threshold(Record):
    """The limits of one metric; deployments/thresholds.toml is the only place that holds them.

    `best`…`worst` carry scores 100, 95, 75, 40, 0. `gate` is the release limit (strict). `weight` is the
    metric's share within its component. `minimum_effect` is the smallest relative change that matters.
    """

    metric: MetricName
    title: str
    direction: Direction
    unit: Unit
    best: Finite
    good: Finite
    fair: Finite
    poor: Finite
    worst: Finite
    weight: Finite = Field(ge=0)
    gate: Finite | None = None
    critical: AlertLevel | None = None
    warning: AlertLevel | None = None
    warning_beyond: AlertLevel | None = Field(
        default=None, description="past it in the good direction: no spare left"
    )
    minimum_effect: Finite = Field(default=0.04, gt=0)
    source: str = Field(min_length=1)

    @property
    def alerts(self) -> tuple[tuple[Severity, AlertLevel, bool], ...]:
        """Each alert: how it weighs, when it pages, and whether values above its limit are the bad ones."""
        lower = self.direction is Direction.LOWER
        rows = (
            (Severity.CRITICAL, self.critical, lower),
            (Severity.WARNING, self.warning, lower),
            (Severity.WARNING, self.warning_beyond, not lower),
        )
        return tuple((severity, level, above) for severity, level, above in rows if level is not None)

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        levels = [self.best, self.good, self.fair, self.poor, self.worst]
        ordered = sorted(levels, reverse=self.direction is Direction.HIGHER)
        if levels != ordered or len(set(levels)) != len(levels):
            msg = f"{self.metric}: best, good, fair, poor, worst must be strictly {self.direction.value} is better"
            raise ValueError(msg)
        if self.unit is not Unit.RATIO and min(levels) <= 0:
            msg = f"{self.metric}: limits on a logarithmic scale must be above 0"
            raise ValueError(msg)
        return self
