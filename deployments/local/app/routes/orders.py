"""Orders: place, read, change, list, history."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, LiteralString
from uuid import uuid4

from pydantic import Field

from deployments.local.app.cache import ORDER_LIST_S, SHORT_S
from deployments.local.app.database import Row
from deployments.local.app.http import (
    Answer,
    Body,
    Call,
    Day,
    Id,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    RouteEntry,
    Text,
    encode,
)
from deployments.local.app.routes.idempotency import once
from deployments.local.app.routes.menu_items import read_items

Status = Literal["pending", "confirmed", "preparing", "ready", "out_for_delivery", "delivered", "cancelled"]

_ORDER: LiteralString = """
SELECT o.id, o.order_number AS "orderNumber", o.status, o.payment_status AS "paymentStatus",
       o.total_amount AS "totalAmount", o.currency, o.order_date AS "orderDate", o.delivery_date AS "deliveryDate",
       o.delivered_at AS "deliveredAt", o.special_instructions AS "specialInstructions",
       o.user_id AS "userId", o.student_id AS "studentId", u.first_name AS "studentFirstName",
       u.last_name AS "studentLastName", o.school_id AS "schoolId", s.name AS "schoolName"
  FROM orders o JOIN users u ON u.id = o.student_id JOIN schools s ON s.id = o.school_id
 WHERE o.id = %(id)s"""

_ITEMS: LiteralString = """
SELECT i.id, i.menu_item_id AS "menuItemId", m.name, m.category, i.quantity, i.unit_price AS "unitPrice",
       i.total_price AS "totalPrice"
  FROM order_items i JOIN menu_items m ON m.id = i.menu_item_id
 WHERE i.order_id = %(id)s"""

_LIST: LiteralString = """
SELECT o.id, o.order_number AS "orderNumber", o.status, o.payment_status AS "paymentStatus",
       o.total_amount AS "totalAmount", o.delivery_date AS "deliveryDate", o.created_at AS "createdAt",
       o.student_id AS "studentId", o.school_id AS "schoolId"
  FROM orders o"""

_HISTORY: LiteralString = """
SELECT o.id, o.order_number AS "orderNumber", o.status, o.total_amount AS "totalAmount",
       o.delivery_date AS "deliveryDate", o.created_at AS "createdAt", o.student_id AS "studentId",
       u.first_name AS "studentFirstName"
  FROM orders o JOIN users u ON u.id = o.student_id
 WHERE o.user_id = %(user_id)s
 ORDER BY o.created_at DESC LIMIT %(limit)s"""

_STUDENT: LiteralString = """
SELECT id, school_id AS "schoolId", parent_id AS "parentId" FROM users WHERE id = %(id)s AND role = 'student'"""

_INSERT: LiteralString = """
INSERT INTO orders (id, order_number, user_id, student_id, school_id, total_amount, delivery_date,
                    special_instructions)
VALUES (%(id)s, %(order_number)s, %(user_id)s, %(student_id)s, %(school_id)s, %(total)s, %(delivery_date)s,
        %(special_instructions)s)
RETURNING status, payment_status AS "paymentStatus", created_at AS "createdAt" """

_INSERT_ITEMS: LiteralString = """
INSERT INTO order_items (id, order_id, menu_item_id, quantity, unit_price, total_price)
SELECT gen_random_uuid()::text, %(order_id)s, line.item, line.quantity, line.price, line.quantity * line.price
  FROM unnest(%(items)s::text[], %(quantities)s::integer[], %(prices)s::double precision[])
    AS line(item, quantity, price)"""

_UPDATE: LiteralString = """
UPDATE orders
   SET status = coalesce(%(status)s, status), updated_at = now(),
       special_instructions = coalesce(%(special_instructions)s, special_instructions),
       delivered_at = CASE WHEN %(status)s = 'delivered' THEN now() ELSE delivered_at END
 WHERE id = %(id)s
RETURNING id, order_number AS "orderNumber", status, school_id AS "schoolId", user_id AS "userId",
          updated_at AS "updatedAt" """


class OrderLine(Body):
    """One dish of a new order."""

    menu_item_id: Id
    quantity: Annotated[int, Field(ge=1, le=20)] = 1


class NewOrder(Body):
    """Body of POST /orders; `delivery_date` is tomorrow where it is not given."""

    student_id: Id
    delivery_date: Day | None = None
    items: Annotated[list[OrderLine], Field(min_length=1, max_length=20)]
    special_instructions: Text | None = None


class OrderChange(Body):
    """Body of PUT /orders/{orderId}: at least one of its fields."""

    status: Status | None = None
    special_instructions: Text | None = None


class OrdersQuery(Body):
    """Filters of GET /orders."""

    school_id: Id | None = None
    student_id: Id | None = None
    user_id: Id | None = None
    status: Status | None = None
    date_from: Day | None = None
    date_to: Day | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0


class HistoryQuery(Body):
    """Paging of GET /orders/history/{userId}."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20


async def create_order(call: Call) -> Answer:
    """Place an order for a student: 201, and `order.created` to the subscribers of orders."""
    body = call.json(NewOrder)
    return await once(call, lambda: _create(call, body))


