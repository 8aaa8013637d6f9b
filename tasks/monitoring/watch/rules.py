"""Which conditions alert, from thresholds.toml alone: watch and Prometheus rules evaluate the same list. Pure.

Two kinds have no metric: a target that does not answer, and the silence of the watch itself, which only Prometheus
can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.records import Severity as Weight
from storage.records import Threshold

Severity = Literal["critical", "warning"]

DOWN_FOR_S = 15
"""How long a target is down before it is told."""

MOST_KEEP_S = 60
"""An alert ends when its condition was gone for as long as it took to fire, and this at most: it does not flap."""


@dataclass(frozen=True)
class Rule:
    """A condition that alerts once it held for `for_s` seconds.

    `threshold` is None for a target that does not answer. `above`: whether values above `limit` are bad.
    """

    name: str
    target: str
    severity: Severity
    for_s: float
    title: str
    threshold: Threshold | None = None
    limit: float = 0.0
    above: bool = True

    @property
    def keep_s(self) -> float:
        """How long the condition must be gone before the alert ends."""
        return min(self.for_s, MOST_KEEP_S) if self.threshold is not None else 0.0

    def met(self, value: float) -> bool:
        """Whether a value is past the limit."""
        return value > self.limit if self.above else value < self.limit


PARTS = {
    "database": "the database",
    "lambda": "CloudWatch of the functions",
    "api": "the API",
    "websocket": "the WebSocket",
    "cache": "the cache",
    "runs": "the folder of stored runs",
}
"""What is watched, in words."""

BLIND = frozenset({"lambda", "runs"})
"""Where these do not answer nobody is served worse: nobody knows how the functions and readers are."""

WATCHED_BY = {"rfid": "runs"}
"""Components whose figures no light probe can take: those of the newest run hold."""


def target_of(threshold: Threshold) -> str:
    """Who is looked at for a metric."""
    component = threshold.metric.partition(".")[0]
    return WATCHED_BY.get(component, component)


def rules(thresholds: Sequence[Threshold], targets: Sequence[str], *, down_for_s: float = DOWN_FOR_S) -> list[Rule]:
    """A rule for each alert of the thresholds whose target is watched, and one for each target's outage."""
    found = [rule for threshold in thresholds for rule in of_threshold(threshold) if rule.target in targets]
    return found + [down(target, down_for_s) for target in targets]


def down(target: str, for_s: float = DOWN_FOR_S) -> Rule:
    """The rule for a target that does not answer."""
    severity: Severity = "warning" if target in BLIND else "critical"
    return Rule(f"Hasivu{target.capitalize()}Down", target, severity, for_s, f"{PARTS[target]} does not answer")


def of_threshold(threshold: Threshold) -> Iterator[Rule]:
    """The rules of one row."""
    for severity, level, above in threshold.alerts:
        yield Rule(
            name=_name(threshold.metric, severity, above=above),
            target=target_of(threshold),
            severity="critical" if severity is Weight.CRITICAL else "warning",
            for_s=level.for_s,
            title=threshold.title,
            threshold=threshold,
            limit=level.limit,
            above=above,
        )


def _name(metric: str, severity: str, *, above: bool) -> str:
    words = "".join(part.capitalize() for part in metric.replace("_", ".").split("."))
    return f"Hasivu{words}{'High' if above else 'Low'}{severity.capitalize()}"
