"""Meals handed out: a delivery is written, followed by student, and listed."""

from __future__ import annotations

from typing import Annotated, Any, LiteralString
from uuid import uuid4

import orjson
from pydantic import Field

from deployments.local.app.database import Connection, Row
from deployments.local.app.http import (
    Answer,
    Body,
    Call,
    Day,
    Id,
    NotFoundError,
    RefusedError,
    RouteEntry,
    Text,
    Word,
)
from deployments.local.app.routes.rfid_lookup import (
    expired,
    read_card_by_id,
    read_cards_and_readers,
    read_orders,
)

_INSERT: LiteralString = """
INSERT INTO delivery_verifications (id, order_id, student_id, card_id, reader_id, location, verification_data)
VALUES (%(id)s, %(order_id)s, %(student_id)s, %(card_id)s, %(reader_id)s, %(location)s, %(data)s)
RETURNING verified_at AS "verifiedAt", status"""

_DELIVER: LiteralString = """
UPDATE orders SET status = 'delivered', delivered_at = coalesce(delivered_at, now()), updated_at = now()
 WHERE id = %(order_id)s"""

_NOTIFY: LiteralString = """
INSERT INTO notifications (id, user_id, title, body, type, status, channels)
SELECT gen_random_uuid()::text, sp.parent_id, 'Meal delivered', %(text)s, 'delivery', 'pending', '["push"]'
  FROM student_parents sp
 WHERE sp.student_id = %(student_id)s AND sp.is_primary AND sp.is_active
RETURNING id, user_id AS "userId", type, status"""

_STUDENT: LiteralString = """
SELECT u.id, u.first_name AS "firstName", u.last_name AS "lastName", u.grade, u.section, u.school_id AS "schoolId"
  FROM users u WHERE u.id = %(id)s AND u.role = 'student'"""

_SEEN: LiteralString = """
SELECT v.id, v.verified_at AS "verifiedAt", v.status, v.order_id AS "orderId", r.name AS "readerName", r.location
  FROM delivery_verifications v JOIN rfid_readers r ON r.id = v.reader_id
 WHERE v.student_id = %(id)s
 ORDER BY v.verified_at DESC LIMIT 10"""

_CURRENT: LiteralString = """
SELECT o.id, o.order_number AS "orderNumber", o.status, o.delivery_date AS "deliveryDate"
  FROM orders o
 WHERE o.student_id = %(id)s
 ORDER BY o.delivery_date DESC LIMIT 5"""

_HISTORY: LiteralString = """
SELECT v.id, v.verified_at AS "verifiedAt", v.status, v.order_id AS "orderId", v.student_id AS "studentId",
       u.first_name AS "studentFirstName", u.last_name AS "studentLastName", r.name AS "readerName",
       r.location AS "readerLocation", r.school_id AS "schoolId"
  FROM delivery_verifications v
  JOIN rfid_readers r ON r.id = v.reader_id
  LEFT JOIN users u ON u.id = v.student_id"""


class Location(Body):
    """Where a meal was handed out."""

    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    venue: Text | None = None
    description: Text | None = None


class Metadata(Body):
    """What the reader adds."""

    signal_strength: float | None = None
    reader_version: Text | None = None
    timestamp: Text | None = None


class VerifyDelivery(Body):
    """Body of POST /rfid/verify-delivery."""

    card_id: Id
    reader_id: Id
    order_id: Id | None = None
    location: Location
    metadata: Metadata | None = None


class HistoryQuery(Body):
    """Filters of GET /rfid/delivery-history."""

    school_id: Id | None = None
    student_id: Id | None = None
    reader_id: Id | None = None
    status: Word | None = None
    date_from: Day | None = None
    date_to: Day | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


