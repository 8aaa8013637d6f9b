"""The score of a run, and why it is what it is."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from storage.records.base import ComponentId, Finite, MetricName, Ratio, Record, Unit
from storage.records.measurement import Measurement
from storage.records.threshold import Threshold


class Band(StrEnum):
    """Where a value lies between its limits."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    NOT_MEASURED = "not_measured"


class Assessment(Record):
    """A measurement held against its threshold; a metric without a value has no score."""

    threshold: Threshold
    measurement: Measurement | None
    band: Band
    score: Annotated[float, Field(ge=0, le=100)] | None
    reason: str = ""

    @model_validator(mode="after")
    def _null_policy(self) -> Self:
        measured = self.measurement is not None and self.measurement.value is not None
        if (self.score is not None) != measured or (self.band is Band.NOT_MEASURED) == measured:
            msg = f"{self.threshold.metric}: exactly a measured value has a score and a band"
            raise ValueError(msg)
        return self


class ComponentScore(Record):
    """A component's share of the score; `score` is None where nothing of it was measured."""

    component: ComponentId
    weight: Ratio
    score: float | None
    coverage: Ratio
    assessments: tuple[Assessment, ...]


class PointsLost(Record):
    """Points of the run's 100 that something cost: a metric, what was not measured, or a cap."""

    key: str
    title: str
    points: Finite
    reason: str = ""


class Lever(Record):
    """What the score would gain if one metric alone came up to its good limit (caps included, so often nothing)."""

    metric: MetricName
    title: str
    value: Finite
    target: Finite
    unit: Unit
    gain: Finite


class Explanation(Record):
    """Why the score is what it is: `losses` add up to 100 − score, the most first.

    `worst` is the metric with the lowest score; `levers` are ordered by gain, and `together` is what all of them
    gain at once: more or less than their sum, because of the caps.
    """

    losses: tuple[PointsLost, ...]
    worst: MetricName | None
    levers: tuple[Lever, ...]
    together: Finite


class Score(Record):
    """The run's score: what was not measured adds nothing to it.

    `measured_mean` is the mean of what was measured, `ceiling` what full coverage could still reach, `coverage`
    the measured share of the weight. A partial score cannot pass a gate.
    """

    value: Annotated[float, Field(ge=0, le=100)]
    grade: str
    coverage: Ratio
    measured_mean: float | None
    ceiling: Annotated[float, Field(ge=0, le=100)]
    components: tuple[ComponentScore, ...]
    explanation: Explanation | None = None

    @property
    def partial(self) -> bool:
        """Whether something with weight was not measured."""
        return not math.isclose(self.coverage, 1.0, abs_tol=1e-9)
