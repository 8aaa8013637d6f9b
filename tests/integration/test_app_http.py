"""The application on real data: routes, errors, cache, writes and its own counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis

from deployments.local import seed
from deployments.local.defects import POOR_KEY_FAMILY
from deployments.local.identity import card_number, key
from deployments.local.platform import Part, Platform, platform

FACTS = Path(__file__).parents[2] / "deployments/local/facts"
SCHOOL = key("school", 1)
UNKNOWN = "00000000-0000-4000-8000-000000000000"
TODAY = seed.school_day(datetime.now(UTC).date())
"""When these tests were collected; the platform's own newest day is a later one where it starts after midnight."""
LOCATION = {"venue": "canteen"}


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    with platform(parts={Part.DATABASE, Part.CACHE, Part.APPLICATION}) as started:
        yield started


@pytest.fixture
def api(running: Platform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.api_url, timeout=20) as client:
        yield client


@pytest.fixture
def database(running: Platform) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cache(running: Platform) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(running.redis_url, decode_responses=True)
    yield client
    client.close()


def counters(api: httpx.Client) -> dict[str, Any]:
    return dict(api.get("/__platform__/counters").json())


READS = [
    ("/health", "status"),
    ("/status", "release"),
    ("/api/v1/users", "users"),
    (f"/api/v1/users?schoolId={SCHOOL}&role=parent&status=ACTIVE&limit=5&offset=5", "users"),
    (f"/api/v1/users/{key('user', 1)}", "user"),
    (f"/orders/{key('order', 1)}", "order"),
    ("/orders", "orders"),
    (f"/orders?schoolId={SCHOOL}&status=delivered&dateFrom=2020-01-01&dateTo=2099-01-01", "orders"),
    (f"/orders?studentId={key('student', 1)}&userId={key('user', 1)}", "orders"),
    (f"/orders/history/{key('user', 1)}", "orders"),
    ("/menus/plans", "plans"),
    (f"/menus/plans?schoolId={SCHOOL}&status=ACTIVE", "plans"),
    (f"/menus/plans/{key('menu_plan', 1)}", "plan"),
    (f"/menus/daily?schoolId={SCHOOL}&date={TODAY}", "menu"),
    (f"/payments/status/{key('order', 1)}", "payments"),
    (f"/payments/methods?userId={key('user', 1)}", "methods"),
    ("/payments/analytics/dashboard?period=monthly", "rows"),
    (f"/payments/analytics/customer-behavior?userId={key('user', 1)}", "paymentOrders"),
    (f"/payments/analytics/{SCHOOL}", "rows"),
    (f"/subscriptions?userId={key('user', 1)}", "subscriptions"),
    (f"/subscriptions/{key('subscription', 1)}", "subscription"),
    ("/subscription-plans", "plans"),
    (f"/rfid/readers?schoolId={SCHOOL}", "readers"),
    (f"/rfid/tracking/{key('student', 1)}", "verifications"),
    ("/rfid/delivery-history", "deliveries"),
    (f"/rfid/delivery-history?schoolId={SCHOOL}&status=verified&limit=3", "deliveries"),
    (f"/api/v1/mobile/notifications/{key('user', 1)}", "notifications"),
    (f"/api/v1/mobile/tracking/orders/{key('order', 3000)}", "order"),
    ("/analytics/executive/kpis", "orders"),
    (f"/invoice-analytics/overdue?schoolId={SCHOOL}", "invoices"),
]


@pytest.mark.parametrize(("path", "answer"), READS)
def test_every_read_answers_with_something(api: httpx.Client, path: str, answer: str) -> None:
    first, second = api.get(path), api.get(path)
    assert first.status_code == second.status_code == 200, first.text
    if answer != "invoices":  # none is overdue in a fresh seed
        assert first.json()[answer]


