"""From what is known to alerts: each incident is told once when it began and once when it ended. Pure but for memory.

While a target is down its own outage is the incident: the metrics of that target neither begin nor end an alert. A
metric without a value does not either: nobody knows whether it is well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.records import Measurement, Record, Unit, Utc
from tasks.monitoring.watch.board import Known, Target
from tasks.monitoring.watch.rules import PARTS, Rule
from tasks.report.figures import figure
from tasks.report.text import one_line


class Alert(Record):
    """An alert that began or ended; `value` and its evidence are those of that moment.

    `incident` is the same for both: by it a reader pairs them, and a receiver drops what it had already.
    """

    event: Literal["firing", "resolved"]
    alert: str
    severity: str
    environment: str
    target: str
    incident: str
    at: Utc
    since: Utc
    title: str
    words: str
    value: float | None
    limit: float | None
    unit: Unit | None
    n: int
    source: str


@dataclass(frozen=True)
class _Change:
    """What began or ended, and the moment at which it began."""

    event: Literal["firing", "resolved"]
    since: datetime


@dataclass
class _State:
    """Of one rule: since when its condition holds (or, while it fires, is gone), and since when it fires."""

    rule: Rule
    holds: float | None = None
    gone: float | None = None
    fired: datetime | None = None

    def step(self, now: float, at: datetime, *, condition: bool | None) -> _Change | None:
        """Move on; what is to be told. `condition` is None where nobody knows whether it holds."""
        if condition is None:
            self.holds = self.gone = None
            return None
        return (
            self._calm(now, at, condition=condition) if self.fired is None else self._firing(now, condition=condition)
        )

    def _calm(self, now: float, at: datetime, *, condition: bool) -> _Change | None:
        self.holds = (now if self.holds is None else self.holds) if condition else None
        if self.holds is None or now - self.holds < self.rule.for_s:
            return None
        self.fired, self.gone = at, None
        return _Change("firing", at)

    def _firing(self, now: float, *, condition: bool) -> _Change | None:
        self.gone = None if condition else now if self.gone is None else self.gone
        if self.fired is None or self.gone is None or now - self.gone < self.rule.keep_s:
            return None
        fired = self.fired
        self.fired = self.holds = self.gone = None
        return _Change("resolved", fired)


class Alarm:
    """Evaluates the rules whenever it is asked to; `firing` is what fires at the moment."""

    def __init__(self, environment: str, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._environment = environment
        self._states = {rule.name: _State(rule) for rule in rules}
        self._others: dict[str, datetime] = {}

    @property
    def firing(self) -> dict[str, Rule]:
        """Rules that fire, by name."""
        return {rule.name: rule for rule in self.rules if self._states[rule.name].fired is not None}

    @property
    def since(self) -> dict[str, datetime]:
        """Since when each alert fires, by its name; with what was restored of rules that this watch does not have."""
        own = {name: state.fired for name, state in self._states.items() if state.fired is not None}
        return {**self._others, **own}

    def restore(self, since: Mapping[str, datetime]) -> None:
        """Go on with what fired when the last watch ended: told already, and told again when it ends."""
        for name, fired in since.items():
            if name in self._states:
                self._states[name].fired = fired
            else:
                self._others[name] = fired

    def pending(self, name: str) -> bool:
        """Whether a rule's condition holds but has not for long enough."""
        state = self._states[name]
        return state.fired is None and state.holds is not None

    def evaluate(
        self, targets: Mapping[str, Target], known: Mapping[str, Known], now: float, at: datetime
    ) -> list[Alert]:
        """What began and what ended since the last call; `now` in monotonic seconds, `at` the moment in UTC."""
        told = []
        for rule in self.rules:
            target, measurement = targets[rule.target], _measurement(rule, known)
            condition = _condition(rule, target, measurement, now)
            change = self._states[rule.name].step(now, at, condition=condition)
            if change is not None:
                words = _words(rule, change.event, measurement, target)
                told.append(self._alert(rule, change, measurement, at, words))
        return told

    def _alert(self, rule: Rule, change: _Change, measurement: Measurement | None, at: datetime, words: str) -> Alert:
        return Alert(
            event=change.event,
            alert=rule.name,
            severity=rule.severity,
            environment=self._environment,
            target=rule.target,
            incident=f"{self._environment}.{rule.name}.{change.since:%Y%m%dT%H%M%S%f}",
            at=at,
            since=change.since,
            title=rule.title,
            words=words,
            value=None if measurement is None else measurement.value,
            limit=rule.limit if rule.threshold is not None else None,
            unit=None if rule.threshold is None else rule.threshold.unit,
            n=0 if measurement is None else measurement.n,
            source="the watch's probe" if measurement is None else measurement.source,
        )


def _measurement(rule: Rule, known: Mapping[str, Known]) -> Measurement | None:
    """What is known of the rule's metric."""
    found = None if rule.threshold is None else known.get(rule.threshold.metric)
    return None if found is None else found.measurement


def _condition(rule: Rule, target: Target, measurement: Measurement | None, now: float) -> bool | None:
    """Whether the rule's condition holds; None where nobody knows."""
    answers = target.answers(now)
    if rule.threshold is None:
        return None if answers is None else not answers
    if answers is False or measurement is None or measurement.value is None:
        return None
    return rule.met(measurement.value)


def _words(rule: Rule, event: str, measurement: Measurement | None, target: Target) -> str:
    """One sentence for a person; a value is never without its unit and sample count."""
    if rule.threshold is None:
        why = f": {one_line(target.reason)}" if event == "firing" and target.reason else ""
        return f"{PARTS[rule.target]} {'does not answer' if event == 'firing' else 'answers again'}{why}"
    unit = rule.threshold.unit
    side = "above" if rule.above else "below"
    held = figure(None if measurement is None else measurement.value, unit, unlike=rule.limit)
    n = "" if measurement is None else f", n = {measurement.n}"
    limit = figure(rule.limit, unit)
    if event == "firing":
        return f"{rule.title}: {held}, {side} {limit} for {rule.for_s:g} s{n}"
    return f"{rule.title}: {held}, no longer {side} {limit}{n}"
