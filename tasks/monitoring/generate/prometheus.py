"""Prometheus alerting rules, and unit tests of them for promtool, both from the list that the watch itself evaluates.

https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/ and …/unit_testing_rules/. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from storage.records import Threshold, Unit
from tasks.monitoring.watch import names
from tasks.monitoring.watch.rules import PARTS, Rule, rules

HEAD = "# Made by `hasivu-perf monitoring` from deployments/thresholds.toml: change that, not this.\n"
SILENT_S = 300
"""How long no watch is scraped before that is told: nothing else fires then."""

NOT_MEASURED_S = 1800
"""How long a metric is without a value before that is told."""

_STEP_S = 60
_WHO = "staging"
_FORMATS = {Unit.MS: "humanizeDuration", Unit.RATIO: "humanizePercentage"}


def rules_file(thresholds: Sequence[Threshold]) -> str:
    """The rules as YAML."""
    group = {"name": "hasivu-perf", "rules": [_rule(one) for one in rules(thresholds, list(PARTS))] + _others()}
    return HEAD + _dump({"groups": [group]})


def _dump(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)


def duration(seconds: float) -> str:
    """A length of time as Prometheus writes it."""
    return f"{seconds / 60:.0f}m" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g}s"  # noqa: PLR2004 - a minute


def _rule(rule: Rule) -> dict[str, Any]:
    keep = {"keep_firing_for": duration(rule.keep_s)} if rule.keep_s else {}
    return {
        "alert": rule.name,
        "expr": expression(rule),
        "for": duration(rule.for_s),
        **keep,
        "labels": {"severity": rule.severity, "component": rule.target},
        "annotations": _annotations(rule),
    }


def expression(rule: Rule) -> str:
    """When the rule's condition holds; while its target is down that alone is told."""
    down = f'{names.UP.name}{{target="{rule.target}"}} == 0'
    if rule.threshold is None:
        return down
    limit = names.exported_value(rule.limit, rule.threshold.unit)
    sign = ">" if rule.above else "<"
    return f"({names.name_of(rule.threshold)} {sign} {limit:g}) unless on (environment) ({down})"


def _annotations(rule: Rule) -> dict[str, str]:
    if rule.threshold is None:
        return {
            "summary": f"{{{{ $labels.environment }}}}: {rule.title}",
            "description": f"Nothing answers the watch for {duration(rule.for_s)}; its log says why.",
        }
    side = "above" if rule.above else "below"
    value = f"{{{{ $value | {_FORMATS.get(rule.threshold.unit, 'humanize')} }}}}"
    return {
        "summary": f"{{{{ $labels.environment }}}}: {rule.title}: {side} {_limit(rule)}",
        "description": f"{value} for {duration(rule.for_s)}. Limit: {rule.threshold.source}.",
    }


def _limit(rule: Rule) -> str:
    unit = rule.threshold.unit if rule.threshold is not None else Unit.COUNT
    return {
        Unit.MS: f"{rule.limit:g} ms",
        Unit.RATIO: f"{rule.limit * 100:g} %",
        Unit.PER_SECOND: f"{rule.limit:g}/s",
    }.get(unit, f"{rule.limit:g}")


def _others() -> list[dict[str, Any]]:
    """What only Prometheus can tell: that a metric has no value for long, and that no watch is there."""
    return [
        {
            "alert": "HasivuNotMeasured",
            "expr": f"{names.MEASURED.name} == 0",
            "for": duration(NOT_MEASURED_S),
            "labels": {"severity": "warning", "component": "watch"},
            "annotations": {
                "summary": "{{ $labels.environment }}: {{ $labels.metric }} is not measured",
                "description": "Nobody knows how it is, so no alert of it can fire. The watch's table says why.",
            },
        },
        {
            "alert": "HasivuWatchSilent",
            "expr": f"absent({names.INFO.name})",
            "for": duration(SILENT_S),
            "labels": {"severity": "critical", "component": "watch"},
            "annotations": {
                "summary": "No watch is scraped",
                "description": "No other alert can fire: start `hasivu-perf watch`, or see why it is not scraped.",
            },
        },
    ]


def tests_file(thresholds: Sequence[Threshold], rules_name: str) -> str:
    """For each alert series by which it fires, and series by which it does not, as promtool takes them."""
    tests = [test for rule in rules(thresholds, list(PARTS)) for test in _tests(rule)]
    content = {
        "rule_files": [rules_name],
        "evaluation_interval": duration(_STEP_S),
        "tests": [*tests, *_other_tests()],
    }
    return HEAD + _dump(content)


