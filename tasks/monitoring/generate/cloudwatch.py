"""A script of the AWS CLI that makes the recommended CloudWatch alarms, and removes them again. Pure.

Alarms on the functions that serve lunch (errors, throttles, cold starts by a metric filter on REPORT lines), and
where their ids are given on the HTTP API and the cache: they go on when no watch runs. Limits: thresholds.toml.
Percentiles of metric filters: Amazon CloudWatch Logs User Guide, "Creating metrics from log events using filters".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.records import AlertLevel, Severity, Threshold

NAMESPACE = "HASIVU/Performance"
PERIOD_S = 300

_TEXT_PATTERN = (
    '[report="REPORT", id_label="RequestId:", id, duration_label="Duration:", duration, duration_unit="ms", '
    'billed_a="Billed", billed_b="Duration:", billed, billed_unit="ms", size_a="Memory", size_b="Size:", size, '
    'size_unit="MB", used_a="Max", used_b="Memory", used_c="Used:", used, used_unit="MB", init_a="Init", '
    'init_b="Duration:", init, init_unit="ms", ...]'
)
_JSON_PATTERN = '{ $.type = "platform.report" && $.record.metrics.initDurationMs = * }'
_COLD = "ColdStart"

_HEAD = """\
#!/usr/bin/env bash
# Made by `hasivu-perf monitoring` from deployments/thresholds.toml: change that, not this.
# Makes (or changes) the recommended CloudWatch alarms; `remove` takes all of them away again.
#   ALARM_TOPIC=arn:aws:sns:… [API_ID=…] [CACHE_CLUSTER=…] [FUNCTION_PREFIX=…] [LOG_PREFIX=/aws/lambda/] \\
#     ./cloudwatch-alarms.sh [remove]
# Rights: cloudwatch:PutMetricAlarm, logs:PutMetricFilter; remove: cloudwatch:DeleteAlarms, logs:DeleteMetricFilter.
set -euo pipefail
FUNCTION_PREFIX=${FUNCTION_PREFIX:-%(prefix)s}
LOG_PREFIX=${LOG_PREFIX:-/aws/lambda/}
API_ID=${API_ID:-}
CACHE_CLUSTER=${CACHE_CLUSTER:-}
FUNCTIONS=(%(functions)s)

if [[ ${1:-} == remove ]]; then
  alarm() { aws cloudwatch delete-alarms --alarm-names "$1"; }
  filter() { aws logs delete-metric-filter --log-group-name "$1" --filter-name "$2" || true; }
else
  : "${ALARM_TOPIC:?set it to the ARN of the SNS topic that tells people}"
  alarm() {
    aws cloudwatch put-metric-alarm --cli-input-json "$2" --alarm-actions "$ALARM_TOPIC" --ok-actions "$ALARM_TOPIC"
  }
  filter() { aws logs put-metric-filter --cli-input-json "$3"; }
fi

for name in "${FUNCTIONS[@]}"; do
  function=$FUNCTION_PREFIX$name
  group=$LOG_PREFIX$function
"""


def alarms_script(thresholds: Sequence[Threshold], critical: Sequence[str], name_prefix: str) -> str:
    """The script; `critical` are the functions' names without `name_prefix`."""
    by_metric = {one.metric: one for one in thresholds}
    head = _HEAD % {"prefix": name_prefix, "functions": " ".join(critical)}
    parts = [*_of_function(by_metric), "done", *_of_api(by_metric), *_of_cache(by_metric)]
    return head + "\n".join(parts) + "\n"


def _of_function(by_metric: Mapping[str, Threshold]) -> Iterator[str]:
    errors, cold = _level(by_metric, "api.errors.ratio"), _level(by_metric, "lambda.cold_start.p95")
    yield _alarm("hasivu $function errors", _share("Errors", "$function"), errors, f"above {errors.limit:.2%}")
    throttles = {**_metric("AWS/Lambda", "Throttles", FunctionName="$function"), "Statistic": "Sum"}
    none = AlertLevel(limit=0, for_s=PERIOD_S)
    yield _alarm("hasivu $function throttles", {**throttles, "Period": PERIOD_S}, none, "requests were refused")
    yield _filter("cold-start-text", _TEXT_PATTERN, "$init")
    yield _filter("cold-start-json", _JSON_PATTERN, "$.record.metrics.initDurationMs")
    slow: dict[str, Any] = {"Namespace": NAMESPACE, "MetricName": f"{_COLD}-$function", "ExtendedStatistic": "p95"}
    slow |= {"EvaluateLowSampleCountPercentile": "evaluate", "Period": PERIOD_S}
    yield _alarm("hasivu $function cold starts", slow, cold, f"p95 of init above {cold.limit:g} ms")


