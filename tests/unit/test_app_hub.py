"""Who hears which broadcast."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime

import pytest

from deployments.local.app.counting import WebSocketCounters
from deployments.local.app.hub import MAX_CHANNELS, OUTBOX_MESSAGES, Hub, Listener, outgoing

MESSAGE = {"type": "order.created", "orderId": "1"}


def test_subscribers_of_a_channel_hear_it_and_others_do_not() -> None:
    hub, near, far = Hub(WebSocketCounters()), Listener(), Listener()
    hub.subscribe(near, "orders")
    hub.subscribe(far, "stats")
    hub.publish(MESSAGE, "orders")
    assert json.loads(near.outbox.get_nowait()[1]) == MESSAGE
    assert far.outbox.empty()


def test_who_listens_to_two_channels_hears_a_message_once() -> None:
    hub, listener = Hub(WebSocketCounters()), Listener()
    hub.subscribe(listener, "orders")
    hub.subscribe(listener, "order:1")
    hub.publish(MESSAGE, "orders", "order:1")
    assert listener.outbox.qsize() == 1


def test_who_left_hears_nothing() -> None:
    hub, listener = Hub(WebSocketCounters()), Listener()
    hub.subscribe(listener, "orders")
    hub.subscribe(listener, "stats")
    hub.unsubscribe(listener, "stats")
    hub.leave(listener)
    hub.publish(MESSAGE, "orders", "stats")
    assert listener.outbox.empty()
    assert not listener.channels


def test_a_full_outbox_drops_broadcasts_and_counts_them() -> None:
    counters = WebSocketCounters()
    hub, slow, quick = Hub(counters), Listener(), Listener()
    hub.subscribe(slow, "orders")
    for _ in range(OUTBOX_MESSAGES + 3):
        hub.publish(MESSAGE, "orders")
    hub.subscribe(quick, "orders")
    hub.publish(MESSAGE, "orders")
    assert counters.dropped == 4
    assert (slow.outbox.qsize(), quick.outbox.qsize()) == (OUTBOX_MESSAGES, 1)


@pytest.mark.asyncio
async def test_an_answer_waits_for_its_reader() -> None:
    listener = Listener()
    for _ in range(OUTBOX_MESSAGES):
        await listener.reply(MESSAGE)
    waiting = asyncio.create_task(listener.reply(MESSAGE))
    await asyncio.sleep(0)
    assert not waiting.done()
    listener.outbox.get_nowait()
    await waiting


def test_channels_of_one_connection_are_limited() -> None:
    hub, listener = Hub(WebSocketCounters()), Listener()
    assert all(hub.subscribe(listener, f"order:{n}") for n in range(MAX_CHANNELS))
    assert not hub.subscribe(listener, "one more")
    assert hub.subscribe(listener, "order:0")


def test_times_without_a_zone_are_sent_as_utc() -> None:
    text = outgoing({"type": "x", "at": datetime(2026, 11, 20, 7)})[1]  # noqa: DTZ001 - as the tables store them
    assert json.loads(text)["at"] == "2026-11-20T07:00:00Z"
