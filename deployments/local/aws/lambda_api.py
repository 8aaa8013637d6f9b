"""The Lambda API, its reading half: functions, versions, aliases, concurrency, policies, tags, account limits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote

from deployments.local.aws import paging
from deployments.local.aws.corpus import Corpus
from deployments.local.aws.errors import AwsError
from deployments.local.aws.functions import CRITICAL, Function
from deployments.local.aws.names import (
    ACCOUNT_ID,
    ALIAS,
    ALIAS_VERSION,
    API_ID,
    REGION,
    SERVICE,
    STAGE,
    function_arn,
)

FUNCTIONS_PAGE = 50
"""ListFunctions answers at most 50, whatever MaxItems says (up to 10,000)."""

OTHER_PAGE = 100
MOST_ITEMS = 10_000
CONCURRENCY_LIMIT = 1_000
GIGABYTE = 1024**3

_NAME = re.compile(
    r"(?:(?:arn:aws:lambda:[a-z0-9-]+:)?\d{12}:function:)?(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<qualifier>\$LATEST|[\w-]+))?"
)

Query = Mapping[str, str]
Handler = Callable[["LambdaApi", str, Query], dict[str, Any]]


class LambdaApi:
    """The operations of Lambda over the deployed functions."""

    def __init__(self, corpus: Corpus) -> None:
        self._functions = {function.name: function for function in corpus.functions}
        self._deployed = datetime.fromtimestamp(corpus.start_ms / 1000, UTC) - timedelta(days=30)

    def route(self, method: str, path: str, query: Query) -> tuple[str, Callable[[], dict[str, Any]]] | None:
        """The operation that a request names, and its answer on call; None where no emulated operation has it."""
        if method != "GET":
            return None
        for pattern, handler in _ROUTES:
            if match := pattern.fullmatch(path):
                argument = unquote(match.group(1)) if match.groups() else ""
                return _operation(handler, query), partial(handler, self, argument, query)
        return None

    def list_functions(self, _name: str, query: Query) -> dict[str, Any]:
        """Functions in pages of 50 at most; every version of them with FunctionVersion=ALL."""
        rows = [self._configuration(function, None) for function in self._functions.values()]
        if query.get("FunctionVersion") == "ALL":
            rows = [row for function in self._functions.values() for row in self._versions(function)]
        return _paged("Functions", rows, query, FUNCTIONS_PAGE)

    def get_function(self, name: str, query: Query) -> dict[str, Any]:
        """Configuration, code location, tags and reserved concurrency."""
        function, qualifier = self._find(name, query)
        answer: dict[str, Any] = {
            "Configuration": self._configuration(function, qualifier),
            "Code": {"RepositoryType": "S3", "Location": "https://awslambda-ap-south-1-tasks.s3.amazonaws.com/"},
            "Tags": tags(function),
        }
        if function.reserved is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
        return answer

    def get_function_configuration(self, name: str, query: Query) -> dict[str, Any]:
        """The configuration of a function, version or alias."""
        return self._configuration(*self._find(name, query))

    def get_function_concurrency(self, name: str, query: Query) -> dict[str, Any]:
        """The reserved concurrency; an empty answer where there is none."""
        function, _ = self._find(name, query)
        return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}

    def provisioned_concurrency(self, name: str, query: Query) -> dict[str, Any]:
        """List (with ?List=ALL) or get the provisioned concurrency of a function."""
        function, qualifier = self._find(name, query)
        if query.get("List") == "ALL":
            rows = [self._provisioned(function)] if function.provisioned else []
            return _paged("ProvisionedConcurrencyConfigs", rows, query, 50)
        if qualifier != ALIAS or not function.provisioned:
            message = f"No Provisioned Concurrency Config found for this function: {function.arn}"
            raise AwsError("ProvisionedConcurrencyConfigNotFoundException", message, status=404)
        return {key: value for key, value in self._provisioned(function).items() if key != "FunctionArn"}

    def list_aliases(self, name: str, query: Query) -> dict[str, Any]:
        """The aliases: `live` where concurrency is provisioned, otherwise none."""
        function, _ = self._find(name, query)
        return _paged("Aliases", [self._alias(function)] if function.provisioned else [], query, OTHER_PAGE)

    def get_alias(self, path: str, query: Query) -> dict[str, Any]:
        """One alias, by `function/aliases/name`."""
        name, alias = path.split("/aliases/")
        function, _ = self._find(name, query)
        if alias != ALIAS or not function.provisioned:
            raise _not_found(f"Cannot find alias arn: {function_arn(function.name, alias)}")
        return self._alias(function)

    def list_versions(self, name: str, query: Query) -> dict[str, Any]:
        """`$LATEST`, and the published version where an alias points to one."""
        function, _ = self._find(name, query)
        return _paged("Versions", self._versions(function), query, 50)

    def get_policy(self, name: str, query: Query) -> dict[str, Any]:
        """Who may invoke the function: API Gateway and EventBridge rules, by the function's events."""
        function, qualifier = self._find(name, query)
        statements = list(_statements(function))
        if not statements or qualifier not in {None, "$LATEST"}:
            raise _not_found("The resource you requested does not exist.")
        policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        return {"Policy": json.dumps(policy, separators=(",", ":")), "RevisionId": _revision(function)}

    def list_tags(self, arn: str, query: Query) -> dict[str, Any]:
        """The tags of the function with that ARN."""
        function, _ = self._find(arn, query)
        return {"Tags": tags(function)}

    def list_event_source_mappings(self, _name: str, query: Query) -> dict[str, Any]:
        """None: every function of the stack is invoked by HTTP or by a schedule."""
        return _paged("EventSourceMappings", [], query, OTHER_PAGE)

    def get_account_settings(self, _name: str, _query: Query) -> dict[str, Any]:
        """The limits of the account, and what is used of them."""
        reserved = sum(function.reserved or 0 for function in self._functions.values())
        size = sum(_code_size(function) for function in self._functions.values())
        return {
            "AccountLimit": {
                "TotalCodeSize": 75 * GIGABYTE,
                "CodeSizeUnzipped": 262_144_000,
                "CodeSizeZipped": 52_428_800,
                "ConcurrentExecutions": CONCURRENCY_LIMIT,
                "UnreservedConcurrentExecutions": CONCURRENCY_LIMIT - reserved,
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": len(self._functions)},
        }

    def _find(self, name: str, query: Query) -> tuple[Function, str | None]:
        match = _NAME.fullmatch(name)
        if match is None:
            message = f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint"
            raise AwsError("ValidationException", message)
        function = self._functions.get(match["name"])
        qualifier = query.get("Qualifier") or match["qualifier"]
        known = {None, "$LATEST"} | ({ALIAS, ALIAS_VERSION} if function and function.provisioned else set())
        if function is None or qualifier not in known:
            raise _not_found(f"Function not found: {function_arn(match['name'], qualifier)}")
        return function, qualifier

    def _versions(self, function: Function) -> list[dict[str, Any]]:
        published = [ALIAS_VERSION] if function.provisioned else []
        return [self._configuration(function, version) for version in ("$LATEST", *published)]

    def _configuration(self, function: Function, qualifier: str | None) -> dict[str, Any]:
        digest = function.digest
        return {
            "FunctionName": function.name,
            "FunctionArn": function_arn(function.name, qualifier),
            "Runtime": function.runtime,
            "Role": f"arn:aws:iam::{ACCOUNT_ID}:role/{SERVICE}-{STAGE}-{REGION}-lambdaRole",
            "Handler": f"dist/functions/{function.key}.handler",
            "CodeSize": _code_size(function),
            "Description": "",
            "Timeout": function.timeout_s,
            "MemorySize": function.memory_mb,
            "LastModified": f"{self._deployed:%Y-%m-%dT%H:%M:%S}.000+0000",
            "CodeSha256": base64.b64encode(digest).decode(),
            "Version": ALIAS_VERSION if qualifier in {ALIAS, ALIAS_VERSION} else "$LATEST",
            "TracingConfig": {"Mode": "Active" if function.traced else "PassThrough"},
            "RevisionId": _revision(function),
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": ["arm64"],
            "EphemeralStorage": {"Size": 512},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": {"LogFormat": function.log_format, "LogGroup": function.log_group},
        }

    def _provisioned(self, function: Function) -> dict[str, Any]:
        return {
            "FunctionArn": function_arn(function.name, ALIAS),
            "RequestedProvisionedConcurrentExecutions": function.provisioned,
            "AvailableProvisionedConcurrentExecutions": function.provisioned,
            "AllocatedProvisionedConcurrentExecutions": function.provisioned,
            "Status": "READY",
            "LastModified": f"{self._deployed:%Y-%m-%dT%H:%M:%S}+0000",
        }

    def _alias(self, function: Function) -> dict[str, Any]:
        return {
            "AliasArn": function_arn(function.name, ALIAS),
            "Name": ALIAS,
            "FunctionVersion": ALIAS_VERSION,
            "Description": "",
            "RevisionId": _revision(function),
        }


def tags(function: Function) -> dict[str, str]:
    """The tags that the Serverless Framework sets, and `criticality` on the two functions that carry it."""
    own = {"STAGE": STAGE, "service": SERVICE}
    return own | ({"criticality": "critical"} if function.key in CRITICAL else {})


def _statements(function: Function) -> Iterable[dict[str, Any]]:
    for number, event in enumerate(function.events):
        if event["type"] == "http":
            principal, source = "apigateway.amazonaws.com", f"execute-api:{REGION}:{ACCOUNT_ID}:{API_ID}/*"
            path = re.sub(r"\{[^}]+\}", "*", event["path"])
            source = f"{source}/{event['method'].upper()}{path}"
        else:
            principal = "events.amazonaws.com"
            source = f"events:{REGION}:{ACCOUNT_ID}:rule/{SERVICE}-{STAGE}-{function.key}-rule-{number}"
        yield {
            "Sid": f"{SERVICE}-{STAGE}-{number}",
            "Effect": "Allow",
            "Principal": {"Service": principal},
            "Action": "lambda:InvokeFunction",
            "Resource": function.arn,
            "Condition": {"ArnLike": {"AWS:SourceArn": f"arn:aws:{source}"}},
        }


def _code_size(function: Function) -> int:
    return 1_800_000 + int.from_bytes(function.digest[:3], "big") % 9_000_000


def _revision(function: Function) -> str:
    return str(uuid.UUID(bytes=hashlib.blake2b(function.digest, digest_size=16).digest(), version=4))


def _not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, status=404)


