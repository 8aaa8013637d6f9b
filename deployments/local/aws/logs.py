"""The CloudWatch Logs API: log groups and streams, FilterLogEvents, and Logs Insights queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.local.aws import paging
from deployments.local.aws.errors import AwsError, invalid
from deployments.local.aws.insights import Insights
from deployments.local.aws.logstore import RETENTION_DAYS, LogEvent, LogGroup
from deployments.local.aws.patterns import compile_pattern

GROUPS_PAGE = 50
EVENTS_PAGE = 10_000
PAGE_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26

SCANNED_PER_CALL = 20_000
"""One FilterLogEvents call reads so many events at most: as at AWS, a page may be empty and have a nextToken."""

FOREVER_MS = 2**62

Params = Mapping[str, Any]


class Logs:
    """The operations of CloudWatch Logs over the account's log groups."""

    def __init__(self, groups: Mapping[str, LogGroup]) -> None:
        self._groups = groups
        insights = Insights(groups)
        self.start_query = insights.start_query
        self.get_query_results = insights.get_query_results
        self.stop_query = insights.stop_query
        self.describe_queries = insights.describe_queries

    def describe_log_groups(self, params: Params) -> dict[str, Any]:
        """Log groups by name, at most 50 a page."""
        prefix, part = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
        if prefix and part:
            raise invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive parameters.")
        wanted = set(params.get("logGroupIdentifiers") or [])
        found = [
            group
            for group in self._groups.values()
            if group.name.startswith(prefix or "")
            and (part or "") in group.name
            and (not wanted or group.name in wanted or group.arn in wanted)
            and params.get("logGroupClass", "STANDARD") == "STANDARD"
        ]
        page, token = _page(found, params, size=_limit(params, GROUPS_PAGE))
        return _with_token({"logGroups": [_describe(group) for group in page]}, token)

    def describe_log_streams(self, params: Params) -> dict[str, Any]:
        """The streams of a log group, at most 50 a page; by name, or by the time of their last event."""
        group = self._group(params)
        streams: dict[str, list[int]] = {}
        for position in range(len(group.times)):
            streams.setdefault(group.stream(position), []).append(position)
        prefix = params.get("logStreamNamePrefix", "")
        rows = [_stream(group, name, at) for name, at in streams.items() if name.startswith(prefix)]
        by = "lastEventTimestamp" if params.get("orderBy") == "LastEventTime" else "logStreamName"
        rows.sort(key=lambda row: row[by], reverse=bool(params.get("descending")))
        page, token = _page(rows, params, size=_limit(params, GROUPS_PAGE))
        return _with_token({"logStreams": page}, token)

    def filter_log_events(self, params: Params) -> dict[str, Any]:
        """Events in order of time that match the pattern, at most 10,000 or 1 MB a page."""
        group = self._group(params)
        matches = compile_pattern(params.get("filterPattern"))
        limit = _limit(params, EVENTS_PAGE)
        start, stop = group.window(params.get("startTime", 0), params.get("endTime", FOREVER_MS))
        backwards = params.get("startFromHead", True) is False
        request = {key: value for key, value in params.items() if key not in {"nextToken", "limit", "startFromHead"}}
        if token := params.get("nextToken"):
            position, backwards = _redeem(token, request)
        else:
            position = stop - 1 if backwards else start
        step, end = (-1, start - 1) if backwards else (1, stop)
        events: list[dict[str, Any]] = []
        room = PAGE_BYTES
        last = position + step * SCANNED_PER_CALL
        while position not in {end, last}:
            message = group.message(position)
            if matches(message) and _chosen(group, position, params):
                room -= len(message.encode()) + EVENT_OVERHEAD_BYTES
                if (room < 0 and events) or len(events) == limit:
                    break
                events.append(_event(group.event(position, message)))
            position += step
        token = None if position == end else paging.issue([position, backwards], request)
        return _with_token({"events": events, "searchedLogStreams": []}, token)

    def _group(self, params: Params) -> LogGroup:
        name, identifier = params.get("logGroupName"), params.get("logGroupIdentifier")
        if (name is None) == (identifier is None):
            raise invalid("Exactly one of logGroupName and logGroupIdentifier is required.")
        return find_group(self._groups, name or identifier or "")


def find_group(groups: Mapping[str, LogGroup], identifier: str) -> LogGroup:
    """The log group of that name or ARN; ResourceNotFoundException where there is none."""
    name = identifier.split(":log-group:", 1)[1] if identifier.startswith("arn:") else identifier
    if name not in groups:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    return groups[name]


def _chosen(group: LogGroup, position: int, params: Params) -> bool:
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if not names and not prefix:
        return True
    stream = group.stream(position)
    return stream in names if names else stream.startswith(prefix or "")


def _event(event: LogEvent) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.ingestion,
        "eventId": event.event_id,
    }


def _describe(group: LogGroup) -> dict[str, Any]:
    return {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "retentionInDays": RETENTION_DAYS,
        "metricFilterCount": 0,
        "arn": f"{group.arn}:*",
        "logGroupArn": group.arn,
        "storedBytes": int(group.sizes[-1]),
        "logGroupClass": "STANDARD",
    }


def _stream(group: LogGroup, name: str, positions: list[int]) -> dict[str, Any]:
    first, last = int(group.times[positions[0]]), int(group.times[positions[-1]])
    return {
        "logStreamName": name,
        "creationTime": first,
        "firstEventTimestamp": first,
        "lastEventTimestamp": last,
        "lastIngestionTime": last + 5000,
        "arn": f"{group.arn}:log-stream:{name}",
        "storedBytes": 0,  # AWS answers 0 for streams since 2019
    }


def _limit(params: Params, most: int) -> int:
    limit = params.get("limit", most)
    if not isinstance(limit, int) or not 1 <= limit <= most:
        raise invalid(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            f"Member must have value less than or equal to {most} and greater than or equal to 1"
        )
    return limit


def _page(rows: list[Any], params: Params, *, size: int) -> tuple[list[Any], str | None]:
    request = {key: value for key, value in params.items() if key not in {"nextToken", "limit"}}
    (begin,) = _redeem(params["nextToken"], request) if params.get("nextToken") else (0,)
    more = begin + size < len(rows)
    return rows[begin : begin + size], paging.issue([begin + size], request) if more else None


def _redeem(token: str, request: Params) -> Any:
    try:
        return paging.redeem(token, request)
    except ValueError as error:
        raise invalid("The specified nextToken is invalid.") from error


def _with_token(answer: dict[str, Any], token: str | None) -> dict[str, Any]:
    return answer | ({"nextToken": token} if token else {})
