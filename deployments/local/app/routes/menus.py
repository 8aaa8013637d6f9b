"""Menu plans and the menu of a day."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, LiteralString

from pydantic import Field

from deployments.local.app.cache import DEFAULT_S, MEDIUM_S
from deployments.local.app.http import Answer, Body, Call, Day, Id, NotFoundError, RouteEntry, Word, encode

_PLANS: LiteralString = """
SELECT p.id, p.school_id AS "schoolId", p.name, p.status, p.start_date AS "startDate", p.end_date AS "endDate",
       p.is_template AS "isTemplate", p.version
  FROM menu_plans p"""

_PLAN: LiteralString = """
SELECT p.id, p.school_id AS "schoolId", s.name AS "schoolName", p.name, p.description, p.status,
       p.start_date AS "startDate", p.end_date AS "endDate", p.is_template AS "isTemplate", p.version,
       p.approved_by AS "approvedBy", p.approved_at AS "approvedAt"
  FROM menu_plans p JOIN schools s ON s.id = p.school_id
 WHERE p.id = %(id)s"""

_PLAN_DAYS: LiteralString = """
SELECT d.id, d.date, d.day_type AS "dayType", d.is_published AS "isPublished", count(i.id) AS "items"
  FROM daily_menus d LEFT JOIN menu_item_slots i ON i.daily_menu_id = d.id
 WHERE d.menu_plan_id = %(id)s
 GROUP BY d.id ORDER BY d.date"""

_DAY: LiteralString = """
SELECT d.id, d.date, d.day_type AS "dayType", d.available_quantity AS "availableQuantity",
       d.menu_plan_id AS "menuPlanId"
  FROM daily_menus d
 WHERE d.school_id = %(school_id)s AND d.date >= %(day)s AND d.date < %(next_day)s AND d.is_published
 ORDER BY d.date LIMIT 1"""

_DISHES: LiteralString = """
SELECT i.id, i.category, i.menu_item_id AS "menuItemId", m.name, m.description, m.calories, m.allergens,
       coalesce(i.custom_price, m.price)::double precision AS price, i.available_quantity AS "availableQuantity"
  FROM menu_item_slots i JOIN menu_items m ON m.id = i.menu_item_id
 WHERE i.daily_menu_id = %(menu_id)s AND i.is_visible"""


class PlansQuery(Body):
    """Filters of GET /menus/plans."""

    school_id: Id | None = None
    status: Word | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class DailyQuery(Body):
    """Parameters of GET /menus/daily."""

    school_id: Id
    date: Day
    category: Word | None = None


async def list_plans(call: Call) -> Answer:
    """Menu plans, newest first, cached for five minutes."""
    query = call.query(PlansQuery)
    parameters = query.model_dump(exclude_none=True)
    key = f"hasivu:menu_plans:{encode(parameters).decode()}"
    cached = await call.services.cache.get(key)
    if cached is not None:
        return Answer(cached)
    conditions: list[LiteralString] = []
    if query.school_id is not None:
        conditions.append("p.school_id = %(school_id)s")
    if query.status is not None:
        conditions.append("p.status = %(status)s")
    where: LiteralString = " WHERE " + " AND ".join(conditions) if conditions else ""
    statement = _PLANS + where + " ORDER BY p.start_date DESC LIMIT %(limit)s"
    body = encode({"success": True, "plans": await call.services.database.rows(statement, parameters)})
    await call.services.cache.set(key, body, DEFAULT_S)
    return Answer(body)


async def get_plan(call: Call) -> Answer:
    """A menu plan with its days."""
    plan_id = call.id("planId")
    database = call.services.database
    plan = await database.row(_PLAN, {"id": plan_id})
    if plan is None:
        raise NotFoundError("planId", "The menu plan is unknown")
    plan["days"] = await database.rows(_PLAN_DAYS, {"id": plan_id})
    return Answer({"success": True, "plan": plan})


async def daily_menu(call: Call) -> Answer:
    """A school's menu of one day, cached for ten minutes; a day without one gives `menu: null`."""
    query = call.query(DailyQuery)
    key = f"daily_menu:date:{query.school_id}:{query.date.isoformat()}:{query.category or 'all'}"
    cached = await call.services.cache.get(key)
    if cached is not None:
        return Answer(cached)
    body = encode(
        {"success": True, "schoolId": query.school_id, "date": query.date, "menu": await _menu(call, query)}
    )
    await call.services.cache.set(key, body, MEDIUM_S)
    return Answer(body)


async def _menu(call: Call, query: DailyQuery) -> dict[str, object] | None:
    database = call.services.database
    window = {"school_id": query.school_id, "day": query.date, "next_day": query.date + timedelta(days=1)}
    menu = await database.row(_DAY, window)
    if menu is None:
        if await database.row("SELECT id FROM schools WHERE id = %(id)s", {"id": query.school_id}) is None:
            raise NotFoundError("schoolId", "The school is unknown")
        return None
    statement = _DISHES
    if query.category is not None:
        statement += " AND i.category = %(category)s"
    statement += " ORDER BY i.category, i.display_order"
    menu["items"] = await database.rows(statement, {"menu_id": menu["id"], "category": query.category})
    return menu


ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/menus/daily", daily_menu),
    ("GET", "/menus/plans", list_plans),
    ("GET", "/menus/plans/{planId}", get_plan),
)
