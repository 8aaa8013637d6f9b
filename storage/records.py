"""The records that a run produces: frozen, typed, closed, and the same in memory, on disk and in a report.

Units: durations in ms, ratios 0..1 (per cent only when rendered), rates per second, times in UTC.
First law: a number has evidence (source, unit, n, window); what was not measured has no number and says why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

SCHEMA_VERSION = 1
"""Version of every record here; a reader refuses a newer one by name."""

_METRIC = re.compile(r"^[a-z]+(\.[a-z0-9_]+){1,2}$")


def _is_metric(name: str) -> str:
    if not _METRIC.match(name):
        msg = f"metric name {name!r} is not component.subject.statistic"
        raise ValueError(msg)
    return name


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


MetricName = Annotated[str, AfterValidator(_is_metric)]
Utc = Annotated[AwareDatetime, AfterValidator(_utc)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Base of all records: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ComponentId(StrEnum):
    """The six parts of the platform that are measured."""

    DATABASE = "database"
    LAMBDA = "lambda"
    API = "api"
    WEBSOCKET = "websocket"
    CACHE = "cache"
    RFID = "rfid"


class Unit(StrEnum):
    """The unit of a value."""

    MS = "ms"
    RATIO = "ratio"
    PER_SECOND = "per_second"
    COUNT = "count"
    BYTES = "bytes"
    MB = "MB"
    USD_PER_MONTH = "usd_per_month"
    USD = "usd"
    SCORE = "score"


class Window(Record):
    """The stretch of time that a number speaks of."""

    start: Utc
    end: Utc

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end < self.start:
            msg = f"window ends ({self.end}) before it starts ({self.start})"
            raise ValueError(msg)
        return self

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""
        return (self.end - self.start).total_seconds()


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


class Severity(StrEnum):
    """How a finding weighs: a critical one alone fails the gate."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Level(StrEnum):
    """Impact or effort."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class PredictedChange(Record):
    """What a remedy is expected to do to one measurement; the next run verifies it.

    `interval` holds the value in four of five cases (80 %); None where the advice does not know.
    """

    metric: MetricName
    value: Finite
    labels: Mapping[str, str] = Field(default_factory=dict)
    how: str = Field(min_length=1, description="how the prediction was made")
    interval: tuple[Finite, Finite] | None = None
    raw: Finite | None = Field(
        default=None, description="what the advice predicted, where the ledger of its kind corrected it since"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.interval is not None and self.interval[1] < self.interval[0]:
            msg = f"{self.metric}: the interval of the prediction ends before it begins"
            raise ValueError(msg)
        return self


class Remedy(Record):
    """What to do, and how to undo it. Commands are copied and run as they stand."""

    summary: str
    commands: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()
    patches: tuple[str, ...] = ()
    predicted: tuple[PredictedChange, ...] = ()


class Finding(Record):
    """One thing that someone should act on.

    `id` is stable between runs: `component.kind:subject`. `detail` tells what was seen, in a sentence or two.
    """

    id: str
    component: ComponentId
    kind: str
    subject: str
    title: str
    detail: str
    severity: Severity
    impact: Level
    effort: Level
    evidence: tuple[Measurement, ...] = ()
    remedy: Remedy


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"


class Trust(StrEnum):
    """The generator's verdict on its own figures."""

    TRUSTED = "trusted"
    INDICATIVE = "indicative"
    NOT_TRUSTED = "not_trusted"


class LoadSummary(Record):
    """What was planned and what became of it: planned = sent + unsent, sent = answered + errors, exactly.

    An answer with an unexpected status (such as 500) is answered *and* failed; `errors` counts requests that
    got no answer at all, by kind. Counts include warm-up and every probe sent to the same target.
    """

    planned: Count
    sent: Count
    unsent: Count
    answered: Count
    failed: Count
    errors: Mapping[str, Count] = Field(default_factory=dict)
    target_rate: Finite = Field(ge=0, description="requests a second that the plan asked for, steady phase")
    achieved_rate: Finite = Field(ge=0, description="requests a second that were sent, steady phase")
    trust: Trust
    reasons: tuple[str, ...] = ()
    late_p99_ms: Finite | None = Field(default=None, description="p99 of how late the generator took requests up")

    @model_validator(mode="after")
    def _closes(self) -> Self:
        if self.planned != self.sent + self.unsent:
            msg = f"planned {self.planned} ≠ sent {self.sent} + unsent {self.unsent}"
            raise ValueError(msg)
        if self.sent != self.answered + sum(self.errors.values()):
            msg = f"sent {self.sent} ≠ answered {self.answered} + errors {dict(self.errors)}"
            raise ValueError(msg)
        return self


