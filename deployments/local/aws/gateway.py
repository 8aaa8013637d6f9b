"""API Gateway and EventBridge, their reading halves: the HTTP API in front of the functions, and their schedules.

Two traps lie here on purpose: a route whose function was never deployed, and a stage `prod` of the API that serves
the functions of stage `dev`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from deployments.local.aws import paging
from deployments.local.aws.corpus import Corpus
from deployments.local.aws.errors import AwsError
from deployments.local.aws.functions import Function
from deployments.local.aws.names import (
    ACCOUNT_ID,
    API_ID,
    ORPHAN_FUNCTION,
    ORPHAN_ROUTE,
    REGION,
    SERVICE,
    STAGE,
    STRANGE_STAGE,
    function_arn,
    function_name,
)

PAGE = 100
MOST = 500
RULES_PAGE = 100

Params = Mapping[str, Any]
Query = Mapping[str, str]

_PATH = re.compile(r"/v2/apis(?:/(?P<api>[^/]+)/(?P<what>routes|integrations|stages|authorizers))?/?")


class Gateway:
    """One HTTP API with a route for each HTTP event of the functions, and no REST API."""

    def __init__(self, corpus: Corpus) -> None:
        integrations = {function.key: f"i{number:06d}" for number, function in enumerate(corpus.functions)}
        called = [function for function in corpus.functions if any(_http(function))]
        self._rows: dict[str, list[dict[str, Any]]] = {
            "integrations": [
                *(_integration(integrations[function.key], function.arn) for function in called),
                _integration("i999999", function_arn(function_name(ORPHAN_FUNCTION))),
            ],
            "routes": [
                *(
                    _route(number, f"{event['method'].upper()} {event['path']}", integrations[function.key])
                    for number, (function, event) in enumerate(_events(called))
                ),
                _route(999_999, ORPHAN_ROUTE, "i999999"),
            ],
            "stages": [{"stageName": name, "autoDeploy": True} for name in (STAGE, STRANGE_STAGE)],
            "authorizers": [],
        }

    def route(self, method: str, path: str, query: Query) -> tuple[str, Callable[[], dict[str, Any]]] | None:
        """The permission that a request needs, and its answer on call; None where nothing here has it."""
        if method != "GET":
            return None
        if path.rstrip("/") == "/restapis":
            return "GET", lambda: {"item": []}
        found = _PATH.fullmatch(path)
        return None if found is None else ("GET", partial(self._answer, found["api"], found["what"], query))

    def _answer(self, api: str | None, what: str | None, query: Query) -> dict[str, Any]:
        if api is None or what is None:
            row = {"apiId": API_ID, "name": f"{STAGE}-{SERVICE}", "protocolType": "HTTP"}
            return _page([row], query)
        if api != API_ID:
            raise AwsError("NotFoundException", f"Invalid API identifier specified {ACCOUNT_ID}:{api}", status=404)
        return _page(self._rows[what], query)


class Events:
    """The rules that call functions on schedule."""

    def __init__(self, corpus: Corpus) -> None:
        self._rules = {
            f"{function.name}-rule-{number}": (function.arn, rate)
            for function in corpus.functions
            for number, rate in enumerate(function.schedules)
        }

    def list_rules(self, params: Params) -> dict[str, Any]:
        """Rules by name, 100 a page."""
        request = {key: value for key, value in params.items() if key not in {"NextToken", "Limit"}}
        names = sorted(name for name in self._rules if name.startswith(params.get("NamePrefix", "")))
        size = min(params.get("Limit", RULES_PAGE), RULES_PAGE)
        try:
            begin = int(paging.redeem(params["NextToken"], request)) if params.get("NextToken") else 0
        except ValueError as error:
            raise AwsError("ValidationException", "The nextToken is invalid.") from error
        answer: dict[str, Any] = {"Rules": [self._rule(name) for name in names[begin : begin + size]]}
        if begin + size < len(names):
            answer["NextToken"] = paging.issue(begin + size, request)
        return answer

    def list_targets_by_rule(self, params: Params) -> dict[str, Any]:
        """The one function that a rule calls."""
        name = params.get("Rule", "")
        if name not in self._rules:
            raise AwsError("ResourceNotFoundException", f"Rule {name} does not exist on EventBus default.")
        return {"Targets": [{"Id": "1", "Arn": self._rules[name][0]}]}

    def _rule(self, name: str) -> dict[str, Any]:
        return {
            "Name": name,
            "Arn": f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{name}",
            "ScheduleExpression": self._rules[name][1],
            "State": "ENABLED",
            "EventBusName": "default",
        }


def _http(function: Function) -> Iterable[dict[str, Any]]:
    return (event for event in function.events if event["type"] == "http")


def _events(functions: Iterable[Function]) -> Iterable[tuple[Function, dict[str, Any]]]:
    return ((function, event) for function in functions for event in _http(function))


def _integration(identity: str, arn: str) -> dict[str, Any]:
    return {
        "integrationId": identity,
        "integrationType": "AWS_PROXY",
        "integrationMethod": "POST",
        "integrationUri": arn,
        "payloadFormatVersion": "2.0",
    }


def _route(number: int, key: str, integration: str) -> dict[str, Any]:
    return {
        "routeId": f"r{number:06d}",
        "routeKey": key,
        "target": f"integrations/{integration}",
        "authorizationType": "NONE",
        "apiKeyRequired": False,
    }


def _page(rows: list[dict[str, Any]], query: Query) -> dict[str, Any]:
    text = query.get("maxResults", str(PAGE))
    if not text.isdigit() or not 1 <= int(text) <= MOST:
        raise AwsError("BadRequestException", f"maxResults must be between 1 and {MOST}")
    request = {key: value for key, value in query.items() if key not in {"nextToken", "maxResults"}}
    size = int(text)
    try:
        begin = int(paging.redeem(query["nextToken"], request)) if query.get("nextToken") else 0
    except ValueError as error:
        raise AwsError("BadRequestException", "Invalid nextToken") from error
    answer: dict[str, Any] = {"items": rows[begin : begin + size]}
    if begin + size < len(rows):
        answer["nextToken"] = paging.issue(begin + size, request)
    return answer
