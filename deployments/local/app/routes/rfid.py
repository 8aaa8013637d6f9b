"""A card at a reader: single and bulk verification, readers.

The facts have no body for POST /rfid/verify-bulk (its handler is missing there). The shape chosen here:
{"verifications": [1 to 100 bodies of POST /rfid/verify], "readerId": a reader for those that name none}. It answers
200 with a result for each, in their order, each as POST /rfid/verify answers it; an unknown or refused card or an
unknown reader or order fails its own result only, a malformed one fails the request (400).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, LiteralString, NamedTuple
from uuid import uuid4

from pydantic import Field, StringConstraints

from deployments.local.app.cache import DAY_S
from deployments.local.app.http import Answer, Body, Call, Id, RouteEntry, Text, encode
from deployments.local.app.routes.rfid_lookup import Found, expired, read_cards_and_readers, read_orders
from deployments.local.app.services import Services

MAX_BULK = 100

CardNumber = Annotated[str, StringConstraints(pattern=r"^RFID-[A-Z0-9-]+$", max_length=64)]

_READERS: LiteralString = """
SELECT r.id, r.name, r.location, r.school_id AS "schoolId", s.name AS "schoolName", r.status,
       r.last_heartbeat AS "lastHeartbeat", r.is_active AS "isActive"
  FROM rfid_readers r JOIN schools s ON s.id = r.school_id
 WHERE r.is_active"""

_STATUS_OF = {
    "CARD_NOT_FOUND": 404,
    "READER_NOT_FOUND": 404,
    "ORDER_NOT_FOUND": 404,
    "CARD_INACTIVE": 403,
    "CARD_EXPIRED": 403,
}
_FIELD_OF = {"CARD_NOT_FOUND": "cardNumber", "READER_NOT_FOUND": "readerId", "ORDER_NOT_FOUND": "orderId"}


class Verify(Body):
    """Body of POST /rfid/verify."""

    card_number: CardNumber
    reader_id: Id | None = None
    order_id: Id | None = None
    location: Text | None = None
    verification_data: dict[str, Any] | None = None


class VerifyBulk(Body):
    """Body of POST /rfid/verify-bulk."""

    verifications: Annotated[list[Verify], Field(min_length=1, max_length=MAX_BULK)]
    reader_id: Id | None = None


class ReadersQuery(Body):
    """Filters of GET /rfid/readers."""

    school_id: Id | None = None


async def verify(call: Call) -> Answer:
    """Verify one card: 200; 404 for an unknown card, reader or order; 403 for an inactive or expired card."""
    result = (await verify_all(call.services, [call.json(Verify)], None))[0]
    error = result["error"]
    return Answer(result, 200 if error is None else _STATUS_OF[error["code"]])


async def verify_bulk(call: Call) -> Answer:
    """Verify up to 100 cards at once."""
    body = call.json(VerifyBulk)
    results = await verify_all(call.services, body.verifications, body.reader_id)
    verified = sum(result["success"] for result in results)
    return Answer(
        {
            "success": verified == len(results),
            "total": len(results),
            "verified": verified,
            "failed": len(results) - verified,
            "results": results,
        }
    )


async def verify_all(services: Services, bodies: Sequence[Verify], reader_id: str | None) -> list[dict[str, Any]]:
    """A result for each of `bodies`; `reader_id` is the reader of those that name none."""
    numbers = list(dict.fromkeys(body.card_number for body in bodies))
    used = list(dict.fromkeys(reader for body in bodies if (reader := body.reader_id or reader_id)))
    cards, readers = await read_cards_and_readers(services, numbers, used)
    orders = await read_orders(services, (body.order_id for body in bodies if body.order_id))
    known = _Known(cards, readers, orders, datetime.now(UTC))
    results = [_result(body, body.reader_id or reader_id, known) for body in bodies]
    await _remember(services, results, known.now)
    return results


class _Known(NamedTuple):
    """What the request's numbers and keys found, and when."""

    cards: Found
    readers: Found
    orders: Found
    now: datetime


def _result(body: Verify, reader_id: str | None, known: _Known) -> dict[str, Any]:
    card = known.cards.get(body.card_number)
    reader = known.readers.get(reader_id) if reader_id else None
    order = known.orders.get(body.order_id) if body.order_id else None
    if card is None:
        return _failed(body, "CARD_NOT_FOUND", "The card is unknown")
    if not card["isActive"]:
        return _failed(body, "CARD_INACTIVE", "The card was deactivated")
    if expired(card, known.now):
        return _failed(body, "CARD_EXPIRED", "The card has expired")
    if reader_id and reader is None:
        return _failed(body, "READER_NOT_FOUND", "The reader is unknown")
    if body.order_id and order is None:
        return _failed(body, "ORDER_NOT_FOUND", "The order is unknown")
    return {
        "success": True,
        "cardId": card["id"],
        "cardNumber": body.card_number,
        "message": "Card verified",
        "verificationId": str(uuid4()),
        "student": card["student"],
        "school": card["school"],
        "order": order,
        "reader": reader,
        "error": None,
        "warnings": _warnings(card, reader, order),
    }


def _failed(body: Verify, code: str, message: str) -> dict[str, Any]:
    error = {"code": code, "message": message}
    if code in _FIELD_OF:
        error["field"] = _FIELD_OF[code]
    return {
        "success": False,
        "cardId": None,
        "cardNumber": body.card_number,
        "message": message,
        "verificationId": None,
        "student": None,
        "school": None,
        "order": None,
        "reader": None,
        "error": error,
        "warnings": [],
    }


def _warnings(card: dict[str, Any], reader: dict[str, Any] | None, order: dict[str, Any] | None) -> list[str]:
    warnings = []
    if reader is not None and reader["schoolId"] != card["school"]["id"]:
        warnings.append("The reader belongs to another school")
    if reader is not None and reader["status"] != "online":
        warnings.append("The reader is reported offline")
    if order is not None and order["studentId"] != card["student"]["id"]:
        warnings.append("The order belongs to another student")
    return warnings


async def _remember(services: Services, results: Sequence[dict[str, Any]], now: datetime) -> None:
    """Keep every verification in the cache for a day; a cache that fails leaves a warning in the answer."""
    records = {
        f"verification:{result['verificationId']}": encode(
            {
                "cardId": result["cardId"],
                "studentId": result["student"]["id"],
                "readerId": result["reader"] and result["reader"]["id"],
                "orderId": result["order"] and result["order"]["id"],
                "verifiedAt": now,
            }
        )
        for result in results
        if result["success"]
    }
    if not await services.cache.set_many(records, DAY_S):
        for result in results:
            result["warnings"].append("The verification could not be kept in the cache")


async def list_readers(call: Call) -> Answer:
    """All active readers, or those of one school."""
    query = call.query(ReadersQuery)
    statement = _READERS
    if query.school_id is not None:
        statement += " AND r.school_id = %(school_id)s"
    statement += " ORDER BY r.name LIMIT 200"
    readers = await call.services.database.rows(statement, query.model_dump())
    return Answer({"success": True, "readers": readers})


ROUTES: tuple[RouteEntry, ...] = (
    ("POST", "/rfid/verify", verify),
    ("POST", "/rfid/verify-bulk", verify_bulk),
    ("GET", "/rfid/readers", list_readers),
)