def _paged(name: str, rows: list[dict[str, Any]], query: Query, most: int) -> dict[str, Any]:
    request = {key: value for key, value in query.items() if key not in {"Marker", "MaxItems"}}
    text = query.get("MaxItems", str(most))
    if not text.isdigit() or not 1 <= int(text) <= MOST_ITEMS:
        raise AwsError("InvalidParameterValueException", f"MaxItems must be between 1 and {MOST_ITEMS}.")
    size = min(int(text), most)
    try:
        begin = int(paging.redeem(query["Marker"], request)) if query.get("Marker") else 0
    except ValueError as error:
        raise AwsError("InvalidParameterValueException", "The provided Marker is invalid.") from error
    answer: dict[str, Any] = {name: rows[begin : begin + size]}
    if begin + size < len(rows):
        answer["NextMarker"] = paging.issue(begin + size, request)
    return answer


def _operation(handler: Handler, query: Query) -> str:
    """The name of the permission: `list_functions` asks for ListFunctions."""
    if handler is LambdaApi.provisioned_concurrency:
        return (
            "ListProvisionedConcurrencyConfigs" if query.get("List") == "ALL" else "GetProvisionedConcurrencyConfig"
        )
    if handler is LambdaApi.list_versions:
        return "ListVersionsByFunction"
    return handler.__name__.title().replace("_", "")


