"""Who calls the functions: routes and authorizers of API Gateway (HTTP and REST APIs), schedules of EventBridge.

Three calls per HTTP API that has to do with the functions, one per REST API, one for all rules; a rule is asked for
its targets only where its name does not tell the function. A function's policy would say the same at one call each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tasks.components.lambda_functions.account import Account
from tasks.components.lambda_functions.inventory import Inventory

ROUTE = "route"
AUTHORIZER = "authorizer"
SCHEDULE = "schedule"

MOST_APIS = 50
MOST_RULES = 50
_PAGE = "500"

_TARGET = re.compile(r"function:(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<qualifier>[\w$-]+))?")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY"})

_FIELDS: list[pa.Field[Any]] = [
    pa.field("kind", pa.string()),
    pa.field("api", pa.string()),
    pa.field("stages", pa.list_(pa.string())),
    pa.field("detail", pa.string()),
    pa.field("function", pa.string()),
    pa.field("exists", pa.bool_()),
]
TRIGGERS = pa.schema(_FIELDS)
"""One row per route (`GET /orders`), authorizer and schedule: which function it calls, and whether that exists.

`function` is empty where a route has no integration with a function; `stages` are those of its API.
"""


def read_routes(account: Account, inventory: Inventory) -> list[dict[str, Any]]:
    """Routes and authorizers of the APIs that call a function of the inventory, or one that would be of it."""
    return [*_http_apis(account, inventory), *_rest_apis(account, inventory)]


def read_schedules(account: Account, inventory: Inventory) -> list[dict[str, Any]]:
    """Rules of EventBridge that call a function of the inventory by a schedule."""
    rows = []
    asked = 0
    for page in account.pages("events", "ListRules"):
        for rule in page.get("Rules", []):
            if not rule.get("ScheduleExpression"):
                continue
            names = _named_by(rule["Name"], inventory)
            if not names and asked < MOST_RULES:
                asked += 1
                targets = account.call("events", "ListTargetsByRule", Rule=rule["Name"]).get("Targets", [])
                names = [name for target in targets if (name := function_of(target["Arn"]))]
            detail = f"{rule['ScheduleExpression']} ({rule.get('State', 'ENABLED').lower()})"
            rows += [_Api(inventory, rule["Name"]).row(SCHEDULE, detail, name) for name in names]
    return [row for row in rows if row["function"] in inventory.account_names]


def function_of(arn: str) -> str:
    """The function's name in an ARN or an integration's URI; empty where it names none."""
    found = _TARGET.search(arn or "")
    return found["name"] if found else ""


def _named_by(rule: str, inventory: Inventory) -> list[str]:
    """The function that a rule's name begins with, the longest where one name begins another."""
    found = [name for name in inventory.names if rule == name or rule.startswith(f"{name}-rule")]
    return [max(found, key=len)] if found else []


@dataclass(frozen=True)
class _Api:
    """An API or a rule: what calls."""

    inventory: Inventory
    name: str
    stages: tuple[str, ...] = ()

    def row(self, kind: str, detail: str, function: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "api": self.name,
            "stages": list(self.stages),
            "detail": detail,
            "function": function,
            "exists": function in self.inventory.account_names,
        }


def _http_apis(account: Account, inventory: Inventory) -> Iterator[dict[str, Any]]:
    apis = [api for page in account.pages("apigatewayv2", "GetApis", MaxResults=_PAGE) for api in page["Items"]]
    for api in apis[:MOST_APIS]:
        own = {"ApiId": api["ApiId"], "MaxResults": _PAGE}
        integrations = {
            each["IntegrationId"]: function_of(each.get("IntegrationUri", ""))
            for page in account.pages("apigatewayv2", "GetIntegrations", **own)
            for each in page["Items"]
        }
        if not any(inventory.owns(name) for name in integrations.values()):
            continue
        stages = (
            stage["StageName"]
            for page in account.pages("apigatewayv2", "GetStages", **own)
            for stage in page["Items"]
        )
        front = _Api(inventory, f"{api.get('Name', '')} ({api['ApiId']})", tuple(sorted(stages)))
        authorizers = False
        for page in account.pages("apigatewayv2", "GetRoutes", **own):
            for route in page["Items"]:
                authorizers |= bool(route.get("AuthorizerId"))
                target = integrations.get(route.get("Target", "").removeprefix("integrations/"), "")
                yield front.row(ROUTE, route["RouteKey"], target)
        if authorizers:
            for page in account.pages("apigatewayv2", "GetAuthorizers", **own):
                for each in page["Items"]:
                    if target := function_of(each.get("AuthorizerUri", "")):
                        yield front.row(AUTHORIZER, each.get("Name", "authorizer"), target)


def _rest_apis(account: Account, inventory: Inventory) -> Iterator[dict[str, Any]]:
    apis = [api for page in account.pages("apigateway", "GetRestApis") for api in page.get("items", [])]
    for api in apis[:MOST_APIS]:
        rows = [
            (f"{method} {resource.get('path', '/')}", function_of(how.get("methodIntegration", {}).get("uri", "")))
            for page in account.pages("apigateway", "GetResources", restApiId=api["id"], embed=["methods"])
            for resource in page.get("items", [])
            for method, how in resource.get("resourceMethods", {}).items()
        ]
        if not any(inventory.owns(name) for _, name in rows):
            continue
        answer = account.call("apigateway", "GetStages", restApiId=api["id"])
        stages = tuple(sorted(stage["stageName"] for stage in answer.get("item", [])))
        front = _Api(inventory, f"{api.get('name', '')} ({api['id']})", stages)
        for detail, function in rows:
            if function:  # a method without a function is a mock or another service, which REST APIs have by design
                yield front.row(ROUTE, detail, function)


def method_of(detail: str) -> str:
    """The HTTP method of a route's detail; empty for `$default` and WebSocket routes."""
    method = detail.partition(" ")[0].upper()
    return method if method in _METHODS else ""


def by_function(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Triggers of each function."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["function"]:
            found.setdefault(row["function"], []).append(row)
    return found