async def _create(call: Call, body: NewOrder) -> Answer:
    student = await call.services.database.row(_STUDENT, {"id": body.student_id})
    if student is None:
        raise NotFoundError("studentId", "The student is unknown")
    prices = await _prices(call, body)
    order = {
        "id": str(uuid4()),
        "order_number": f"ORD-{uuid4().hex[:16].upper()}",
        "user_id": student["parentId"] or student["id"],
        "student_id": body.student_id,
        "school_id": student["schoolId"],
        "total": sum(price * line.quantity for price, line in zip(prices, body.items, strict=True)),
        "delivery_date": _delivery(body.delivery_date),
        "special_instructions": body.special_instructions,
    }
    stored = await _insert(call, order, body, prices)
    answer = {
        "id": order["id"],
        "orderNumber": order["order_number"],
        "userId": order["user_id"],
        "studentId": body.student_id,
        "schoolId": order["school_id"],
        "totalAmount": order["total"],
        "deliveryDate": order["delivery_date"],
        **stored,
    }
    created = {"type": "order.created", "orderId": order["id"], "status": stored["status"]}
    call.services.hub.publish(created, "orders", f"orders:{order['school_id']}")
    return Answer({"success": True, "order": answer}, 201)


async def _prices(call: Call, body: NewOrder) -> list[float]:
    items = await read_items(call.services, [line.menu_item_id for line in body.items])
    for place, line in enumerate(body.items):
        item = items.get(line.menu_item_id)
        if item is None:
            raise NotFoundError(f"items.{place}.menuItemId", "The menu item is unknown")
        if not item["available"]:
            raise RefusedError(409, "MENU_ITEM_UNAVAILABLE", f"items.{place}.menuItemId is not available")
    return [float(items[line.menu_item_id]["price"]) for line in body.items]


async def _insert(call: Call, order: dict[str, Any], body: NewOrder, prices: list[float]) -> Row:
    lines = {
        "order_id": order["id"],
        "items": [line.menu_item_id for line in body.items],
        "quantities": [line.quantity for line in body.items],
        "prices": prices,
    }
    async with call.services.database.transaction() as connection:
        stored = await (await connection.execute(_INSERT, order)).fetchone()
        await connection.execute(_INSERT_ITEMS, lines)
    if stored is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    return stored


def _delivery(day: date | None) -> datetime:
    """Lunch (07:00 UTC, 12:30 in India) of `day` or of tomorrow, without a zone as the table stores it."""
    chosen = day or datetime.now(UTC).date() + timedelta(days=1)
    return datetime.combine(chosen, time(7))


async def get_order(call: Call) -> Answer:
    """An order with its dishes."""
    order_id = call.id("orderId")
    database = call.services.database
    order = await database.row(_ORDER, {"id": order_id})
    if order is None:
        raise NotFoundError("orderId", "The order is unknown")
    order["items"] = await database.rows(_ITEMS, {"id": order_id})
    return Answer({"success": True, "order": order})


async def update_order(call: Call) -> Answer:
    """Change status or instructions; a change of status goes to whoever tracks the order."""
    order_id = call.id("orderId")
    body = call.json(OrderChange)
    if body.status is None and body.special_instructions is None:
        raise InvalidInputError([("status", "nothing to change: give status or specialInstructions")])
    services = call.services
    order = await services.database.row(_UPDATE, {"id": order_id, **body.model_dump()})
    if order is None:
        raise NotFoundError("orderId", "The order is unknown")
    status = encode({"status": order["status"], "updatedAt": order["updatedAt"]})
    await services.cache.set(f"hasivu:order_status:{order_id}", status, SHORT_S)
    update = {
        "type": "order_status_update",
        "orderId": order_id,
        "status": order["status"],
        "updatedAt": order["updatedAt"],
    }
    services.hub.publish(update, "orders", f"orders:{order['schoolId']}", f"order:{order_id}")
    return Answer({"success": True, "order": order})


async def list_orders(call: Call) -> Answer:
    """One page of orders, newest first; a school's or all schools' first page is cached for five minutes."""
    query = call.query(OrdersQuery)
    parameters = query.model_dump(exclude_none=True)
    key = f"hasivu:orders:{encode(parameters).decode()}"
    cached = await call.services.cache.get(key)
    if cached is not None:
        return Answer(cached)
    rows = await call.services.database.rows(_filtered(query), parameters)
    body = encode({"success": True, "orders": rows, "limit": query.limit, "offset": query.offset})
    await call.services.cache.set(key, body, ORDER_LIST_S)
    return Answer(body)


def _filtered(query: OrdersQuery) -> LiteralString:
    conditions: list[LiteralString] = []
    if query.school_id is not None:
        conditions.append("o.school_id = %(school_id)s")
    if query.student_id is not None:
        conditions.append("o.student_id = %(student_id)s")
    if query.user_id is not None:
        conditions.append("o.user_id = %(user_id)s")
    if query.status is not None:
        conditions.append("o.status = %(status)s")
    if query.date_from is not None:
        conditions.append("o.created_at >= %(date_from)s")
    if query.date_to is not None:
        conditions.append("o.created_at < %(date_to)s")
    where: LiteralString = " WHERE " + " AND ".join(conditions) if conditions else ""
    return _LIST + where + " ORDER BY o.created_at DESC LIMIT %(limit)s OFFSET %(offset)s"


async def order_history(call: Call) -> Answer:
    """A parent's orders, newest first."""
    user_id = call.id("userId")
    query = call.query(HistoryQuery)
    database = call.services.database
    rows = await database.rows(_HISTORY, {"user_id": user_id, "limit": query.limit})
    if not rows and await database.row("SELECT id FROM users WHERE id = %(id)s", {"id": user_id}) is None:
        raise NotFoundError("userId", "The user is unknown")
    return Answer({"success": True, "userId": user_id, "orders": rows})


ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/orders/history/{userId}", order_history),
    ("GET", "/orders/{orderId}", get_order),
    ("PUT", "/orders/{orderId}", update_order),
    ("POST", "/orders", create_order),
    ("GET", "/orders", list_orders),
)
