"""/ws: raw WebSocket messages in JSON, one object each, named by its `type`.

A `sequenceId` comes back in the answer to its message; broadcasts have none. Whatever cannot be understood is
answered by {"type": "error", …}, never by closing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, LiteralString

import orjson
import psycopg
from psycopg_pool import PoolTimeout
from starlette.types import Message, Receive, Scope, Send

from deployments.local.app.cache import SHORT_S
from deployments.local.app.faults import WEBSOCKET, InjectedDropError, InjectedError
from deployments.local.app.http import UUID_PATTERN, encode
from deployments.local.app.hub import MAX_CHANNELS, Listener
from deployments.local.app.services import Services

PATH = "/ws"
MAX_MESSAGE_BYTES = 65_536

_CHANNEL = re.compile(r"(orders|announcements|notifications|analytics|stats)(:[0-9a-fA-F-]{36})?")
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_UUID = re.compile(UUID_PATTERN.replace("$", r"\Z"))

_STATUS: LiteralString = """
SELECT status, updated_at AS "updatedAt" FROM orders WHERE id = %(id)s"""

Incoming = dict[str, Any]
Outgoing = dict[str, Any]


class WebSocketEndpoint:
    """The ASGI application of /ws."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._handlers: dict[str, Callable[[Listener, Incoming], Awaitable[Outgoing]]] = {
            "ping": self._ping,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "track_order": self._track_order,
            "authenticate": self._authenticate,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends."""
        del scope
        counters = self._services.counters.websocket
        await receive()
        if self._services.faults.refuses(WEBSOCKET):
            counters.refused += 1
            await send({"type": "websocket.close", "code": 1013})
            return
        counters.connections += 1
        counters.open += 1
        listener = Listener()
        try:
            await send({"type": "websocket.accept"})
            await self._converse(listener, receive, send)
        finally:
            self._services.hub.leave(listener)
            counters.open -= 1

    async def _converse(self, listener: Listener, receive: Receive, send: Send) -> None:
        writer = asyncio.create_task(self._write(listener, send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await self._take(listener, message)
                if writer.done():
                    break
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError, RuntimeError):  # a peer that left in the middle of a message
                await writer

    async def _write(self, listener: Listener, send: Send) -> None:
        sent = self._services.counters.websocket.sent
        while True:
            kind, text = await listener.outbox.get()
            sent[kind] += 1
            await send({"type": "websocket.send", "text": text})

    async def _take(self, listener: Listener, message: Message) -> None:
        """Answer one message."""
        kind, content = _parse(message)
        self._services.counters.websocket.received[kind if kind in self._handlers else _label(kind)] += 1
        try:
            await self._services.faults.strike(WEBSOCKET)
            answer = await self._answer(listener, kind, content)
        except InjectedDropError:
            return
        except InjectedError:
            answer = error("INJECTED_FAULT", "A planned fault")
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout):
            answer = error("DATABASE_UNAVAILABLE", "The database cannot be reached or took too long")
        if "sequenceId" in content:
            answer["sequenceId"] = content["sequenceId"]
        await listener.reply(answer)

    async def _answer(self, listener: Listener, kind: str, content: Incoming) -> Outgoing:
        handler = self._handlers.get(kind)
        if handler is not None:
            return await handler(listener, content)
        if kind == _INVALID:
            return error("INVALID_MESSAGE", "A message is a JSON object with a string `type`", field="type")
        return error("UNKNOWN_TYPE", "There is no message of this type", field="type")

    async def _ping(self, listener: Listener, content: Incoming) -> Outgoing:
        """A pong with the ping's own timestamp and the server's, both in ms since 1970."""
        del listener
        return {
            "type": "pong",
            "timestamp": content.get("timestamp"),
            "sequenceId": content.get("sequenceId"),
            "serverTime": time.time_ns() / 1e6,
        }

    async def _subscribe(self, listener: Listener, content: Incoming) -> Outgoing:
        channel = content.get("channel")
        if not isinstance(channel, str) or _CHANNEL.fullmatch(channel) is None:
            return error("INVALID_CHANNEL", "There is no such channel", field="channel")
        if not self._services.hub.subscribe(listener, channel):
            return error("TOO_MANY_CHANNELS", f"A connection listens to at most {MAX_CHANNELS} channels")
        return {"type": "subscribed", "channel": channel}

    async def _unsubscribe(self, listener: Listener, content: Incoming) -> Outgoing:
        channel = content.get("channel")
        if not isinstance(channel, str) or channel not in listener.channels:
            return error("NOT_SUBSCRIBED", "The connection does not listen to this channel", field="channel")
        self._services.hub.unsubscribe(listener, channel)
        return {"type": "unsubscribed", "channel": channel}

    async def _track_order(self, listener: Listener, content: Incoming) -> Outgoing:
        """The order's state now; its changes follow as broadcasts."""
        order_id = content.get("orderId")
        if not isinstance(order_id, str) or _UUID.match(order_id) is None:
            return error("INVALID_ORDER_ID", "orderId is not a UUID", field="orderId")
        status = await self._order_status(order_id)
        if status is None:
            return error("ORDER_NOT_FOUND", "The order is unknown", field="orderId", orderId=order_id)
        if not self._services.hub.subscribe(listener, f"order:{order_id}"):
            return error("TOO_MANY_CHANNELS", f"A connection tracks at most {MAX_CHANNELS} orders and channels")
        return {"type": "order_status_update", "orderId": order_id, **status}

    async def _order_status(self, order_id: str) -> dict[str, Any] | None:
        key = f"hasivu:order_status:{order_id}"
        cached = await self._services.cache.get(key)
        if cached is not None:
            found: dict[str, Any] = orjson.loads(cached)
            return found
        row = await self._services.database.row(_STATUS, {"id": order_id})
        if row is not None:
            await self._services.cache.set(key, encode(row), SHORT_S)
        return row

    async def _authenticate(self, listener: Listener, content: Incoming) -> Outgoing:
        """Bind the connection to the user of a session that POST /auth/login opened."""
        token = content.get("token")
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            return error("INVALID_TOKEN", "token is not a session's", field="token")
        session = await self._services.cache.get(f"session:{token}")
        if session is None:
            return error("UNAUTHENTICATED", "The session is unknown or has ended", field="token")
        listener.user_id = orjson.loads(session)["userId"]
        return {"type": "connection_status", "status": "authenticated", "userId": listener.user_id}


_INVALID = "<invalid>"
_UNKNOWN = "<unknown>"


def error(code: str, message: str, **more: Any) -> Outgoing:
    """An error as it is sent."""
    return {"type": "error", "code": code, "message": message, **more}


def _label(kind: str) -> str:
    return _INVALID if kind == _INVALID else _UNKNOWN


def _parse(message: Message) -> tuple[str, Incoming]:
    """A message's type and content; the type `<invalid>` for what is no object with a type."""
    text = message.get("text") or message.get("bytes") or b""
    if len(text) > MAX_MESSAGE_BYTES:
        return _INVALID, {}
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _INVALID, {}
    if not isinstance(content, dict):
        return _INVALID, {}
    kind = content.get("type")
    return (kind, content) if isinstance(kind, str) else (_INVALID, content)


async def broadcast_stats(services: Services) -> None:
    """Tell the subscribers of `stats` every `tick_s` seconds how busy the application is."""
    while True:
        await asyncio.sleep(services.settings.tick_s)
        counters = services.counters
        services.hub.publish(
            {
                "type": "realtime_stats",
                "serverTime": time.time_ns() / 1e6,
                "connections": counters.websocket.open,
                "requestsAnswered": counters.requests.total(),
            },
            "stats",
        )