def _route(path: str) -> re.Pattern[str]:
    return re.compile(r"/\d{4}-\d\d-\d\d" + path)


_ROUTES: tuple[tuple[re.Pattern[str], Handler], ...] = (
    (_route(r"/functions/?"), LambdaApi.list_functions),
    (_route(r"/functions/([^/]+/aliases/[^/]+)"), LambdaApi.get_alias),
    (_route(r"/functions/([^/]+)/aliases"), LambdaApi.list_aliases),
    (_route(r"/functions/([^/]+)/versions"), LambdaApi.list_versions),
    (_route(r"/functions/([^/]+)/configuration"), LambdaApi.get_function_configuration),
    (_route(r"/functions/([^/]+)/concurrency"), LambdaApi.get_function_concurrency),
    (_route(r"/functions/([^/]+)/provisioned-concurrency"), LambdaApi.provisioned_concurrency),
    (_route(r"/functions/([^/]+)/policy"), LambdaApi.get_policy),
    (_route(r"/functions/([^/]+)"), LambdaApi.get_function),
    (_route(r"/tags/(.+)"), LambdaApi.list_tags),
    (_route(r"/event-source-mappings/?"), LambdaApi.list_event_source_mappings),
    (_route(r"/account-settings/?"), LambdaApi.get_account_settings),
)
