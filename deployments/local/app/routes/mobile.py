"""What the parents' mobile application asks for."""

from __future__ import annotations

from typing import Annotated, LiteralString

from pydantic import Field

from deployments.local.app.http import Answer, Body, Call, NotFoundError, RouteEntry

_NOTIFICATIONS: LiteralString = """
SELECT n.id, n.title, n.body, n.type, n.priority, n.status, n.read_at AS "readAt", n.created_at AS "createdAt"
  FROM notifications n
 WHERE n.user_id = %(user_id)s"""

_UNREAD: LiteralString = """
SELECT count(*) AS unread FROM notifications WHERE user_id = %(user_id)s AND read_at IS NULL"""

_ORDER: LiteralString = """
SELECT o.id, o.order_number AS "orderNumber", o.status, o.delivery_date AS "deliveryDate",
       o.delivered_at AS "deliveredAt", u.first_name AS "studentFirstName", s.name AS "schoolName"
  FROM orders o JOIN users u ON u.id = o.student_id JOIN schools s ON s.id = o.school_id
 WHERE o.id = %(id)s"""

_TIMELINE: LiteralString = """
SELECT v.id, v.verified_at AS "verifiedAt", v.status, r.name AS "readerName", r.location
  FROM delivery_verifications v JOIN rfid_readers r ON r.id = v.reader_id
 WHERE v.order_id = %(id)s
 ORDER BY v.verified_at DESC"""


class NotificationsQuery(Body):
    """Parameters of GET /api/v1/mobile/notifications/{parentId}."""

    unread: bool = False
    limit: Annotated[int, Field(ge=1, le=100)] = 20


async def notifications(call: Call) -> Answer:
    """A parent's notifications, newest first, and how many are unread."""
    parent_id = call.id("parentId")
    query = call.query(NotificationsQuery)
    database = call.services.database
    statement = _NOTIFICATIONS
    if query.unread:
        statement += " AND n.read_at IS NULL"
    statement += " ORDER BY n.created_at DESC LIMIT %(limit)s"
    rows = await database.rows(statement, {"user_id": parent_id, "limit": query.limit})
    if not rows and await database.row("SELECT id FROM users WHERE id = %(id)s", {"id": parent_id}) is None:
        raise NotFoundError("parentId", "The parent is unknown")
    counted = await database.row(_UNREAD, {"user_id": parent_id})
    return Answer({"success": True, "notifications": rows, "unread": counted["unread"] if counted else 0})


async def track_order(call: Call) -> Answer:
    """Where an order is: its state and every reader that saw it."""
    order_id = call.id("orderId")
    database = call.services.database
    order = await database.row(_ORDER, {"id": order_id})
    if order is None:
        raise NotFoundError("orderId", "The order is unknown")
    timeline = await database.rows(_TIMELINE, {"id": order_id})
    return Answer({"success": True, "order": order, "timeline": timeline})


ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/api/v1/mobile/notifications/{parentId}", notifications),
    ("GET", "/api/v1/mobile/tracking/orders/{orderId}", track_order),
)
