"""What `hasivu-perf doctor` says of AWS: credentials, region, and each permission, probed by the smallest calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from deployments.config import LambdaSettings, Target
from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.components.base import Check, now
from tasks.components.lambda_functions.account import (
    Account,
    DeniedError,
    NotEnrolledError,
    UnknownResourceError,
    statement,
)

DEADLINE_S = 30.0
_NEVER = "hasivu-perf-doctor-probe"
"""Name of a thing that does not exist: AWS answers whether one may ask before it answers whether it is there."""

PERMISSIONS = (
    "lambda:ListFunctions",
    "lambda:GetAccountSettings",
    "lambda:ListEventSourceMappings",
    "lambda:ListProvisionedConcurrencyConfigs",
    "lambda:GetFunctionConcurrency",
    "tag:GetResources",
    "cloudwatch:ListMetrics",
    "cloudwatch:GetMetricData",
    "apigateway:GET",
    "events:ListRules",
    "events:ListTargetsByRule",
    "compute-optimizer:GetLambdaFunctionRecommendations",
    "logs:FilterLogEvents",
    "logs:StartQuery",
    "logs:GetQueryResults",
)
"""All that a run asks for; sts:GetCallerIdentity needs no permission. docs/lambda-policy.json grants them."""


def check(settings: LambdaSettings, target: Target) -> list[Check]:
    """Credentials first; without them nothing else is tried."""
    try:
        account = Account(target, DEADLINE_S, attempts=2)
    except NotMeasuredError as error:
        return [Check("AWS credentials", ok=False, detail=str(error), remedy="aws configure")]
    try:
        return list(_checks(account, settings))
    finally:
        account.close()


def _checks(account: Account, settings: LambdaSettings) -> Iterator[Check]:
    try:
        identity = account.call("sts", "GetCallerIdentity")
    except TargetUnreachableError as error:
        yield Check("AWS", ok=False, detail=str(error), remedy="check AWS_REGION, AWS_ENDPOINT_URL and the network")
        return
    except NotMeasuredError as error:
        yield Check(
            "AWS credentials", ok=False, detail=str(error), remedy="set AWS_PROFILE, or renew the credentials"
        )
        return
    who = identity["Arn"].rpartition(":")[2]
    yield Check("AWS credentials", ok=True, detail=f"{who} in {account.region}")
    for permission, probe in _probes(account, settings):
        yield _permission(permission, probe)


def _permission(permission: str, probe: Callable[[], object]) -> Check:
    try:
        probe()
    except NotEnrolledError as error:
        return Check(permission, ok=True, detail=f"{error}: its figures are not shown beside ours")
    except UnknownResourceError:
        return Check(permission, ok=True, detail="allowed")
    except DeniedError:
        return Check(permission, ok=False, detail="denied", remedy=f"add to the policy: {statement([permission])}")
    except NotMeasuredError as error:
        return Check(permission, ok=False, detail=str(error), remedy="try again, or read the message of AWS")
    return Check(permission, ok=True, detail="allowed")


def _probes(account: Account, settings: LambdaSettings) -> Iterator[tuple[str, Callable[[], object]]]:
    end = now().replace(second=0, microsecond=0)
    start = end - timedelta(hours=1)
    group = settings.log_group.format(function=_NEVER)
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Invocations"}
    stat = {"Metric": metric, "Period": 3600, "Stat": "Sum"}
    yield "lambda:ListFunctions", partial(account.call, "lambda", "ListFunctions", MaxItems=1)
    yield "lambda:GetAccountSettings", partial(account.call, "lambda", "GetAccountSettings")
    yield "lambda:ListEventSourceMappings", partial(account.call, "lambda", "ListEventSourceMappings", MaxItems=1)
    for operation in ("ListProvisionedConcurrencyConfigs", "GetFunctionConcurrency"):
        yield f"lambda:{operation}", partial(account.call, "lambda", operation, FunctionName=_NEVER)
    yield "tag:GetResources", partial(account.call, "resourcegroupstaggingapi", "GetResources", ResourcesPerPage=1)
    yield "cloudwatch:ListMetrics", partial(account.call, "cloudwatch", "ListMetrics", Namespace="AWS/Lambda")
    yield (
        "cloudwatch:GetMetricData",
        partial(
            account.call,
            "cloudwatch",
            "GetMetricData",
            MetricDataQueries=[{"Id": "probe", "MetricStat": stat}],
            StartTime=start,
            EndTime=end,
        ),
    )
    yield "apigateway:GET", partial(account.call, "apigatewayv2", "GetApis", MaxResults="1")
    yield "events:ListRules", partial(account.call, "events", "ListRules", Limit=1)
    yield "events:ListTargetsByRule", partial(account.call, "events", "ListTargetsByRule", Rule=_NEVER)
    yield (
        "compute-optimizer:GetLambdaFunctionRecommendations",
        partial(account.call, "compute-optimizer", "GetLambdaFunctionRecommendations"),
    )
    yield "logs:FilterLogEvents", partial(account.call, "logs", "FilterLogEvents", logGroupName=group, limit=1)
    query = {"queryString": "limit 1", "startTime": int(start.timestamp()), "endTime": int(end.timestamp())}
    yield "logs:StartQuery", partial(account.call, "logs", "StartQuery", logGroupNames=[group], **query)
