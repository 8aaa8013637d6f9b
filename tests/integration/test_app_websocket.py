"""/ws of the application on real data: answers, broadcasts, hostile messages, counts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from deployments.local.app.hub import MAX_CHANNELS
from deployments.local.identity import key
from deployments.local.platform import Part, Platform, platform

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    environment = {"PLATFORM_TICK_S": "0.2"}
    with platform(parts={Part.DATABASE, Part.CACHE, Part.APPLICATION}, application_env=environment) as started:
        yield started


@pytest.fixture
def socket(running: Platform) -> Iterator[Connection]:
    with connect(running.ws_url) as connection:
        yield connection


def ask(socket: Connection, message: object) -> dict[str, Any]:
    socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
    return heard(socket)


def heard(socket: Connection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(timeout=5)))


def sockets(running: Platform) -> dict[str, Any]:
    return dict(httpx.get(f"{running.api_url}/__platform__/counters").json()["websocket"])


def test_a_ping_gets_its_own_numbers_back(socket: Connection) -> None:
    sent = time.time() * 1000
    pong = ask(socket, {"type": "ping", "timestamp": sent, "sequenceId": 7})
    assert pong.pop("serverTime") == pytest.approx(sent, abs=5000)
    assert pong == {"type": "pong", "timestamp": sent, "sequenceId": 7}


def test_pings_in_flight_are_answered_in_order(socket: Connection) -> None:
    for number in range(100):
        socket.send(json.dumps({"type": "ping", "sequenceId": number}))
    assert [heard(socket)["sequenceId"] for _ in range(100)] == list(range(100))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "INVALID_MESSAGE"),
        ("", "INVALID_MESSAGE"),
        ("[]", "INVALID_MESSAGE"),
        ('{"type": 5}', "INVALID_MESSAGE"),
        (b"\xff\xfe", "INVALID_MESSAGE"),
        ("[" * 5000, "INVALID_MESSAGE"),
        ('{"type": "ping", "pad": "' + "x" * 70_000 + '"}', "INVALID_MESSAGE"),
        ('{"type": "dance"}', "UNKNOWN_TYPE"),
        ('{"type": "subscribe"}', "INVALID_CHANNEL"),
        ('{"type": "subscribe", "channel": "secrets"}', "INVALID_CHANNEL"),
        ('{"type": "unsubscribe", "channel": "orders"}', "NOT_SUBSCRIBED"),
        ('{"type": "track_order", "orderId": "1"}', "INVALID_ORDER_ID"),
        (f'{{"type": "track_order", "orderId": "{UNKNOWN}"}}', "ORDER_NOT_FOUND"),
        ('{"type": "authenticate", "token": 1}', "INVALID_TOKEN"),
        (f'{{"type": "authenticate", "token": "{UNKNOWN}"}}', "UNAUTHENTICATED"),
    ],
)
def test_what_is_wrong_gets_an_error_and_the_connection_lives(
    socket: Connection, message: str | bytes, code: str
) -> None:
    answer = ask(socket, message)
    assert (answer["type"], answer["code"]) == ("error", code)
    assert ask(socket, b'{"type": "ping"}')["type"] == "pong"


def test_a_tracked_order_is_followed(running: Platform, socket: Connection) -> None:
    path = f"{running.api_url}/orders/{key('order', 80)}"
    httpx.put(path, json={"status": "preparing"})
    now = ask(socket, {"type": "track_order", "orderId": key("order", 80), "sequenceId": "a"})
    assert (now["type"], now["status"], now["sequenceId"]) == ("order_status_update", "preparing", "a")
    httpx.put(path, json={"status": "ready"})
    update = heard(socket)
    assert (update["orderId"], update["status"]) == (key("order", 80), "ready")
    assert "sequenceId" not in update
    body = {
        "cardId": key("rfid_card", 80),
        "readerId": key("rfid_reader", 1),
        "orderId": key("order", 80),
        "location": {},
    }
    httpx.post(f"{running.api_url}/rfid/verify-delivery", json=body)
    assert heard(socket)["status"] == "delivered"


def test_an_order_never_changed_has_the_databases_state(running: Platform, socket: Connection) -> None:
    order = httpx.get(f"{running.api_url}/orders/{key('order', 5000)}").json()["order"]
    for _ in range(2):  # from the database, then from the cache
        assert ask(socket, {"type": "track_order", "orderId": key("order", 5000)})["status"] == order["status"]


def test_new_orders_reach_the_subscribers_of_their_school(running: Platform, socket: Connection) -> None:
    student = httpx.get(f"{running.api_url}/rfid/tracking/{key('student', 9)}").json()["student"]
    channel = f"orders:{student['schoolId']}"
    assert ask(socket, {"type": "subscribe", "channel": channel}) == {"type": "subscribed", "channel": channel}
    body = {"studentId": key("student", 9), "items": [{"menuItemId": key("menu_item", 2)}]}
    order = httpx.post(f"{running.api_url}/orders", json=body).json()["order"]
    assert heard(socket) == {"type": "order.created", "orderId": order["id"], "status": "pending"}
    assert ask(socket, {"type": "unsubscribe", "channel": channel})["type"] == "unsubscribed"


def test_statistics_are_broadcast(socket: Connection) -> None:
    assert ask(socket, {"type": "subscribe", "channel": "stats"})["type"] == "subscribed"
    assert heard(socket)["connections"] >= 1


def test_a_session_authenticates(running: Platform, socket: Connection) -> None:
    login = {"email": "user3@example.test", "password": "password-3"}
    token = httpx.post(f"{running.api_url}/auth/login", json=login).json()["token"]
    answer = ask(socket, {"type": "authenticate", "token": token})
    assert answer == {"type": "connection_status", "status": "authenticated", "userId": key("user", 3)}


def test_channels_of_a_connection_are_limited(socket: Connection) -> None:
    answers = [
        ask(socket, {"type": "subscribe", "channel": f"orders:{key('school', n)}"})
        for n in range(1, MAX_CHANNELS + 2)
    ]
    assert [answer["type"] for answer in answers] == ["subscribed"] * MAX_CHANNELS + ["error"]


def test_messages_and_connections_are_counted_exactly(running: Platform) -> None:
    before = sockets(running)

    def converse(_: int) -> None:
        with connect(running.ws_url) as socket:
            for number in range(25):
                ask(socket, {"type": "ping", "sequenceId": number})
            ask(socket, "nonsense")
            ask(socket, {"type": "dance"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(converse, range(8)))
    after = sockets(running)
    grown = {kind: after["messages"][kind] - before["messages"].get(kind, 0) for kind in after["messages"]}
    assert {kind: count for kind, count in grown.items() if count} == {"ping": 200, "<invalid>": 8, "<unknown>": 8}
    assert after["sent"]["pong"] - before["sent"].get("pong", 0) == 200
    assert after["connections"] - before["connections"] == 8


def test_a_peer_that_leaves_is_forgotten(running: Platform) -> None:
    with connect(running.ws_url) as peer:
        ask(peer, {"type": "subscribe", "channel": "orders"})
        peer.socket.shutdown(SHUT_RDWR)
    httpx.put(f"{running.api_url}/orders/{key('order', 81)}", json={"status": "ready"})
    until = time.monotonic() + 5
    while sockets(running)["open"] and time.monotonic() < until:
        time.sleep(0.05)
    assert sockets(running)["open"] == 0


def test_an_endless_message_ends_its_connection_alone(running: Platform, socket: Connection) -> None:
    with connect(running.ws_url) as greedy:
        with suppress(ConnectionClosed):  # it may end while the message is still being sent
            greedy.send("x" * 80_000_000)
        with pytest.raises(ConnectionClosed):
            greedy.recv(timeout=10)
    assert ask(socket, {"type": "ping"})["type"] == "pong"


def test_another_path_is_refused(running: Platform) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(running.ws_url + "/other")
    assert caught.value.response.status_code == 403