async def verify_delivery(call: Call) -> Answer:
    """Write a delivery, mark its order delivered, notify the parent: 200, 404, or 403 for a refused card."""
    body = call.json(VerifyDelivery)
    services = call.services
    card = await read_card_by_id(services, body.card_id)
    if card is None:
        raise NotFoundError("cardId", "The card is unknown")
    if not card["isActive"] or expired(card):
        raise RefusedError(403, "CARD_REFUSED", "The card was deactivated or has expired")
    reader = (await read_cards_and_readers(services, (), (body.reader_id,)))[1].get(body.reader_id)
    if reader is None:
        raise NotFoundError("readerId", "The reader is unknown")
    order = (await read_orders(services, (body.order_id,))).get(body.order_id) if body.order_id else None
    if body.order_id and order is None:
        raise NotFoundError("orderId", "The order is unknown")
    answer = await _deliver(call, body, card, reader, order)
    _announce(call, order)
    return Answer(answer)


async def _deliver(call: Call, body: VerifyDelivery, card: Row, reader: Row, order: Row | None) -> dict[str, Any]:
    verification_id = str(uuid4())
    location = body.location.model_dump(by_alias=True, exclude_none=True)
    parameters = {
        "id": verification_id,
        "order_id": body.order_id,
        "student_id": card["student"]["id"],
        "card_id": body.card_id,
        "reader_id": body.reader_id,
        "location": orjson.dumps(location).decode(),
        "data": body.metadata.model_dump_json(by_alias=True, exclude_none=True) if body.metadata else "{}",
        "text": f"{card['student']['firstName']} has received the meal",
    }
    async with call.services.database.transaction() as connection:
        delivery, notifications = await _write(connection, parameters)
    if order is not None:
        order["status"] = "delivered"
    return {
        "success": True,
        "verificationId": verification_id,
        "order": order,
        "student": card["student"],
        "school": card["school"],
        "delivery": {**delivery, "location": location, "reader": reader},
        "notifications": notifications,
    }


async def _write(connection: Connection, parameters: dict[str, Any]) -> tuple[Row, list[Row]]:
    delivery = await (await connection.execute(_INSERT, parameters)).fetchone()
    if delivery is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    if parameters["order_id"] is not None:
        await connection.execute(_DELIVER, parameters)
    notifications = await (await connection.execute(_NOTIFY, parameters)).fetchall()
    return delivery, notifications


def _announce(call: Call, order: Row | None) -> None:
    if order is None:
        return
    update = {"type": "order_status_update", "orderId": order["id"], "status": "delivered"}
    call.services.hub.publish(update, "orders", f"orders:{order['schoolId']}", f"order:{order['id']}")


async def track_student(call: Call) -> Answer:
    """Where a student's meals are: the last readers and orders."""
    student_id = call.id("studentId")
    database = call.services.database
    student = await database.row(_STUDENT, {"id": student_id})
    if student is None:
        raise NotFoundError("studentId", "The student is unknown")
    seen = await database.rows(_SEEN, {"id": student_id})
    orders = await database.rows(_CURRENT, {"id": student_id})
    return Answer({"success": True, "student": student, "verifications": seen, "orders": orders})


async def delivery_history(call: Call) -> Answer:
    """Deliveries, newest first."""
    query = call.query(HistoryQuery)
    rows = await call.services.database.rows(_history(query), query.model_dump())
    return Answer({"success": True, "deliveries": rows, "limit": query.limit})


def _history(query: HistoryQuery) -> LiteralString:
    conditions: list[LiteralString] = []
    if query.school_id is not None:
        conditions.append("r.school_id = %(school_id)s")
    if query.student_id is not None:
        conditions.append("v.student_id = %(student_id)s")
    if query.reader_id is not None:
        conditions.append("v.reader_id = %(reader_id)s")
    if query.status is not None:
        conditions.append("v.status = %(status)s")
    if query.date_from is not None:
        conditions.append("v.verified_at >= %(date_from)s")
    if query.date_to is not None:
        conditions.append("v.verified_at < %(date_to)s")
    where: LiteralString = " WHERE " + " AND ".join(conditions) if conditions else ""
    return _HISTORY + where + " ORDER BY v.verified_at DESC LIMIT %(limit)s"


ROUTES: tuple[RouteEntry, ...] = (
    ("POST", "/rfid/verify-delivery", verify_delivery),
    ("GET", "/rfid/tracking/{studentId}", track_student),
    ("GET", "/rfid/delivery-history", delivery_history),
)
