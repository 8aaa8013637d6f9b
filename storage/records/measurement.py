"""One number with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from storage.records.base import Count, Finite, MetricName, Record, Unit, Window


class Measurement(Record):
    """One number with its evidence, or the plain statement that it was not measured.

    `metric` is `component.subject.statistic`, or `component.subject` where one figure says it all. The
    component's own figure has no labels; a part of it (one endpoint, statement, function, table, key family)
    carries labels such as `{"endpoint": "GET /orders"}`.
    `n` counts the samples behind the value; `interval` is its 95 % confidence interval where one is known.
    `idle` says of a missing value that all was looked at and nothing happened there: to measure it again at once
    would find no more, unlike where something failed.
    """

    metric: MetricName
    value: Finite | None
    unit: Unit
    n: Count
    source: str = Field(min_length=1)
    window: Window | None = None
    interval: tuple[Finite, Finite] | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    note: str = ""
    idle: bool = False

    @model_validator(mode="after")
    def _has_evidence(self) -> Self:
        if self.value is None and not self.note:
            msg = f"{self.metric} has no value and no note that says why"
            raise ValueError(msg)
        if self.value is not None and (self.n == 0 or self.window is None):
            msg = f"{self.metric} has a value without evidence: n and window are required"
            raise ValueError(msg)
        if self.idle and self.value is not None:
            msg = f"{self.metric} has a value, so something happened: it cannot be idle"
            raise ValueError(msg)
        return self

    @property
    def component(self) -> str:
        """First part of the metric's name."""
        return self.metric.partition(".")[0]
