"""The operations of Logs Insights: StartQuery, GetQueryResults, StopQuery, DescribeQueries."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deployments.local.aws import paging
from deployments.local.aws.errors import AwsError, invalid, too_many
from deployments.local.aws.insights_eval import Answer, run
from deployments.local.aws.insights_frame import frame_of
from deployments.local.aws.insights_syntax import malformed, parse
from deployments.local.aws.insights_tree import Query
from deployments.local.aws.logstore import LogGroup

MAX_GROUPS = 50
MAX_ROWS = 100_000
MAX_PAGE = 10_000
RUNNING_S = 0.05
"""For so long after StartQuery a query is still Running: callers must poll, as they must at AWS."""

KEPT_QUERIES = 100
SECONDS_LIMIT = 100_000_000_000
"""Times beyond this are taken for milliseconds, which the console sends and the service accepts."""

Params = Mapping[str, Any]


@dataclass
class _Started:
    text: str
    groups: list[str]
    started: float
    statistics: dict[str, float]
    answer: Answer
    cancelled: bool = False
    created_s: int = field(default_factory=lambda: int(time.time()))

    @property
    def status(self) -> str:
        if self.cancelled:
            return "Cancelled"
        return "Running" if time.monotonic() - self.started < RUNNING_S else "Complete"


class Insights:
    """Queries over the account's log groups; the last 100 are kept."""

    def __init__(self, groups: Mapping[str, LogGroup]) -> None:
        self._groups = groups
        self._queries: dict[str, _Started] = {}
        self._lock = threading.Lock()

    def start_query(self, params: Params) -> dict[str, Any]:
        """Check and run a query; its answer is there once it is no longer Running."""
        if params.get("queryLanguage", "CWLI") != "CWLI":
            raise invalid("queryLanguage: only CWLI is emulated here.")
        limit = params.get("limit")
        if limit is not None and not 1 <= limit <= MAX_ROWS:
            raise invalid(f"Value '{limit}' at 'limit' failed to satisfy constraint: 1 to {MAX_ROWS}")
        query = parse(params.get("queryString", ""))
        groups = self._chosen(params, query)
        start_ms, end_ms = (_epoch_ms(params[key]) for key in ("startTime", "endTime"))
        if start_ms > end_ms:
            raise malformed("Query's end date and time is before its start date and time.")
        query_id = str(uuid.uuid4())
        answer = run(query, frame_of(groups, start_ms, end_ms), limit)
        started = _Started(
            text=params["queryString"],
            groups=[group.name for group in groups],
            started=time.monotonic(),
            statistics=_statistics(groups, start_ms, end_ms, answer.matched),
            answer=answer,
        )
        with self._lock:
            self._queries[query_id] = started
            while len(self._queries) > KEPT_QUERIES:
                self._queries.pop(next(iter(self._queries)))
        return {"queryId": query_id}

    def get_query_results(self, params: Params) -> dict[str, Any]:
        """The rows of a query, at most 10,000 a page, with what it scanned."""
        query = self._query(params)
        base = {"queryLanguage": "CWLI", "status": query.status, "statistics": query.statistics}
        if query.status != "Complete":
            return base | {"results": [], "statistics": dict.fromkeys(query.statistics, 0.0)}
        size = params.get("maxItems") or MAX_PAGE
        if not 1 <= size <= MAX_PAGE:
            raise invalid(f"Value '{size}' at 'maxItems' failed to satisfy constraint: 0 to {MAX_PAGE}")
        request = {"queryId": params["queryId"]}
        begin = _redeem(params.get("nextToken"), request)
        rows = query.answer.rows[begin : begin + size]
        results = [[{"field": name, "value": value} for name, value in row] for row in rows]
        more = begin + size < len(query.answer.rows)
        return base | {"results": results} | ({"nextToken": paging.issue(begin + size, request)} if more else {})

    def stop_query(self, params: Params) -> dict[str, Any]:
        """Cancel a query that still runs."""
        query = self._query(params)
        if query.status != "Running":
            raise invalid("The query is not running.")
        query.cancelled = True
        return {"success": True}

    def describe_queries(self, params: Params) -> dict[str, Any]:
        """The queries that are kept, newest first."""
        wanted = params.get("status")
        with self._lock:
            rows = [
                {
                    "queryId": query_id,
                    "queryString": query.text,
                    "status": query.status,
                    "createTime": query.created_s * 1000,
                    "logGroupName": query.groups[0] if len(query.groups) == 1 else "",
                }
                for query_id, query in reversed(self._queries.items())
            ]
        return {"queries": [row for row in rows if wanted in {None, row["status"]}]}

    def _query(self, params: Params) -> _Started:
        with self._lock:
            query = self._queries.get(params.get("queryId", ""))
        if query is None:
            raise AwsError("ResourceNotFoundException", "The specified query does not exist.")
        return query

    def _chosen(self, params: Params, query: Query) -> list[LogGroup]:
        given = [key for key in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if params.get(key)]
        if query.prefixes:
            if given:
                raise invalid("A query with SOURCE takes no log group parameters.")
            found = [group for name, group in self._groups.items() if name.startswith(query.prefixes)]
            if not found:
                raise AwsError("ResourceNotFoundException", "No log group matches the SOURCE command.")
            return found
        if len(given) != 1:
            raise invalid("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers is required.")
        names: Sequence[str] = [params[given[0]]] if given[0] == "logGroupName" else params[given[0]]
        if len(names) > MAX_GROUPS:
            raise too_many(given[0], MAX_GROUPS)
        return [self._find(name, arns=given[0] == "logGroupIdentifiers") for name in dict.fromkeys(names)]

    def _find(self, name: str, *, arns: bool) -> LogGroup:
        plain = name.split(":log-group:", 1)[1] if arns and ":log-group:" in name else name
        if plain.endswith("*"):
            raise invalid(f"Value '{name}' at 'logGroupIdentifiers' failed to satisfy constraint: no * at the end")
        if plain not in self._groups:
            raise AwsError("ResourceNotFoundException", f"Log group '{plain}' does not exist.")
        return self._groups[plain]


def _epoch_ms(value: int) -> int:
    return value if value > SECONDS_LIMIT else value * 1000


def _statistics(groups: Sequence[LogGroup], start_ms: int, end_ms: int, matched: int) -> dict[str, float]:
    windows = [(group, *group.window(start_ms, end_ms)) for group in groups]
    return {
        "recordsMatched": float(matched),
        "recordsScanned": float(sum(stop - start for _, start, stop in windows)),
        "bytesScanned": float(np.sum([group.sizes[stop] - group.sizes[start] for group, start, stop in windows])),
        "logGroupsScanned": float(len(groups)),
    }


def _redeem(token: str | None, request: Params) -> int:
    if token is None:
        return 0
    try:
        return int(paging.redeem(token, request))
    except ValueError as error:
        raise invalid("The specified nextToken is invalid.") from error
