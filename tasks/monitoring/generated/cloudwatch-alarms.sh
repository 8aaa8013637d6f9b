#!/usr/bin/env bash
# Made by `hasivu-perf monitoring` from deployments/thresholds.toml: change that, not this.
# Makes (or changes) the recommended CloudWatch alarms; `remove` takes all of them away again.
#   ALARM_TOPIC=arn:aws:sns:… [API_ID=…] [CACHE_CLUSTER=…] [FUNCTION_PREFIX=…] [LOG_PREFIX=/aws/lambda/] \
#     ./cloudwatch-alarms.sh [remove]
# Rights: cloudwatch:PutMetricAlarm, logs:PutMetricFilter; remove: cloudwatch:DeleteAlarms, logs:DeleteMetricFilter.
set -euo pipefail
FUNCTION_PREFIX=${FUNCTION_PREFIX:-hasivu-platform-}
LOG_PREFIX=${LOG_PREFIX:-/aws/lambda/}
API_ID=${API_ID:-}
CACHE_CLUSTER=${CACHE_CLUSTER:-}
FUNCTIONS=(health auth-login orders-create orders-get orders-list menus-daily rfid-verify-card rfid-delivery-verification payments-create-order payments-verify)

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
  alarm "hasivu $function errors" '{"AlarmName": "hasivu '"$function"' errors", "AlarmDescription": "hasivu '"$function"' errors: above 1.00% (hasivu-perf, deployments/thresholds.toml)", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0.01, "EvaluationPeriods": 1, "DatapointsToAlarm": 1, "TreatMissingData": "missing", "Metrics": [{"Id": "part", "MetricStat": {"Metric": {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": [{"Name": "FunctionName", "Value": "'"$function"'"}]}, "Period": 300, "Stat": "Sum"}, "ReturnData": false}, {"Id": "whole", "MetricStat": {"Metric": {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": [{"Name": "FunctionName", "Value": "'"$function"'"}]}, "Period": 300, "Stat": "Sum"}, "ReturnData": false}, {"Id": "share", "Expression": "part / whole", "Label": "Errors / Invocations", "ReturnData": true}]}'
  alarm "hasivu $function throttles" '{"AlarmName": "hasivu '"$function"' throttles", "AlarmDescription": "hasivu '"$function"' throttles: requests were refused (hasivu-perf, deployments/thresholds.toml)", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0.0, "EvaluationPeriods": 1, "DatapointsToAlarm": 1, "TreatMissingData": "missing", "Namespace": "AWS/Lambda", "MetricName": "Throttles", "Dimensions": [{"Name": "FunctionName", "Value": "'"$function"'"}], "Statistic": "Sum", "Period": 300}'
  filter "$group" cold-start-text '{"logGroupName": "'"$group"'", "filterName": "cold-start-text", "filterPattern": "[report=\"REPORT\", id_label=\"RequestId:\", id, duration_label=\"Duration:\", duration, duration_unit=\"ms\", billed_a=\"Billed\", billed_b=\"Duration:\", billed, billed_unit=\"ms\", size_a=\"Memory\", size_b=\"Size:\", size, size_unit=\"MB\", used_a=\"Max\", used_b=\"Memory\", used_c=\"Used:\", used, used_unit=\"MB\", init_a=\"Init\", init_b=\"Duration:\", init, init_unit=\"ms\", ...]", "metricTransformations": [{"metricName": "ColdStart-'"$function"'", "metricNamespace": "HASIVU/Performance", "metricValue": "$init", "unit": "Milliseconds"}]}'
  filter "$group" cold-start-json '{"logGroupName": "'"$group"'", "filterName": "cold-start-json", "filterPattern": "{ $.type = \"platform.report\" && $.record.metrics.initDurationMs = * }", "metricTransformations": [{"metricName": "ColdStart-'"$function"'", "metricNamespace": "HASIVU/Performance", "metricValue": "$.record.metrics.initDurationMs", "unit": "Milliseconds"}]}'
  alarm "hasivu $function cold starts" '{"AlarmName": "hasivu '"$function"' cold starts", "AlarmDescription": "hasivu '"$function"' cold starts: p95 of init above 3000 ms (hasivu-perf, deployments/thresholds.toml)", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 3000.0, "EvaluationPeriods": 3, "DatapointsToAlarm": 3, "TreatMissingData": "missing", "Namespace": "HASIVU/Performance", "MetricName": "ColdStart-'"$function"'", "ExtendedStatistic": "p95", "EvaluateLowSampleCountPercentile": "evaluate", "Period": 300}'
done
if [[ -n $API_ID ]]; then
  alarm "hasivu api latency" '{"AlarmName": "hasivu api latency", "AlarmDescription": "hasivu api latency: p95 above 500 ms (hasivu-perf, deployments/thresholds.toml)", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 500.0, "EvaluationPeriods": 1, "DatapointsToAlarm": 1, "TreatMissingData": "missing", "Namespace": "AWS/ApiGateway", "MetricName": "Latency", "Dimensions": [{"Name": "ApiId", "Value": "'"$API_ID"'"}], "ExtendedStatistic": "p95", "Period": 300}'
  alarm "hasivu api errors" '{"AlarmName": "hasivu api errors", "AlarmDescription": "hasivu api errors: above 1.00% (hasivu-perf, deployments/thresholds.toml)", "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0.01, "EvaluationPeriods": 1, "DatapointsToAlarm": 1, "TreatMissingData": "missing", "Metrics": [{"Id": "part", "MetricStat": {"Metric": {"Namespace": "AWS/ApiGateway", "MetricName": "5xx", "Dimensions": [{"Name": "ApiId", "Value": "'"$API_ID"'"}]}, "Period": 300, "Stat": "Sum"}, "ReturnData": false}, {"Id": "whole", "MetricStat": {"Metric": {"Namespace": "AWS/ApiGateway", "MetricName": "Count", "Dimensions": [{"Name": "ApiId", "Value": "'"$API_ID"'"}]}, "Period": 300, "Stat": "Sum"}, "ReturnData": false}, {"Id": "share", "Expression": "part / whole", "Label": "5xx / Count", "ReturnData": true}]}'
fi
if [[ -n $CACHE_CLUSTER ]]; then
  alarm "hasivu cache hit ratio" '{"AlarmName": "hasivu cache hit ratio", "AlarmDescription": "hasivu cache hit ratio: below 90% (hasivu-perf, deployments/thresholds.toml)", "ComparisonOperator": "LessThanThreshold", "Threshold": 90.0, "EvaluationPeriods": 2, "DatapointsToAlarm": 2, "TreatMissingData": "missing", "Namespace": "AWS/ElastiCache", "MetricName": "CacheHitRate", "Dimensions": [{"Name": "CacheClusterId", "Value": "'"$CACHE_CLUSTER"'"}], "Statistic": "Average", "Period": 300}'
fi