class StoredFile(Record):
    """A file of a run: its checksum proves that what is read is what was written."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: Count
    rows: Count | None = None


class Collected(Record):
    """What collecting one component yielded besides its tables: when, under which load, against what.

    `fingerprint` names the target (release, schema version, data size, function versions …); `notes` say what
    could not be collected and why (a missing right, an unsupported version).
    """

    window: Window
    load: LoadSummary | None = None
    load_plan: Mapping[str, str] = Field(default_factory=dict)
    fingerprint: Mapping[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Manifest(Record):
    """What a component's stage leaves behind: small, JSON, the persisted result of its Prefect task."""

    schema_version: int = SCHEMA_VERSION
    run: str
    component: ComponentId
    attempt: int = Field(ge=1)
    code_version: str
    collected: Collected
    files: Mapping[str, StoredFile]
    missing: tuple[str, ...] = Field(
        default=(), description="metrics with weight that have no value, and why: a retry measures them again"
    )


class Attempt(Record):
    """One go at measuring a run: when, and which target it found at its start and at its end.

    `identity` and `identity_after` are what the target said of itself (`tasks.identity`): `release`,
    `function_versions`, `schema_version`, `data_size` in bytes; a key that is missing could not be read, and `notes`
    say why. Times run from `opened` (the flow began) over `waited_s` in the environment's queue to `judged`.
    """

    number: int = Field(ge=1)
    flow_run: str | None = Field(default=None, description="id of the flow run that made it")
    opened: Utc
    waited_s: Finite = Field(default=0, ge=0)
    judged: Utc | None = None
    identity: Mapping[str, str] = Field(default_factory=dict)
    identity_after: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()


class MeasuredComponent(Record):
    """A component that was measured."""

    status: Literal["measured"] = "measured"
    component: ComponentId
    attempt: int = Field(ge=1)
    code_version: str
    collected: Collected
    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]


class FailedComponent(Record):
    """A component whose collection failed: it is not measured, and that is a critical finding."""

    status: Literal["failed"] = "failed"
    component: ComponentId
    error: str = Field(min_length=1)
    attempt: int = Field(default=1, ge=1)


class SkippedComponent(Record):
    """A component that was not measured on purpose.

    `switched_off` tells the environment's file turned it off (its weight is removed); otherwise this run alone
    left it out, and it counts as missing.
    """

    status: Literal["skipped"] = "skipped"
    component: ComponentId
    reason: str = Field(min_length=1)
    switched_off: bool = False


ComponentResult = Annotated[MeasuredComponent | FailedComponent | SkippedComponent, Field(discriminator="status")]


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


