"""Where to look first: what else changed, or is wrong, about the same thing as an endpoint that is slow. Correlation.

Two joins, both on the endpoint's name:
  changed   the endpoint became slower than in an earlier run under the same load, and in the same windows a
            statement, a function or a key family became worse: ranked by how much of the delay it could explain
  slow      the endpoint is beyond its good limit, and a finding of another component is about the same thing

Names are joined by their words: `GET /orders/history/{userId}`, `hasivu-platform-prod-orders-history` and
`SELECT … FROM orders` share `order`. A word that most functions (or statements …) have says nothing: words weigh by
how few of their kind have them. None of this proves anything, and every hint says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from storage.records import (
    Direction,
    Finding,
    Hint,
    MeasuredComponent,
    Measurement,
    Report,
    Severity,
    Threshold,
    Unit,
)

EFFECT = "api.latency.p95"
CAUSES = {
    "database.statement.mean": Direction.LOWER,
    "database.query.p95": Direction.LOWER,
    "lambda.duration.p95": Direction.LOWER,
    "lambda.cold_start.p95": Direction.LOWER,
    "lambda.cold_start.ratio": Direction.LOWER,
    "cache.hits.ratio": Direction.HIGHER,
}
"""Figures of parts that can make an endpoint slow, and which way they are better."""

CHANGED = 0.20
"""Relative change from which a part has changed."""
LEAST_MS, LEAST_RATIO, LEAST_N = 1.0, 0.02, 5
LEAST_MATCH = 0.3
MOST, MOST_PER_ENDPOINT = 12, 3
_LOGS_S = 7200.0

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_COMMON = frozenset(
    (
        *("select", "from", "where", "and", "limit", "left", "join", "inner", "group", "count", "sum", "coalesce"),
        *("insert", "into", "value", "update", "set", "delete", "returning", "distinct", "not", "null", "with"),
        *("get", "post", "put", "patch", "http", "api", "uuid", "desc", "asc", "created", "updated", "index", "add"),
        *("foreign", "key"),
    )
)
"""Words of SQL and HTTP, which tell nothing of what a statement or an endpoint is about."""

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class _Change:
    """A part's figure in an earlier run and now."""

    before: Measurement
    now: Measurement

    @property
    def relative(self) -> float:
        """How much worse it became, relative to what it was; negative for better."""
        old, new = self.before.value or 0.0, self.now.value or 0.0
        worse = new - old if CAUSES.get(self.now.metric, Direction.LOWER) is Direction.LOWER else old - new
        return worse / max(abs(old), 1e-9)

    @property
    def amount(self) -> float:
        """The same in its unit."""
        return abs((self.now.value or 0.0) - (self.before.value or 0.0))

    @property
    def worse(self) -> bool:
        """Whether it became so much worse that it counts."""
        least = LEAST_RATIO if self.now.unit is Unit.RATIO else LEAST_MS
        return self.relative >= CHANGED and self.amount >= least and not _touch(self.before, self.now)


def hints(
    measured: Sequence[MeasuredComponent],
    findings: Sequence[Finding],
    thresholds: Sequence[Threshold],
    earlier: Report | None = None,
) -> tuple[Hint, ...]:
    """The hints of a run, the most telling first, a few for each endpoint."""
    figures = [one for part in measured for one in part.measurements]
    found = [*_changed(figures, earlier), *_slow(figures, findings, thresholds)]
    kept: list[Hint] = []
    for hint in sorted(found, key=lambda one: (-one.rank, one.endpoint, one.cause)):
        same = [one for one in kept if one.endpoint == hint.endpoint]
        if len(same) < MOST_PER_ENDPOINT and all(one.cause != hint.cause for one in same):
            kept.append(hint)
    return tuple(kept[:MOST])


def words(text: str) -> frozenset[str]:
    """The telling words of a name: split at separators and capitals, plurals cut, words of SQL and HTTP left out."""
    found = {_singular(one.lower()) for one in _WORD.findall(re.sub(r"\{[^}]*\}", " ", text))}
    return frozenset(word for word in found if len(word) > 2 and word not in _COMMON)  # noqa: PLR2004 - `o`, `id`


def match(endpoint: str, candidates: Mapping[str, str]) -> dict[str, float]:
    """How much of an endpoint's words each candidate's text has, 0..1.

    A word weighs 1 / (1 + ln of the number of candidates that have it): what all have tells little. One that none has
    weighs a half: the candidates are of a kind that does not name such things.
    """
    wanted = words(endpoint)
    texts = {key: words(text) for key, text in candidates.items()}
    weights = {word: _weight(sum(word in text for text in texts.values())) for word in wanted}
    whole = math.fsum(weights.values())
    return {key: math.fsum(weights[word] for word in wanted & text) / whole for key, text in texts.items() if whole}


