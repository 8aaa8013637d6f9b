"""Routes and payloads against the facts about the platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from deployments.local import identity
from deployments.local.app.http import problems_of
from deployments.local.app.routes import ALL
from deployments.local.app.routes.auth import password_hash
from deployments.local.app.routes.orders import NewOrder
from deployments.local.app.routes.rfid import Verify, VerifyBulk
from deployments.local.app.routes.rfid_delivery import VerifyDelivery

FACTS = Path(__file__).parents[2] / "deployments/local/facts"
CARD = {"cardNumber": "RFID-00000001"}
DELIVERY: dict[str, Any] = {
    "cardId": identity.key("rfid_card", 1),
    "readerId": identity.key("rfid_reader", 1),
    "location": {},
}


def facts(name: str) -> Any:
    return json.loads((FACTS / name).read_text())


def fields_refused(model: type[BaseModel], body: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(json.dumps(body))
    return [field for field, _ in problems_of(caught.value)]


def test_every_route_is_one_of_the_platforms() -> None:
    known = {(route["method"], route["path"]) for route in facts("api_routes.json")["routes"]}
    served = {(method, path) for method, path, _ in ALL}
    assert len(ALL) == len(served) >= 24
    assert served <= known


def test_the_rfid_endpoints_of_the_facts_are_served() -> None:
    served = {(method, path) for method, path, _ in ALL}
    assert {(one["method"], one["path"]) for one in facts("rfid_payloads.json")["endpoints"]} <= served


def test_verify_takes_the_fields_of_the_facts() -> None:
    (endpoint,) = (one for one in facts("rfid_payloads.json")["endpoints"] if one["path"] == "/rfid/verify")
    assert {field.alias for field in Verify.model_fields.values()} == set(endpoint["body"])


def test_verify_delivery_takes_the_fields_of_the_facts() -> None:
    (endpoint,) = (one for one in facts("rfid_payloads.json")["endpoints"] if one["path"] == "/rfid/verify-delivery")
    assert {field.alias for field in VerifyDelivery.model_fields.values()} == set(endpoint["body"])
    required = {field.alias for field in VerifyDelivery.model_fields.values() if field.is_required()}
    assert required == {name for name, text in endpoint["body"].items() if "required" in text}


def test_the_payload_of_the_original_test_is_refused_for_the_facts_reasons() -> None:
    body = {"cardNumber": "RFID-TEST-1", "readerId": "reader-1", "orderId": "order-1"}
    assert fields_refused(VerifyDelivery, body) == ["cardId", "readerId", "orderId", "location"]


@pytest.mark.parametrize("number", ["RFID-1", "RFID-A-B-9", identity.card_number(40_000)])
def test_card_numbers_that_are_good(number: str) -> None:
    assert Verify.model_validate_json(json.dumps({"cardNumber": number})).card_number == number


@pytest.mark.parametrize(
    "number", ["", "RFID-", "rfid-1", "RFID-a", "XRFID-1", "RFID-1\n", "RFID-1 ", "RFID-\u0000", "RFID-é", 7, None]
)
def test_card_numbers_that_are_not(number: object) -> None:
    assert fields_refused(Verify, {"cardNumber": number}) == ["cardNumber"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"readerId": "x"}, "readerId"),
        ({"orderId": 5}, "orderId"),
        ({"location": "a\u0000b"}, "location"),
        ({"location": "x" * 501}, "location"),
        ({"verificationData": []}, "verificationData"),
    ],
)
def test_verify_names_the_wrong_field(change: dict[str, object], field: str) -> None:
    assert fields_refused(Verify, CARD | change) == [field]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"location": "gate"}, "location"),
        ({"location": {"latitude": 91}}, "location.latitude"),
        ({"metadata": {"signalStrength": "strong"}}, "metadata.signalStrength"),
    ],
)
def test_verify_delivery_names_the_wrong_field(change: dict[str, object], field: str) -> None:
    assert fields_refused(VerifyDelivery, DELIVERY | change) == [field]


@pytest.mark.parametrize("count", [0, 101])
def test_bulk_takes_one_to_a_hundred(count: int) -> None:
    assert fields_refused(VerifyBulk, {"verifications": [CARD] * count}) == ["verifications"]
    assert len(VerifyBulk.model_validate({"verifications": [CARD] * 100}).verifications) == 100


def test_bulk_names_the_wrong_one() -> None:
    body = {"verifications": [CARD, CARD, {"cardNumber": "x"}], "readerId": "y"}
    assert fields_refused(VerifyBulk, body) == ["verifications.2.cardNumber", "readerId"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"items": []}, "items"),
        ({"items": [{"menuItemId": "x"}]}, "items.0.menuItemId"),
        ({"items": [{"menuItemId": identity.key("menu_item", 2), "quantity": 0}]}, "items.0.quantity"),
        ({"deliveryDate": "9999-12-31"}, "deliveryDate"),
        ({"deliveryDate": "soon"}, "deliveryDate"),
    ],
)
def test_an_order_names_the_wrong_field(change: dict[str, object], field: str) -> None:
    good = {"studentId": identity.key("student", 1), "items": [{"menuItemId": identity.key("menu_item", 2)}]}
    NewOrder.model_validate(good)
    assert fields_refused(NewOrder, good | change) == [field]


def test_no_more_than_ten_problems_are_told() -> None:
    assert len(fields_refused(VerifyBulk, {"verifications": [{}] * 50})) == 10


def test_the_hash_of_a_password_is_sha_256() -> None:
    # echo -n password-1 | sha256sum
    assert password_hash("password-1") == "sha256$" + PASSWORD_1


PASSWORD_1 = "027087c0e1400b87174b38e492f737308b83b14be7ca3aecccdf014d1f3a59ce"