def _of_api(by_metric: Mapping[str, Threshold]) -> Iterator[str]:
    latency, errors = _level(by_metric, "api.latency.p95"), _level(by_metric, "api.errors.ratio")
    metric = {**_metric("AWS/ApiGateway", "Latency", ApiId="$API_ID"), "ExtendedStatistic": "p95", "Period": PERIOD_S}
    yield "if [[ -n $API_ID ]]; then"
    yield _alarm("hasivu api latency", metric, latency, f"p95 above {latency.limit:g} ms")
    share = _share("5xx", "$API_ID", of="Count", namespace="AWS/ApiGateway", dimension="ApiId")
    yield _alarm("hasivu api errors", share, errors, f"above {errors.limit:.2%}")
    yield "fi"


def _of_cache(by_metric: Mapping[str, Threshold]) -> Iterator[str]:
    level = _level(by_metric, "cache.hits.ratio", Severity.WARNING)
    metric = {
        **_metric("AWS/ElastiCache", "CacheHitRate", CacheClusterId="$CACHE_CLUSTER"),
        "Statistic": "Average",
        "Period": PERIOD_S,
    }
    percent = AlertLevel(limit=level.limit * 100, for_s=level.for_s)
    yield "if [[ -n $CACHE_CLUSTER ]]; then"
    yield _alarm("hasivu cache hit ratio", metric, percent, f"below {level.limit:.0%}", above=False)
    yield "fi"


def _level(by_metric: Mapping[str, Threshold], metric: str, severity: Severity = Severity.CRITICAL) -> AlertLevel:
    return next(level for weight, level, _ in by_metric[metric].alerts if weight is severity)


def _metric(namespace: str, name: str, **dimensions: str) -> dict[str, Any]:
    return {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def _share(
    part: str,
    value: str,
    *,
    of: str = "Invocations",
    namespace: str = "AWS/Lambda",
    dimension: str = "FunctionName",
) -> dict[str, Any]:
    """One metric ÷ another by metric math; a period without requests is no data rather than 0 ÷ 0."""

    def query(name: str, metric: str) -> dict[str, Any]:
        stat = {"Metric": _metric(namespace, metric, **{dimension: value}), "Period": PERIOD_S, "Stat": "Sum"}
        return {"Id": name, "MetricStat": stat, "ReturnData": False}

    whole = {"Id": "share", "Expression": "part / whole", "Label": f"{part} / {of}", "ReturnData": True}
    return {"Metrics": [query("part", part), query("whole", of), whole]}


def _alarm(name: str, metric: Mapping[str, Any], level: AlertLevel, what: str, *, above: bool = True) -> str:
    """A call of the script's `alarm`; as many periods as the alert's time has."""
    periods = max(1, math.ceil(level.for_s / PERIOD_S))
    content = {
        "AlarmName": name,
        "AlarmDescription": f"{name}: {what} (hasivu-perf, deployments/thresholds.toml)",
        "ComparisonOperator": "GreaterThanThreshold" if above else "LessThanThreshold",
        "Threshold": level.limit,
        "EvaluationPeriods": periods,
        "DatapointsToAlarm": periods,
        "TreatMissingData": "missing",
        **metric,
    }
    return f'  alarm "{name}" {_quoted(content)}'


def _filter(name: str, pattern: str, value: str) -> str:
    content = {
        "logGroupName": "$group",
        "filterName": name,
        "filterPattern": pattern,
        "metricTransformations": [
            {
                "metricName": f"{_COLD}-$function",
                "metricNamespace": NAMESPACE,
                "metricValue": value,
                "unit": "Milliseconds",
            }
        ],
    }
    return f'  filter "$group" {name} {_quoted(content)}'


def _quoted(content: Mapping[str, Any]) -> str:
    """JSON in single quotes, with the script's own variables outside of them."""
    text = json.dumps(content, ensure_ascii=False).replace("'", "'\\''")
    for variable in ("$function", "$group", "$API_ID", "$CACHE_CLUSTER"):
        text = text.replace(variable, f"'\"{variable}\"'")
    return f"'{text}'"
