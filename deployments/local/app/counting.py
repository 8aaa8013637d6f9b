"""What the application did, counted in its own process: the truth that a load report is held against.

A request is counted the moment its answer starts, before the first byte can reach the client, so a client that has
an answer has been counted. `/__platform__/…` is never counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PLATFORM_PREFIX = "/__platform__/"
UNMATCHED = "<unmatched>"
"""The route of a request that no route serves: labels stay few, whatever is asked for."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_INTERNAL_ERROR = orjson.dumps(
    {"success": False, "error": {"code": "INTERNAL_ERROR", "message": "The application failed; see its log."}}
)


@dataclass(slots=True)
class WebSocketCounters:
    """Connections and messages of /ws.

    `received` and `sent` count by message type, `connections` those ever accepted, `refused` handshakes refused by a
    planned fault, `dropped` broadcasts that a slow reader's full outbox had no place for.
    """

    connections: int = 0
    open: int = 0
    refused: int = 0
    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    dropped: int = 0


@dataclass(slots=True)
class CacheCounters:
    """Reads and writes of the cache, by key family (the key's first part); `errors` are failed commands."""

    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    errors: int = 0

    def families(self) -> dict[str, dict[str, int]]:
        """Hits, misses and writes of every family that was touched."""
        names = sorted({*self.hits, *self.misses, *self.writes})
        return {n: {"hits": self.hits[n], "misses": self.misses[n], "writes": self.writes[n]} for n in names}


@dataclass(slots=True)
class Counters:
    """All counts since the start.

    `received` requests = `requests` (answered, by method, route template and status) + `unanswered` (broken off by a
    planned fault or a client that left while sending) + those in flight.
    """

    received: int = 0
    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    unanswered: Counter[tuple[str, str]] = field(default_factory=Counter)
    websocket: WebSocketCounters = field(default_factory=WebSocketCounters)
    cache: CacheCounters = field(default_factory=CacheCounters)

    def totals(self) -> dict[str, int]:
        """The HTTP requests that arrived, and what became of them."""
        answered, unanswered = self.requests.total(), self.unanswered.total()
        return {
            "received": self.received,
            "answered": answered,
            "unanswered": unanswered,
            "inFlight": self.received - answered - unanswered,
        }

    def http(self) -> list[dict[str, Any]]:
        """The answered requests by method, route and status, as GET /__platform__/counters gives them."""
        return [
            {"method": method, "route": route, "status": status, "count": count}
            for (method, route, status), count in sorted(self.requests.items())
        ]

    def broken(self) -> list[dict[str, Any]]:
        """The requests without a whole answer by method and route."""
        return [
            {"method": method, "route": route, "count": count}
            for (method, route), count in sorted(self.unanswered.items())
        ]


class Counting:
    """ASGI middleware that counts requests, and answers 500 for one whose handler failed."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; count HTTP requests."""
        if scope["type"] != "http" or scope["path"].startswith(PLATFORM_PREFIX):
            await self._app(scope, receive, send)
            return
        self._counters.received += 1
        answered = _Answered(self._counters, scope, send)
        try:
            await self._app(scope, receive, answered)
        except Exception:
            if not answered.counted:
                await _internal_error(answered)
            raise
        finally:
            if not answered.counted:
                self._counters.unanswered[_label(scope)] += 1


class _Answered:
    """`send` of one request: counts the start of its answer."""

    __slots__ = ("_counters", "_scope", "_send", "counted")

    def __init__(self, counters: Counters, scope: Scope, send: Send) -> None:
        self._counters = counters
        self._scope = scope
        self._send = send
        self.counted = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.counted and "broken" not in self._scope:
            self.counted = True
            self._counters.requests[(*_label(self._scope), message["status"])] += 1
        await self._send(message)


def _label(scope: Scope) -> tuple[str, str]:
    route = scope.get("route")
    method = scope["method"]
    return method if method in METHODS else "OTHER", UNMATCHED if route is None else route.path


async def _internal_error(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_INTERNAL_ERROR))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": _INTERNAL_ERROR})