class GateVerdict(StrEnum):
    """The answer of one gate check, and of the gate."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NO_DATA = "no_data"


class GatePolicy(Record):
    """How strict an environment's gate is: a profile of deployments/thresholds.toml.

    Where it does not `block`, what fails is a warning and the exit code stays 0; what was not measured is
    incomplete all the same. `required` are the metrics that must have a gate limit: without one there is no data.
    `self_test` makes each run damage copies of itself and prove that the gate blocks them.
    """

    name: str = Field(default="strict", min_length=1)
    blocks: bool = True
    score: Annotated[float, Field(gt=0, le=100)] = 85.0
    required: tuple[MetricName, ...] = ()
    self_test: bool = False


class Waiver(Record):
    """Somebody answers for a failing check until a day: `check` is a check's id, or that of a critical finding."""

    check: str = Field(min_length=1)
    owner: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3)] = Field(
        description="a person or team that can be asked"
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
    until: date = Field(description="the last day on which it holds")
    environments: tuple[str, ...] = Field(default=(), description="where it holds; everywhere by default")


class WaiverState(StrEnum):
    """What became of a waiver in one run."""

    HONOURED = "honoured"
    NOT_NEEDED = "not_needed"
    EXPIRED = "expired"
    REFUSED = "refused"


class WaiverUse(Record):
    """A waiver as a run took it; every report shows it, honoured or not."""

    waiver: Waiver
    state: WaiverState
    why: str


class GateCheck(Record):
    """One row of the gate: a raw value held strictly against a limit; a missing value is `no_data`.

    `waived` says who answers for a check that fails, until when and why: it fails, and does not count.
    """

    id: str
    title: str
    value: Finite | None
    limit: Finite
    unit: Unit
    comparison: Literal["<", ">", ">=", "=="]
    verdict: GateVerdict
    detail: str = ""
    waived: str = ""

    @model_validator(mode="after")
    def _only_failures_are_waived(self) -> Self:
        if self.waived and self.verdict is not GateVerdict.FAIL:
            msg = f"{self.id}: only what fails can be waived"
            raise ValueError(msg)
        return self


class Gate(Record):
    """The release gate: `no_data` goes before `fail`, for it means that nobody knows."""

    verdict: GateVerdict
    checks: tuple[GateCheck, ...]
    policy: GatePolicy = Field(default_factory=GatePolicy)
    waivers: tuple[WaiverUse, ...] = ()


class Place(Record):
    """Between which two runs something changed, and what changed with them."""

    after: str = Field(description="the last run of the level before")
    first: str = Field(description="the first run of the new level")
    since: Utc = Field(description="when that one started")
    releases: tuple[str | None, str | None] = (None, None)
    commits: tuple[str | None, str | None] = (None, None)


class Regression(Record):
    """A change for the worse against history or a baseline.

    `kind`: a change of `level` in history, a `drift` of it, a `disaster` of one run past every limit, or against the
    runs of a `baseline`. A change of level is suspected from 3 runs and confirmed from 7. `interval` is the 95 %
    interval of `change`; `runs` counts those behind the new value. `confirmed` ones fail the gate; a part of the
    platform (with `labels`) never does so by itself.
    """

    metric: MetricName
    labels: Mapping[str, str] = Field(default_factory=dict)
    baseline: Finite
    value: Finite
    unit: Unit
    change: Finite = Field(description="relative change, +0.10 is ten per cent more")
    confirmed: bool
    detail: str
    kind: Literal["level", "drift", "disaster", "baseline"] = "baseline"
    interval: tuple[Finite, Finite] | None = None
    runs: Count = 1
    place: Place | None = None


class RoadmapItem(Record):
    """A finding in its place in the order of work.

    `score_after` is the score of the run once this step and all before it are done, re-scored as a set (points do
    not add up); `score_interval` holds it in four of five cases. `predicted` tells whether this very finding
    predicts a metric that weighs: where it does not, the score stays what it was before, for nobody knows.
    """

    month: Literal[1, 2, 3]
    finding: str = Field(description="id of the finding")
    title: str
    impact: Level
    effort: Level
    component: ComponentId | None = Field(default=None, description="whose owner does it")
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


class Hint(Record):
    """Where to look first for an endpoint that is slow: what changed, or is wrong, about the same thing.

    `basis` is `changed` (both against an earlier run, in the same windows) or `slow` (a finding of another component
    about it). `rank` is 0..1. It is correlation, and no proof of anything.
    """

    endpoint: str
    cause: str
    basis: Literal["changed", "slow"]
    rank: Ratio
    detail: str
    evidence: tuple[Measurement, ...]
    findings: tuple[str, ...] = ()


class RunInfo(Record):
    """Which run this is, of what, by what."""

    run: str
    environment: str
    profile: str
    release: str | None = None
    started: Utc
    local: bool = False
    flow_run: str | None = Field(default=None, description="id of the flow run that opened it")
    commit: str | None = Field(default=None, description="what the release was built from")
    baseline: str | None = Field(default=None, description="the run that this one is held against")
    code_version: str
    machine: Mapping[str, str] = Field(default_factory=dict)
    settings: Mapping[str, str] = Field(default_factory=dict, description="the load profile and what was overridden")


class Timeline(Record):
    """How the requests of one component went over time, step by step, by their intended moments.

    `metric` is the judged percentile that they belong to, such as `api.latency.p95`; times are in ms, from the
    intended moment. Every list has one entry a step of `step_s` seconds from `start` on: `phases` the phase that most
    of its requests belong to (empty where there were none), `p50` … `p99` None where too little was answered.
    `wrong` counts what went wrong over all of it by kind (`status 500`, `timeout`). Of the `judged` requests that the
    metric speaks of, `in_time` were answered as expected within `limit`; None where no limit is known.
    """

    component: ComponentId
    metric: MetricName
    start: Utc
    step_s: Finite = Field(gt=0)
    limit: Finite | None = None
    phases: tuple[str, ...]
    sent: tuple[Count, ...]
    bad: tuple[Count, ...] = Field(description="answered unexpectedly, or not at all")
    p50: tuple[Finite | None, ...]
    p95: tuple[Finite | None, ...]
    p99: tuple[Finite | None, ...]
    wrong: Mapping[str, Count] = Field(default_factory=dict)
    judged: Count = 0
    in_time: Count | None = None

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        columns = (self.phases, self.sent, self.bad, self.p50, self.p95, self.p99)
        if len({len(column) for column in columns}) != 1:
            msg = f"timeline of {self.metric}: its lists differ in length"
            raise ValueError(msg)
        return self


class EarlierRun(Record):
    """What an earlier run of the same kind came to: for the change since then, and the trend."""

    run: str
    started: Utc
    release: str | None = None
    score: Annotated[float, Field(ge=0, le=100)]
    coverage: Ratio
    verdict: GateVerdict


class Report(Record):
    """The one truth of a run: every rendering is made from this record alone."""

    schema_version: int = SCHEMA_VERSION
    info: RunInfo
    components: tuple[ComponentResult, ...]
    score: Score
    gate: Gate
    findings: tuple[Finding, ...] = Field(description="all findings, the most useful first")
    roadmap: tuple[RoadmapItem, ...] = ()
    regressions: tuple[Regression, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    earlier: tuple[EarlierRun, ...] = Field(
        default=(), description="runs of the same environment, profile, place and components before it, oldest first"
    )
    hints: tuple[Hint, ...] = Field(default=(), description="where to look first for slow endpoints: correlation")
    verifications: tuple[Verification, ...] = Field(
        default=(), description="remedies applied since the last run: actual beside predicted"
    )
    calibration: tuple[Calibration, ...] = Field(
        default=(), description="how good each kind of advice was until then"
    )
    judged_by: date | None = Field(
        default=None, description="the day whose limits and waivers judged it, where these are not the run's own"
    )

    @property
    def partial(self) -> bool:
        """Whether a component that this environment has was not measured."""
        return any(
            result.status == "failed" or (result.status == "skipped" and not result.switched_off)
            for result in self.components
        )
