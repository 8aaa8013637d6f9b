"""Who listens to which channel, and the way of a broadcast to them.

Every connection has an outbox that one task empties, so a slow reader delays nobody: a broadcast that finds its
outbox full is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import orjson

from deployments.local.app.counting import WebSocketCounters

OUTBOX_MESSAGES = 1000
MAX_CHANNELS = 100

Outgoing = tuple[str, str]
"""A message's type and its JSON text."""


class Listener:
    """One connection: its outbox and the channels that it listens to."""

    __slots__ = ("channels", "outbox", "user_id")

    def __init__(self) -> None:
        self.outbox: asyncio.Queue[Outgoing] = asyncio.Queue(OUTBOX_MESSAGES)
        self.channels: set[str] = set()
        self.user_id: str | None = None

    async def reply(self, message: dict[str, Any]) -> None:
        """Queue an answer; waits while the outbox is full, which slows down only its own reader."""
        await self.outbox.put(outgoing(message))


class Hub:
    """Channels and their listeners."""

    def __init__(self, counters: WebSocketCounters) -> None:
        self._channels: defaultdict[str, set[Listener]] = defaultdict(set)
        self._counters = counters

    def subscribe(self, listener: Listener, channel: str) -> bool:
        """Let `listener` hear `channel`; False where it listens to MAX_CHANNELS others already."""
        if channel not in listener.channels and len(listener.channels) >= MAX_CHANNELS:
            return False
        listener.channels.add(channel)
        self._channels[channel].add(listener)
        return True

    def unsubscribe(self, listener: Listener, channel: str) -> None:
        """Let `listener` hear `channel` no more."""
        listener.channels.discard(channel)
        listeners = self._channels.get(channel)
        if listeners is not None:
            listeners.discard(listener)
            if not listeners:
                del self._channels[channel]

    def leave(self, listener: Listener) -> None:
        """Forget a connection that ended."""
        for channel in tuple(listener.channels):
            self.unsubscribe(listener, channel)

    def publish(self, message: dict[str, Any], *channels: str) -> None:
        """Queue `message` once for everyone who listens to any of `channels`."""
        listeners = {one for channel in channels for one in self._channels.get(channel, ())}
        if not listeners:
            return
        text = outgoing(message)
        for listener in listeners:
            try:
                listener.outbox.put_nowait(text)
            except asyncio.QueueFull:
                self._counters.dropped += 1


def outgoing(message: dict[str, Any]) -> Outgoing:
    """A message as it is queued; times without a zone are UTC."""
    return message["type"], orjson.dumps(message, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z).decode()
