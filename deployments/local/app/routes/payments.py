"""Payments: their state, methods, new payment orders, and the analytics whose cache hardly ever hits."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, LiteralString
from uuid import uuid4

from pydantic import Field

from deployments.local.app.cache import PAYMENT_METHODS_S
from deployments.local.app.http import Answer, Body, Call, Id, NotFoundError, RouteEntry, encode
from deployments.local.app.routes.idempotency import once

ANALYTICS_S = 1
PERIOD_DAYS = {"daily": 1, "weekly": 7, "monthly": 30}

Period = Literal["daily", "weekly", "monthly"]

_PAYMENTS: LiteralString = """
SELECT p.id, p.amount, p.currency, p.status, p.payment_type AS "paymentType",
       p.razorpay_payment_id AS "razorpayPaymentId", p.failure_reason AS "failureReason", p.paid_at AS "paidAt",
       p.created_at AS "createdAt"
  FROM payments p WHERE p.order_id = %(order_id)s
 ORDER BY p.created_at DESC"""

_ORDER: LiteralString = """
SELECT id, user_id AS "userId", total_amount AS "totalAmount", currency, payment_status AS "paymentStatus"
  FROM orders WHERE id = %(order_id)s"""

_METHODS: LiteralString = """
SELECT id, method_type AS "methodType", provider, card_last4 AS "cardLast4", card_brand AS "cardBrand",
       upi_handle AS "upiHandle", is_default AS "isDefault"
  FROM payment_methods WHERE user_id = %(user_id)s AND is_active
 ORDER BY is_default DESC, created_at DESC"""

_INSERT: LiteralString = """
INSERT INTO payment_orders (id, razorpay_order_id, amount, currency, user_id, order_id, metadata, expires_at)
VALUES (%(id)s, %(razorpay_order_id)s, %(amount)s, %(currency)s, %(user_id)s, %(order_id)s, '{}', %(expires_at)s)
RETURNING id, razorpay_order_id AS "razorpayOrderId", amount, currency, status, order_id AS "orderId",
          expires_at AS "expiresAt" """

_SCHOOL: LiteralString = """
SELECT p.status, count(*) AS count, coalesce(sum(p.amount), 0) AS amount
  FROM payments p JOIN orders o ON o.id = p.order_id
 WHERE o.school_id = %(school_id)s AND p.created_at >= %(start)s
 GROUP BY p.status ORDER BY p.status"""

_DASHBOARD: LiteralString = """
SELECT date_trunc('day', p.created_at) AS day, p.status, count(*) AS count, coalesce(sum(p.amount), 0) AS amount
  FROM payments p
 WHERE p.created_at >= %(start)s
 GROUP BY 1, 2 ORDER BY 1, 2"""


_BEHAVIOUR: LiteralString = """
SELECT id, razorpay_order_id AS "razorpayOrderId", amount, currency, status, order_id AS "orderId",
       created_at AS "createdAt"
  FROM payment_orders
 WHERE user_id = %(user_id)s
 ORDER BY created_at DESC LIMIT 20"""


class MethodsQuery(Body):
    """Parameters of GET /payments/methods."""

    user_id: Id


class BehaviourQuery(Body):
    """Parameters of GET /payments/analytics/customer-behavior."""

    user_id: Id


class NewPaymentOrder(Body):
    """Body of POST /payments/orders; `amount` (rupees) is the order's total where it is not given."""

    order_id: Id
    amount: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None


class AnalyticsQuery(Body):
    """Parameters of the analytics."""

    period: Period = "weekly"


async def payment_status(call: Call) -> Answer:
    """An order's payments, newest first."""
    order_id = call.id("orderId")
    database = call.services.database
    order = await database.row(_ORDER, {"order_id": order_id})
    if order is None:
        raise NotFoundError("orderId", "The order is unknown")
    payments = await database.rows(_PAYMENTS, {"order_id": order_id})
    return Answer(
        {"success": True, "orderId": order_id, "paymentStatus": order["paymentStatus"], "payments": payments}
    )


