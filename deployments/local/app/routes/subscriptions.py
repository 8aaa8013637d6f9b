"""Subscriptions and their plans."""

from __future__ import annotations

from typing import Annotated, LiteralString

from pydantic import Field

from deployments.local.app.cache import SUBSCRIPTION_PLAN_S
from deployments.local.app.http import Answer, Body, Call, Id, NotFoundError, RouteEntry, Word, encode

_LIST: LiteralString = """
SELECT b.id, b.user_id AS "userId", b.school_id AS "schoolId", b.status, b.billing_cycle AS "billingCycle",
       b.billing_amount AS "billingAmount", b.next_billing_date AS "nextBillingDate", p.name AS "planName"
  FROM subscriptions b JOIN subscription_plans p ON p.id = b.subscription_plan_id"""

_ONE: LiteralString = """
SELECT b.id, b.user_id AS "userId", b.student_id AS "studentId", b.school_id AS "schoolId", b.status,
       b.start_date AS "startDate", b.end_date AS "endDate", b.next_billing_date AS "nextBillingDate",
       b.billing_cycle AS "billingCycle", b.billing_amount AS "billingAmount", b.currency,
       p.id AS "planId", p.name AS "planName", p.meals_per_day AS "mealsPerDay"
  FROM subscriptions b JOIN subscription_plans p ON p.id = b.subscription_plan_id
 WHERE b.id = %(id)s"""

_PLANS: LiteralString = """
SELECT id, school_id AS "schoolId", name, plan_type AS "planType", price, currency, billing_cycle AS "billingCycle",
       meals_per_day AS "mealsPerDay"
  FROM subscription_plans WHERE is_active ORDER BY price"""


class SubscriptionsQuery(Body):
    """Filters of GET /subscriptions."""

    user_id: Id | None = None
    school_id: Id | None = None
    status: Word | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0


async def list_subscriptions(call: Call) -> Answer:
    """One page of subscriptions, by key."""
    query = call.query(SubscriptionsQuery)
    conditions: list[LiteralString] = []
    if query.user_id is not None:
        conditions.append("b.user_id = %(user_id)s")
    if query.school_id is not None:
        conditions.append("b.school_id = %(school_id)s")
    if query.status is not None:
        conditions.append("b.status = %(status)s")
    where: LiteralString = " WHERE " + " AND ".join(conditions) if conditions else ""
    statement = _LIST + where + " ORDER BY b.id LIMIT %(limit)s OFFSET %(offset)s"
    rows = await call.services.database.rows(statement, query.model_dump())
    return Answer({"success": True, "subscriptions": rows, "limit": query.limit, "offset": query.offset})


async def get_subscription(call: Call) -> Answer:
    """A subscription with its plan."""
    row = await call.services.database.row(_ONE, {"id": call.id("id")})
    if row is None:
        raise NotFoundError("id", "The subscription is unknown")
    return Answer({"success": True, "subscription": row})


async def list_subscription_plans(call: Call) -> Answer:
    """All plans, cached for an hour."""
    cached = await call.services.cache.get("hasivu:subscription_plans")
    if cached is not None:
        return Answer(cached)
    body = encode({"success": True, "plans": await call.services.database.rows(_PLANS)})
    await call.services.cache.set("hasivu:subscription_plans", body, SUBSCRIPTION_PLAN_S)
    return Answer(body)


ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/subscriptions", list_subscriptions),
    ("GET", "/subscriptions/{id}", get_subscription),
    ("GET", "/subscription-plans", list_subscription_plans),
)
