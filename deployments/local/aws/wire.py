"""HTTP to operations and back, in the protocols that boto3 speaks to these services.

CloudWatch, Logs and tags: AWS JSON (the operation in X-Amz-Target). Lambda: REST JSON. STS: query and XML. Signatures
are not checked. What is not emulated is refused by name, never answered with something empty.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from werkzeug.wrappers import Request, Response

from deployments.local.aws import READY_PATH
from deployments.local.aws.cloudwatch import CloudWatch
from deployments.local.aws.corpus import Corpus
from deployments.local.aws.errors import AwsError, QueryError, in_xml
from deployments.local.aws.gateway import Events, Gateway
from deployments.local.aws.guard import Guard
from deployments.local.aws.lambda_api import LambdaApi
from deployments.local.aws.logs import Logs
from deployments.local.aws.logstore import groups
from deployments.local.aws.names import REGION
from deployments.local.aws.optimizer import ComputeOptimizer
from deployments.local.aws.series import MetricStore
from deployments.local.aws.tagging import Tagging, caller_identity, simulation

Operation = Callable[[Mapping[str, Any]], dict[str, Any]]
StartResponse = Callable[..., Any]

_CREDENTIAL = re.compile(r"Credential=[^/]*/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_GLOBAL = frozenset({"sts", "iam", "s3", "pricing", "compute-optimizer"})


class Application:
    """The WSGI application; answers 503 until `seed` has been called."""

    def __init__(self, guard: Guard, *, compute_optimizer: bool = False, insights: bool = False) -> None:
        self._guard = guard
        self._compute_optimizer = compute_optimizer
        self._insights = insights
        self._targets: dict[str, tuple[str, dict[str, Operation]]] | None = None
        self._rest_services: dict[str, LambdaApi | Gateway] = {}

    def seed(self, corpus: Corpus) -> None:
        """Make every service from the corpus; the application is ready afterwards."""
        cloudwatch = CloudWatch(MetricStore(corpus, insights=self._insights))
        logs = Logs(groups(corpus))
        self._rest_services = {"lambda": LambdaApi(corpus), "apigateway": Gateway(corpus)}
        events, optimizer = Events(corpus), ComputeOptimizer(corpus, enrolled=self._compute_optimizer)
        self._targets = {
            "GraniteServiceVersion20100801": (
                "cloudwatch",
                {
                    "GetMetricData": cloudwatch.get_metric_data,
                    "GetMetricStatistics": cloudwatch.get_metric_statistics,
                    "ListMetrics": cloudwatch.list_metrics,
                },
            ),
            "Logs_20140328": (
                "logs",
                {
                    "DescribeLogGroups": logs.describe_log_groups,
                    "DescribeLogStreams": logs.describe_log_streams,
                    "FilterLogEvents": logs.filter_log_events,
                    "StartQuery": logs.start_query,
                    "GetQueryResults": logs.get_query_results,
                    "StopQuery": logs.stop_query,
                    "DescribeQueries": logs.describe_queries,
                },
            ),
            "ResourceGroupsTaggingAPI_20170126": ("tag", {"GetResources": Tagging(corpus).get_resources}),
            "AnyScaleFrontendService": ("application-autoscaling", _NOTHING_REGISTERED),
            "AWSEvents": (
                "events",
                {"ListRules": events.list_rules, "ListTargetsByRule": events.list_targets_by_rule},
            ),
            "ComputeOptimizerService": (
                "compute-optimizer",
                {"GetLambdaFunctionRecommendations": optimizer.recommendations},
            ),
        }

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; whatever fails unexpectedly is a 500 whose cause goes to stderr."""
        request_id = str(uuid.uuid4())
        try:
            response = self._respond(Request(environ), request_id)
        except AwsError as error:
            response = _refusal(error, request_id)
        except QueryError as error:
            response = Response(error.xml(request_id), status=error.refusal.status, content_type="text/xml")
        except Exception:  # noqa: BLE001  # the edge: a fault must be an answer, and its cause visible
            traceback.print_exc(file=sys.stderr)
            response = _refusal(
                AwsError("InternalFailure", "the emulator failed; see its log", status=500), request_id
            )
        response.headers["x-amzn-RequestId"] = request_id
        return response(environ, start_response)

    def _respond(self, request: Request, request_id: str) -> Response:
        service = _signed_for(request)
        if (answer := self._query(request, request_id)) is not None:
            return answer
        if self._targets is None:
            return Response("seeding", status=503, content_type="text/plain")
        if request.path == READY_PATH:
            return Response("ready", content_type="text/plain")
        if target := request.headers.get("X-Amz-Target"):
            return self._json(target, request)
        if service in self._rest_services:
            return self._rest(service, request)
        raise _unknown(f"{service or 'an unsigned request'}: {request.method} {request.path}")

    def _query(self, request: Request, request_id: str) -> Response | None:
        """STS and IAM, which know nothing of the corpus; None where it is none of theirs."""
        if request.method != "POST" or request.headers.get("X-Amz-Target"):
            return None
        form = parse_qs(request.get_data(as_text=True))
        if form.get("Action") == ["GetCallerIdentity"]:
            return Response(caller_identity(request_id), content_type="text/xml")
        if form.get("Action") == ["SimulatePrincipalPolicy"]:
            with in_xml():
                self._guard.admit("iam", "SimulatePrincipalPolicy")
            actions = [form[name][0] for name in sorted(form, key=_number) if name.startswith("ActionNames.member.")]
            return Response(simulation(actions, self._guard.allowed, request_id), content_type="text/xml")
        return None

    def _json(self, target: str, request: Request) -> Response:
        prefix, _, name = target.partition(".")
        service, operations = (self._targets or {}).get(prefix, ("", {}))
        if name not in operations:
            raise _unknown(target)
        self._guard.admit(service, name)
        try:
            params = json.loads(request.get_data() or b"{}")
        except ValueError as error:
            raise AwsError("SerializationException", "the body is no JSON") from error
        if not isinstance(params, dict):
            raise AwsError("SerializationException", "the body is no JSON object")
        body = json.dumps(operations[name](params), separators=(",", ":"))
        return Response(body, content_type=request.headers.get("Content-Type", "application/x-amz-json-1.1"))

    def _rest(self, service: str, request: Request) -> Response:
        found = self._rest_services[service].route(request.method, request.path, request.args)
        if found is None:
            raise _unknown(f"{service}: {request.method} {request.path}")
        name, answer = found
        self._guard.admit(service, name)
        return Response(json.dumps(answer()), content_type="application/json")