UNKNOWN_THINGS = [
    (f"/api/v1/users/{UNKNOWN}", "id"),
    (f"/orders/{UNKNOWN}", "orderId"),
    ("/orders/no-uuid", "orderId"),
    ("/orders/%00", "orderId"),
    (f"/orders/history/{UNKNOWN}", "userId"),
    (f"/menus/plans/{UNKNOWN}", "planId"),
    (f"/menus/daily?schoolId={UNKNOWN}&date=2026-01-01", "schoolId"),
    (f"/payments/status/{UNKNOWN}", "orderId"),
    (f"/payments/analytics/{UNKNOWN}", "schoolId"),
    (f"/payments/analytics/customer-behavior?userId={UNKNOWN}", "userId"),
    (f"/subscriptions/{UNKNOWN}", "id"),
    (f"/rfid/tracking/{UNKNOWN}", "studentId"),
    (f"/api/v1/mobile/notifications/{UNKNOWN}", "parentId"),
    (f"/api/v1/mobile/tracking/orders/{UNKNOWN}", "orderId"),
]


@pytest.mark.parametrize(("path", "field"), UNKNOWN_THINGS)
def test_what_is_unknown_is_404(api: httpx.Client, path: str, field: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["error"]["field"]) == (404, field)


WRONG_QUERIES = [
    ("/api/v1/users?limit=0", "limit"),
    ("/api/v1/users?role=a%00b", "role"),
    ("/orders?status=eaten", "status"),
    ("/orders?schoolId=1", "schoolId"),
    ("/orders?dateFrom=yesterday", "dateFrom"),
    ("/menus/daily", "schoolId"),
    (f"/menus/daily?schoolId={SCHOOL}&date=2026-13-01", "date"),
    (f"/menus/daily?schoolId={SCHOOL}&date=9999-12-31", "date"),
    ("/payments/methods", "userId"),
    ("/payments/analytics/dashboard?period=hourly", "period"),
    ("/rfid/delivery-history?limit=many", "limit"),
]