def _weight(many: int) -> float:
    return 1 / (1 + math.log(many)) if many else 0.5


def _changed(figures: Sequence[Measurement], earlier: Report | None) -> list[Hint]:
    if earlier is None:
        return []
    parts = [one for one in earlier.components if isinstance(one, MeasuredComponent)]
    before = {_key(one): one for part in parts for one in part.measurements if _counts(one)}
    pairs = [_Change(before[_key(one)], one) for one in figures if _counts(one) and _key(one) in before]
    slower = [one for one in pairs if one.now.metric == EFFECT and one.worse]
    causes = [one for one in pairs if one.now.metric in CAUSES and one.worse]
    names: dict[str, dict[str, str]] = {metric: {} for metric in CAUSES}
    for one in figures:
        if one.metric in CAUSES and len(one.labels) == 1:
            names[one.metric][_name(one)] = _name(one)
    return list(chain.from_iterable(_joined(one, causes, names, earlier.info.run) for one in slower))


def _joined(
    effect: _Change, causes: Sequence[_Change], names: Mapping[str, Mapping[str, str]], run: str
) -> list[Hint]:
    endpoint = _name(effect.now)
    made = []
    for metric in CAUSES:
        own = {_name(one.now): one for one in causes if one.now.metric == metric and _overlap(effect.now, one.now)}
        shares = match(endpoint, names[metric])
        made += [
            _hint(effect, cause, shares[name], run) for name, cause in own.items() if shares[name] >= LEAST_MATCH
        ]
    return made


def _hint(effect: _Change, cause: _Change, share: float, run: str) -> Hint:
    """A change that came with another; a small delay, and what is too small to explain it, rank lower."""
    endpoint, name, metric = _name(effect.now), _name(cause.now), cause.now.metric
    part = 1.0 if cause.now.unit is Unit.RATIO else min(1.0, cause.amount / effect.amount)
    return Hint(
        endpoint=endpoint,
        cause=f"{metric} {name}",
        basis="changed",
        rank=min(1.0, share * part * effect.relative / (1 + effect.relative)),
        evidence=(effect.before, effect.now, cause.before, cause.now),
        detail=(
            f"{endpoint} became {effect.relative:.0%} slower than in run {run}; in the same windows {metric} of"
            f" {name} became {cause.relative:.0%} worse. Correlation, no proof."
        ),
    )


def _slow(figures: Sequence[Measurement], findings: Sequence[Finding], thresholds: Sequence[Threshold]) -> list[Hint]:
    limit = next((one.good for one in thresholds if one.metric == EFFECT), math.inf)
    slow = [one for one in figures if one.metric == EFFECT and _counts(one) and (one.value or 0.0) > limit]
    other = [one for one in findings if one.component.value != "api" and one.severity is not Severity.INFO]
    texts = {one.id: f"{one.subject} {one.title} {_labels(one)}" for one in other}
    return [
        _about(effect, finding_id, share)
        for effect in slow
        for finding_id, share in match(_name(effect), texts).items()
        if share >= LEAST_MATCH
    ]


def _about(effect: Measurement, finding_id: str, share: float) -> Hint:
    """A finding about the same thing as a slow endpoint: half as telling as a change at the same time."""
    endpoint = _name(effect)
    return Hint(
        endpoint=endpoint,
        cause=finding_id,
        basis="slow",
        rank=min(1.0, share) / 2,
        evidence=(effect,),
        findings=(finding_id,),
        detail=f"{endpoint} takes {effect.value:.0f} ms at p95; this is about the same. Correlation, no proof.",
    )


def _labels(finding: Finding) -> str:
    return " ".join(value for one in finding.evidence[:MOST] for value in one.labels.values())


def _counts(one: Measurement) -> bool:
    return len(one.labels) == 1 and one.value is not None and one.n >= LEAST_N


def _name(one: Measurement) -> str:
    return next(iter(one.labels.values()))


def _key(one: Measurement) -> Key:
    return one.metric, tuple(one.labels.items())


def _touch(one: Measurement, other: Measurement) -> bool:
    """Whether both have intervals and these touch: then the change may be noise."""
    if one.interval is None or other.interval is None:
        return False
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]


def _overlap(one: Measurement, other: Measurement) -> bool:
    """Whether two figures speak of a common stretch of time; logs end at a full minute shortly before a load."""
    if one.window is None or other.window is None:
        return False
    gap = max(one.window.start, other.window.start) - min(one.window.end, other.window.end)
    return gap.total_seconds() <= _LOGS_S


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