def _number(name: str) -> int:
    """The place of a member of a list in a query, such as `ActionNames.member.12`."""
    last = name.rpartition(".")[2]
    return int(last) if last.isdecimal() else 0


def _signed_for(request: Request) -> str | None:
    match = _CREDENTIAL.search(request.headers.get("Authorization", ""))
    if match is None:
        return None
    if match["region"] != REGION and match["service"] not in _GLOBAL:
        message = f"only {REGION} is emulated, the request is signed for {match['region']}"
        raise AwsError("InvalidSignatureException", message, status=403)
    return match["service"]


def _refusal(error: AwsError, request_id: str) -> Response:
    body = {"__type": error.code, "message": error.message, "Message": error.message, "RequestId": request_id}
    headers = {"x-amzn-ErrorType": error.code, "x-amzn-query-error": f"{error.code};Sender"}
    return Response(
        json.dumps(body | error.members), status=error.status, headers=headers, content_type="application/json"
    )


def _unknown(what: str) -> AwsError:
    return AwsError("UnknownOperationException", f"{what} is not emulated")


_NOTHING_REGISTERED: dict[str, Operation] = {
    "DescribeScalableTargets": lambda _params: {"ScalableTargets": []},
    "DescribeScheduledActions": lambda _params: {"ScheduledActions": []},
    "DescribeScalingPolicies": lambda _params: {"ScalingPolicies": []},
}