@pytest.mark.parametrize(("path", "field"), WRONG_QUERIES)
def test_a_wrong_parameter_is_named(api: httpx.Client, path: str, field: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"cardNumber": "\xff"}', b"null"])
def test_a_body_that_is_no_object_is_400(api: httpx.Client, body: bytes) -> None:
    answer = api.post("/rfid/verify", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_a_body_beyond_a_mebibyte_is_413(api: httpx.Client) -> None:
    assert api.post("/rfid/verify", content=b" " * 1_048_577).status_code == 413
    assert api.get("/health").status_code == 200


def test_an_unknown_route_is_404_and_a_wrong_method_405(api: httpx.Client) -> None:
    assert api.get("/nope").status_code == 404
    assert api.delete("/orders").status_code == 405


def test_faults_cannot_be_planned_unless_they_were_allowed(api: httpx.Client) -> None:
    assert api.post("/__platform__/faults", json={"*": {"dropShare": 1}}).status_code == 404
    assert api.get("/__platform__/faults").json() == {}


def test_status_names_the_build(api: httpx.Client) -> None:
    status = api.get("/status").json()
    assert status["release"] == "local"
    assert status["version"]
    assert status["startedAt"] == counters(api)["startedAt"]


def test_an_order_is_what_the_database_holds(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    order = api.get(f"/orders/{key('order', 1000)}").json()["order"]
    row = database.execute(
        "SELECT order_number, status, total_amount, student_id FROM orders WHERE id = %s", [key("order", 1000)]
    ).fetchone()
    assert (order["orderNumber"], order["status"], order["totalAmount"], order["studentId"]) == row
    assert sum(item["totalPrice"] for item in order["items"]) == order["totalAmount"]
    assert order["deliveryDate"].endswith("Z")


def test_history_is_the_newest_first(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    orders = api.get(f"/orders/history/{key('user', 7)}", params={"limit": 5}).json()["orders"]
    rows = database.execute(
        "SELECT id FROM orders WHERE user_id = %s ORDER BY created_at DESC LIMIT 5", [key("user", 7)]
    ).fetchall()
    assert [order["id"] for order in orders] == [row[0] for row in rows]


def test_a_days_menu_is_the_schools(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    ((day,),) = database.execute("SELECT max(date)::date FROM daily_menus WHERE school_id = %s", [key("school", 7)])
    assert day >= TODAY
    answer = api.get("/menus/daily", params={"schoolId": key("school", 7), "date": str(day)}).json()
    assert answer["menu"]["id"] == key("daily_menu", 7)
    lunch = api.get("/menus/daily", params={"schoolId": key("school", 7), "date": str(day), "category": "LUNCH"})
    assert {item["category"] for item in lunch.json()["menu"]["items"]} == {"LUNCH"}
    none = api.get("/menus/daily", params={"schoolId": key("school", 7), "date": "2001-01-01"})
    assert (none.status_code, none.json()["menu"]) == (200, None)


def test_verify_answers_the_keys_of_the_facts(api: httpx.Client, cache: redis.Redis) -> None:
    facts = json.loads((FACTS / "rfid_payloads.json").read_text())["endpoints"]
    expected = {one["path"]: one["response_keys"] for one in facts if one["body"]}
    verified = api.post("/rfid/verify", json={"cardNumber": card_number(30_042)})
    assert list(verified.json()) == expected["/rfid/verify"]
    body = {"cardId": key("rfid_card", 30_042), "readerId": key("rfid_reader", 1), "location": LOCATION}
    delivered = api.post("/rfid/verify-delivery", json=body)
    assert list(delivered.json()) == expected["/rfid/verify-delivery"]
    record = f"verification:{verified.json()['verificationId']}"
    assert json.loads(str(cache.get(record)))["studentId"] == key("student", 30_042)
    assert 86_390 < int(str(cache.ttl(record))) <= 86_400
    assert 590 < int(str(cache.ttl(f"rfid_card:{card_number(30_042)}"))) <= 600


def test_a_card_that_the_seed_cached_is_verified_without_a_miss(api: httpx.Client) -> None:
    before = counters(api)["cache"]["families"].get("rfid_card", {"hits": 0, "misses": 0})
    answer = api.post("/rfid/verify", json={"cardNumber": card_number(77), "readerId": key("rfid_reader", 5)})
    after = counters(api)["cache"]["families"]["rfid_card"]
    assert (answer.json()["cardId"], answer.json()["student"]["id"]) == (key("rfid_card", 77), key("student", 77))
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (1, 0)


def test_verify_writes_no_row_and_delivery_writes_one(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    count = "SELECT count(*) FROM delivery_verifications WHERE card_id = %s"
    card = key("rfid_card", 43)
    (before,) = database.execute(count, [card]).fetchone() or (0,)
    api.post("/rfid/verify", json={"cardNumber": card_number(43), "readerId": key("rfid_reader", 1)})
    assert database.execute(count, [card]).fetchone() == (before,)
    body = {"cardId": card, "readerId": key("rfid_reader", 1), "orderId": key("order", 44), "location": LOCATION}
    answer = api.post("/rfid/verify-delivery", json=body).json()
    assert database.execute(count, [card]).fetchone() == (before + 1,)
    written = database.execute(
        "SELECT order_id, reader_id FROM delivery_verifications WHERE id = %s", [answer["verificationId"]]
    ).fetchone()
    assert written == (key("order", 44), key("rfid_reader", 1))
    status = database.execute("SELECT status FROM orders WHERE id = %s", [key("order", 44)]).fetchone()
    assert status == ("delivered",)
    assert [one["userId"] for one in answer["notifications"]] == [key("user", 43)]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"cardNumber": "RFID-NOBODY"}, 404, "cardNumber"),
        ({"cardNumber": card_number(1), "readerId": UNKNOWN}, 404, "readerId"),
        ({"cardNumber": card_number(1), "orderId": UNKNOWN}, 404, "orderId"),
        ({"cardNumber": "nonsense"}, 400, "cardNumber"),
        ({"cardNumber": card_number(1), "readerId": "reader-1"}, 400, "readerId"),
    ],
)
def test_verify_refuses(api: httpx.Client, body: dict[str, str], status: int, field: str) -> None:
    answer = api.post("/rfid/verify", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)


@pytest.mark.parametrize(
    ("change", "code"), [("is_active = false", "CARD_INACTIVE"), ("expires_at = '2020-01-01'", "CARD_EXPIRED")]
)
def test_a_card_that_is_off_is_refused(running: Platform, api: httpx.Client, change: str, code: str) -> None:
    number = 39_000 + len(code)
    with psycopg.connect(running.application_database_url) as connection:
        connection.execute(f"UPDATE rfid_cards SET {change} WHERE id = %s", [key("rfid_card", number)])
    for _ in range(2):  # from the database, then from the cache
        answer = api.post("/rfid/verify", json={"cardNumber": card_number(number)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
    body = {"cardId": key("rfid_card", number), "readerId": key("rfid_reader", 1), "location": {}}
    assert api.post("/rfid/verify-delivery", json=body).status_code == 403


def test_bulk_answers_each_in_order(api: httpx.Client) -> None:
    numbers = [card_number(5), "RFID-NOBODY", card_number(6), card_number(5)]
    body = {"verifications": [{"cardNumber": number} for number in numbers], "readerId": key("rfid_reader", 2)}
    answer = api.post("/rfid/verify-bulk", json=body)
    found = answer.json()
    assert (answer.status_code, found["success"]) == (200, False)
    assert (found["total"], found["verified"], found["failed"]) == (4, 3, 1)
    assert [result["cardNumber"] for result in found["results"]] == numbers
    assert [result["success"] for result in found["results"]] == [True, False, True, True]
    assert len({result["verificationId"] for result in found["results"]}) == 4
    assert found["results"][0]["reader"]["id"] == key("rfid_reader", 2)
    body["verifications"] = [{"cardNumber": "nonsense"}]
    wrong = api.post("/rfid/verify-bulk", json=body)
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "verifications.0.cardNumber")


def test_an_order_is_placed_once_per_idempotency_key(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    items = [{"menuItemId": key("menu_item", 2), "quantity": 2}, {"menuItemId": key("menu_item", 3)}]
    body = {"studentId": key("student", 9), "items": items, "deliveryDate": "2030-01-02"}
    headers = {"Idempotency-Key": str(uuid4())}
    first, second = (api.post("/orders", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    order = first.json()["order"]
    rows = database.execute(
        "SELECT o.total_amount, o.user_id, sum(i.total_price), sum(i.quantity) FROM orders o "
        "JOIN order_items i ON i.order_id = o.id WHERE o.id = %s GROUP BY o.id",
        [order["id"]],
    ).fetchall()
    assert rows == [(order["totalAmount"], key("user", 9), order["totalAmount"], 3)]
    assert api.get(f"/orders/{order['id']}").json()["order"]["deliveryDate"] == "2030-01-02T07:00:00Z"
    other = api.post("/orders", json=body).json()["order"]
    assert other["id"] != order["id"]


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"studentId": key("user", 1)}, 404, "studentId"),
        ({"items": [{"menuItemId": UNKNOWN}]}, 404, "items.0.menuItemId"),
        ({"items": []}, 400, "items"),
    ],
)
def test_orders_that_cannot_be(api: httpx.Client, change: dict[str, Any], status: int, field: str) -> None:
    body = {"studentId": key("student", 9), "items": [{"menuItemId": key("menu_item", 2)}], **change}
    answer = api.post("/orders", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)


def test_a_dish_that_is_off_the_menu_is_refused(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    (item,) = database.execute("SELECT id FROM menu_items WHERE NOT available LIMIT 1").fetchone() or (None,)
    body = {"studentId": key("student", 9), "items": [{"menuItemId": item}]}
    answer = api.post("/orders", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "MENU_ITEM_UNAVAILABLE")


def test_an_order_is_changed(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    path = f"/orders/{key('order', 60)}"
    assert api.put(path, json={"status": "ready"}).json()["order"]["status"] == "ready"
    assert api.put(path, json={"specialInstructions": "No nuts"}).json()["order"]["status"] == "ready"
    row = database.execute("SELECT status, special_instructions FROM orders WHERE id = %s", [key("order", 60)])
    assert row.fetchone() == ("ready", "No nuts")
    assert api.put(path, json={}).json()["error"]["field"] == "status"
    assert api.put(f"/orders/{UNKNOWN}", json={"status": "ready"}).status_code == 404


def test_a_payment_is_opened(api: httpx.Client, database: psycopg.Connection[Any]) -> None:
    answer = api.post("/payments/orders", json={"orderId": key("order", 61)})
    total = database.execute("SELECT total_amount FROM orders WHERE id = %s", [key("order", 61)]).fetchone()
    assert answer.status_code == 201
    assert (answer.json()["paymentOrder"]["amount"] / 100,) == total
    wrong = api.post("/payments/orders", json={"orderId": key("order", 61), "amount": -1})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "amount")


def test_signing_in_opens_a_session_and_five_failures_lock(api: httpx.Client, cache: redis.Redis) -> None:
    good = api.post("/auth/login", json={"email": "user1@example.test", "password": "password-1"})
    assert good.status_code == 200
    session = json.loads(str(cache.get(f"session:{good.json()['token']}")))
    assert session["userId"] == key("user", 1)
    wrong = {"email": "user2@example.test", "password": "guess"}
    assert [api.post("/auth/login", json=wrong).status_code for _ in range(6)] == [401] * 5 + [423]
    nobody = api.post("/auth/login", json={"email": "nobody@example.test", "password": "x"})
    assert nobody.status_code == 401


def test_the_poor_family_misses_and_a_good_one_hits(api: httpx.Client) -> None:
    before = counters(api)["cache"]["families"]
    for number in range(1, 21):
        api.get(f"/payments/analytics/{key('school', number)}")
        api.get(f"/api/v1/users/{key('user', 100)}")
    after = counters(api)["cache"]["families"]

    def grown(family: str, what: str) -> int:
        return int(after[family][what] - before.get(family, {}).get(what, 0))

    assert (grown(POOR_KEY_FAMILY, "hits"), grown(POOR_KEY_FAMILY, "misses")) == (0, 20)
    assert grown("hasivu", "hits") >= 19


def test_every_request_is_counted_exactly(api: httpx.Client, running: Platform) -> None:
    before = {(one["method"], one["route"], one["status"]): one["count"] for one in counters(api)["http"]}
    plan = [
        ("GET", f"/orders/{key('order', 5)}", 40),
        ("GET", f"/orders/{UNKNOWN}", 30),
        ("GET", "/nope", 20),
        ("POST", "/rfid/verify", 10),
    ]

    def ask(request: tuple[str, str]) -> int:
        with httpx.Client(base_url=running.api_url, timeout=20) as client:
            return client.request(*request).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, [(method, path) for method, path, times in plan for _ in range(times)]))
    assert statuses == [200] * 40 + [404] * 50 + [400] * 10
    found = counters(api)
    after = {(one["method"], one["route"], one["status"]): one["count"] for one in found["http"]}
    grown = {label: after[label] - before.get(label, 0) for label in after if after[label] != before.get(label)}
    assert grown == {
        ("GET", "/orders/{orderId}", 200): 40,
        ("GET", "/orders/{orderId}", 404): 30,
        ("GET", "<unmatched>", 404): 20,
        ("POST", "/rfid/verify", 400): 10,
    }
    assert found["httpTotals"]["inFlight"] == found["httpTotals"]["unanswered"] == 0
    assert found["httpTotals"]["answered"] == sum(after.values())


def test_the_pool_is_named_in_the_database(running: Platform, api: httpx.Client) -> None:
    assert api.get("/health").status_code == 200
    with psycopg.connect(running.admin_database_url) as connection:
        row = connection.execute(
            "SELECT count(*), min(usename) FROM pg_stat_activity WHERE application_name = 'hasivu-api'"
        ).fetchone()
    assert row is not None
    assert 2 <= row[0] <= 10
    assert row[1] == "hasivu_app"
