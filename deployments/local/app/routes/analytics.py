"""Figures for the management: key figures of the week, overdue invoices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, LiteralString

from pydantic import Field

from deployments.local.app.cache import SHORT_S
from deployments.local.app.http import Answer, Body, Call, Id, RouteEntry, encode

_ORDERS: LiteralString = """
SELECT count(*) AS orders, count(*) FILTER (WHERE status = 'delivered') AS delivered,
       count(*) FILTER (WHERE status = 'cancelled') AS cancelled, coalesce(sum(total_amount), 0) AS revenue,
       avg(total_amount) AS "averageOrder", count(DISTINCT school_id) AS schools
  FROM orders
 WHERE created_at >= %(start)s AND created_at < %(end)s"""

_DELIVERIES: LiteralString = """
SELECT count(*) AS verifications, count(*) FILTER (WHERE status = 'verified') AS verified
  FROM delivery_verifications
 WHERE verified_at >= %(start)s AND verified_at < %(end)s"""

_OVERDUE: LiteralString = """
SELECT i.id, i.invoice_number AS "invoiceNumber", i.due_date AS "dueDate", i.total_amount AS "totalAmount",
       i.status, i.school_id AS "schoolId", u.email, u.first_name AS "firstName"
  FROM invoices i JOIN users u ON u.id = i.user_id
 WHERE i.paid_date IS NULL AND i.due_date < now()"""


class OverdueQuery(Body):
    """Filters of GET /invoice-analytics/overdue."""

    school_id: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


async def executive_kpis(call: Call) -> Answer:
    """Orders, revenue and deliveries of the last seven days, cached for a minute."""
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) + timedelta(days=1)
    start = end - timedelta(days=7)
    key = f"dashboard:executive-kpis:{_ms(start)}:{_ms(end)}"
    cached = await call.services.cache.get(key)
    if cached is not None:
        return Answer(cached)
    window = {"start": start, "end": end}
    database = call.services.database
    orders = await database.row(_ORDERS, window)
    deliveries = await database.row(_DELIVERIES, window)
    body = encode({"success": True, **window, "orders": orders, "deliveries": deliveries})
    await call.services.cache.set(key, body, SHORT_S)
    return Answer(body)


def _ms(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000)


async def overdue_invoices(call: Call) -> Answer:
    """Unpaid invoices past their date, the oldest first."""
    query = call.query(OverdueQuery)
    statement = _OVERDUE
    if query.school_id is not None:
        statement += " AND i.school_id = %(school_id)s"
    statement += " ORDER BY i.due_date LIMIT %(limit)s"
    rows = await call.services.database.rows(statement, query.model_dump())
    return Answer({"success": True, "invoices": rows, "total": sum(row["totalAmount"] for row in rows)})


ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/analytics/executive/kpis", executive_kpis),
    ("GET", "/invoice-analytics/overdue", overdue_invoices),
)
