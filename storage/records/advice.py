"""What became of advice: the order of work, what was applied, and what it did beside what was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from storage.records.base import ComponentId, Finite, MetricName, Ratio, Record, Unit, Utc
from storage.records.finding import Level


class RoadmapItem(Record):
    """A finding in its place in the order of work.

    `score_after` is the score of the run once this step and all before it are done, re-scored as a set (points do
    not add up); `score_interval` holds it in four of five cases. `predicted` tells whether this very finding
    predicts a metric that weighs: where it does not, the score stays what it was before, for nobody knows.
    `waits_for` has the findings that come before it, `why_after` the reason: mostly, they change what it is sized by.
    """

    month: Literal[1, 2, 3]
    finding: str = Field(description="id of the finding")
    title: str
    impact: Level
    effort: Level
    component: ComponentId | None = Field(default=None, description="whose owner does it")
    waits_for: tuple[str, ...] = Field(default=(), description="ids of findings")
    why_after: str = ""
    score_after: Finite | None = None
    score_interval: tuple[Finite, Finite] | None = None
    predicted: bool = False


class AppliedChange(Record):
    """One measurement that an applied remedy is to change: its value before, and what was predicted.

    `predicted` is what the advice said; `shown` and `interval` are what the report said, corrected by its ledger.
    """

    metric: MetricName
    labels: Mapping[str, str] = Field(default_factory=dict)
    unit: Unit
    before: Finite
    predicted: Finite
    shown: Finite
    interval: tuple[Finite, Finite] | None = None


class Applied(Record):
    """A remedy that somebody carried out: the next run shows what it did beside what was predicted."""

    run: str = Field(description="the run that advised it")
    finding: str
    kind: str = Field(description="kind of advice: component.kind")
    by: str = Field(min_length=1)
    at: Utc
    changes: tuple[AppliedChange, ...]
    settings: Mapping[str, str] = Field(default_factory=dict, description="the load of the run that advised it")
    local: bool = False


class Verification(Record):
    """What a remedy did, beside what was predicted; the entries of the ledger.

    Where several applied remedies predict one measurement they are verified as a set: `findings` has them all, and
    `kind` is `mixed` unless they are of one kind. `unlike` says why the two runs are not like with like: such an
    entry is shown and calibrates nothing.
    """

    kind: str
    findings: tuple[str, ...]
    advised: tuple[str, ...] = Field(description="the same as run/finding: what is verified, and not twice")
    metric: MetricName
    labels: Mapping[str, str] = Field(default_factory=dict)
    unit: Unit
    before: Finite
    predicted: Finite
    shown: Finite
    interval: tuple[Finite, Finite] | None = None
    actual: Finite
    run_before: str
    run_after: str
    at: Utc = Field(description="start of the run that verified it")
    unlike: str = ""


class Calibration(Record):
    """How good one kind of advice was for one metric, from `n` verified predictions.

    `hit_rate` is the share whose effect went the right way and reached half of what was predicted, `bias` how much
    larger (+) or smaller (−) effects were than predicted, in the median, `coverage` the share of actual values within
    the shown interval (None where none was shown). `model` says what corrects later predictions: a factor on the
    effect, a shift of it, or nothing as long as there are fewer than three.
    """

    kind: str
    metric: MetricName
    n: int = Field(ge=1)
    hit_rate: Ratio
    bias: Finite
    coverage: Ratio | None
    model: Literal["factor", "shift", "none"]
    correction: Finite
    spread: Finite | None = Field(default=None, description="half width of the 80 % interval, on the model's scale")