def _tests(rule: Rule) -> Iterator[dict[str, Any]]:
    after = rule.for_s + 4 * _STEP_S
    if rule.threshold is None:
        yield _test(rule, "fires", {_up(rule): 0}, after, _firing(rule, None))
        yield _test(rule, "not while it answers", {_up(rule): 1}, after, [])
        return
    limit = names.exported_value(rule.limit, rule.threshold.unit)
    past, within = (limit * 1.5, limit * 0.9) if rule.above else (limit * 0.5, limit * 1.1)
    if rule.threshold.unit is Unit.RATIO:
        past = min(past, 1.0)
    name = f'{names.name_of(rule.threshold)}{{environment="{_WHO}"}}'
    yield _test(rule, "fires", {name: past, _up(rule): 1}, after, _firing(rule, past))
    yield _test(rule, "not before its time", {name: past, _up(rule): 1}, max(0, rule.for_s - 2 * _STEP_S), [])
    yield _test(rule, "not at the limit", {name: limit, _up(rule): 1}, after, [])
    yield _test(rule, "not within it", {name: within, _up(rule): 1}, after, [])
    yield _test(rule, "not while the target is down", {name: past, _up(rule): 0}, after, [])
    yield _test(rule, "not without a value", {_up(rule): 1}, after, [])


def _up(rule: Rule) -> str:
    return f'{names.UP.name}{{environment="{_WHO}",target="{rule.target}"}}'


def _test(
    rule: Rule, what: str, series: dict[str, float], at: float, expected: list[dict[str, Any]]
) -> dict[str, Any]:
    return _case(f"{rule.name}: {what}", rule.name, series, at, expected)


def _case(
    title: str, alert: str, series: dict[str, float], at: float, expected: list[dict[str, Any]]
) -> dict[str, Any]:
    steps = int(at / _STEP_S) + 2
    return {
        "name": title,
        "interval": duration(_STEP_S),
        "input_series": [{"series": name, "values": f"{value:g}x{steps}"} for name, value in series.items()],
        "alert_rule_test": [{"eval_time": f"{at:g}s", "alertname": alert, "exp_alerts": expected}],
    }


def _firing(rule: Rule, value: float | None) -> list[dict[str, Any]]:
    """The one alert that is expected, with what promtool makes of its templates."""
    made = _rule(rule)
    labels = {"environment": _WHO, **made["labels"]}
    if rule.threshold is None:
        labels["target"] = rule.target
    texts = {key: _filled(text, value) for key, text in made["annotations"].items()}
    return [{"exp_labels": labels, "exp_annotations": texts}]


def _filled(text: str, value: float | None) -> str:
    for kind in ("humanizeDuration", "humanizePercentage", "humanize"):
        text = text.replace(f"{{{{ $value | {kind} }}}}", "" if value is None else _shown(kind, value))
    return text.replace("{{ $labels.environment }}", _WHO).replace("{{ $labels.metric }}", "cache.hits.ratio")


def _shown(kind: str, value: float) -> str:
    """As Prometheus' template functions write a value, to four digits; durations here are below a minute."""
    if kind == "humanizePercentage":
        return f"{value * 100:.4g}%"
    if kind == "humanizeDuration":
        return f"{value:.4g}s" if value >= 1 else f"{value * 1000:.4g}ms"
    return f"{value:.4g}"


def _other_tests() -> list[dict[str, Any]]:
    unmeasured, silent = _others()
    metric = f'{names.MEASURED.name}{{environment="{_WHO}",metric="cache.hits.ratio"}}'
    here = f'{names.INFO.name}{{environment="{_WHO}"}}'
    labels = {"environment": _WHO, "metric": "cache.hits.ratio", **unmeasured["labels"]}
    texts = {
        key: text.replace("{{ $labels.environment }}", _WHO).replace("{{ $labels.metric }}", "cache.hits.ratio")
        for key, text in unmeasured["annotations"].items()
    }
    late, quiet = NOT_MEASURED_S + 4 * _STEP_S, SILENT_S + 4 * _STEP_S
    one, other = unmeasured["alert"], silent["alert"]
    gone = [{"exp_labels": silent["labels"], "exp_annotations": silent["annotations"]}]
    return [
        _case(f"{one}: fires", one, {metric: 0}, late, [{"exp_labels": labels, "exp_annotations": texts}]),
        _case(f"{one}: not with a value", one, {metric: 1}, late, []),
        _case(f"{other}: fires", other, {metric: 1}, quiet, gone),
        _case(f"{other}: not while one is there", other, {here: 1}, quiet, []),
    ]