async def payment_methods(call: Call) -> Answer:
    """A user's payment methods, cached for half an hour."""
    user_id = call.query(MethodsQuery).user_id
    key = f"hasivu:payment_methods:{user_id}"
    cached = await call.services.cache.get(key)
    if cached is not None:
        return Answer(cached)
    methods = await call.services.database.rows(_METHODS, {"user_id": user_id})
    body = encode({"success": True, "userId": user_id, "methods": methods})
    await call.services.cache.set(key, body, PAYMENT_METHODS_S)
    return Answer(body)


async def create_payment_order(call: Call) -> Answer:
    """Open a payment for an order: 201."""
    body = call.json(NewPaymentOrder)
    return await once(call, lambda: _create(call, body))


async def _create(call: Call, body: NewPaymentOrder) -> Answer:
    database = call.services.database
    order = await database.row(_ORDER, {"order_id": body.order_id})
    if order is None:
        raise NotFoundError("orderId", "The order is unknown")
    amount = order["totalAmount"] if body.amount is None else body.amount
    parameters = {
        "id": str(uuid4()),
        "razorpay_order_id": f"order_{uuid4().hex[:20]}",
        "amount": round(amount * 100),  # the gateway counts paise
        "currency": order["currency"],
        "user_id": order["userId"],
        "order_id": body.order_id,
        "expires_at": (datetime.now(UTC) + timedelta(minutes=15)).replace(tzinfo=None),
    }
    return Answer({"success": True, "paymentOrder": await database.row(_INSERT, parameters)}, 201)


async def analytics_dashboard(call: Call) -> Answer:
    """Payments of all schools by day and state."""
    period = call.query(AnalyticsQuery).period
    return await _analytics(call, period, "all", _DASHBOARD)


async def analytics_school(call: Call) -> Answer:
    """Payments of one school by state."""
    school_id = call.id("schoolId")
    period = call.query(AnalyticsQuery).period
    return await _analytics(call, period, school_id, _SCHOOL)


async def customer_behaviour(call: Call) -> Answer:
    """How a user paid of late: the last payment orders and the share that was paid."""
    user_id = call.query(BehaviourQuery).user_id
    database = call.services.database
    rows = await database.rows(_BEHAVIOUR, {"user_id": user_id})
    if not rows and await database.row("SELECT id FROM users WHERE id = %(id)s", {"id": user_id}) is None:
        raise NotFoundError("userId", "The user is unknown")
    paid = sum(row["status"] == "paid" for row in rows)
    share = paid / len(rows) if rows else None
    return Answer({"success": True, "userId": user_id, "paymentOrders": rows, "paidShare": share})


async def _analytics(call: Call, period: Period, school: str, statement: LiteralString) -> Answer:
    """One report; its key holds the moment that its window starts and lives a second, so it hardly ever hits.

    This is the planted cache defect (key family `payment_analytics`).
    """
    start_s = int(time.time()) - PERIOD_DAYS[period] * 86_400
    key = f"payment_analytics:{period}:{school}:{start_s * 1000}"
    cached = await call.services.cache.get(key)
    if cached is not None:
        return Answer(cached)
    start = datetime.fromtimestamp(start_s, UTC).replace(tzinfo=None)
    rows = await call.services.database.rows(statement, {"school_id": school, "start": start})
    if not rows and school != "all":
        await _require_school(call, school)
    body = encode({"success": True, "schoolId": school, "period": period, "start": start, **_totals(rows)})
    await call.services.cache.set(key, body, ANALYTICS_S)
    return Answer(body)


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    count = sum(row["count"] for row in rows)
    completed = sum(row["count"] for row in rows if row["status"] == "completed")
    return {
        "payments": count,
        "revenue": sum(row["amount"] for row in rows if row["status"] == "completed"),
        "successRate": completed / count if count else None,
        "rows": rows,
    }


async def _require_school(call: Call, school_id: str) -> None:
    if await call.services.database.row("SELECT id FROM schools WHERE id = %(id)s", {"id": school_id}) is None:
        raise NotFoundError("schoolId", "The school is unknown")


ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/payments/status/{orderId}", payment_status),
    ("GET", "/payments/methods", payment_methods),
    ("POST", "/payments/orders", create_payment_order),
    ("GET", "/payments/analytics/dashboard", analytics_dashboard),
    ("GET", "/payments/analytics/customer-behavior", customer_behaviour),
    ("GET", "/payments/analytics/{schoolId}", analytics_school),
)
