"""Users: parents, staff and students."""

from __future__ import annotations

from typing import Annotated, LiteralString

from pydantic import Field

from deployments.local.app.cache import USER_PROFILE_S
from deployments.local.app.http import Answer, Body, Call, Id, NotFoundError, RouteEntry, Word, encode

_LIST: LiteralString = """
SELECT u.id, u.email, u.first_name AS "firstName", u.last_name AS "lastName", u.role, u.status,
       u.school_id AS "schoolId", s.name AS "schoolName", u.created_at AS "createdAt"
  FROM users u LEFT JOIN schools s ON s.id = u.school_id
 WHERE u.is_active"""

_PROFILE: LiteralString = """
SELECT u.id, u.email, u.phone, u.first_name AS "firstName", u.last_name AS "lastName", u.role, u.status,
       u.grade, u.section, u.language, u.timezone, u.school_id AS "schoolId", s.name AS "schoolName",
       u.last_login_at AS "lastLoginAt", u.created_at AS "createdAt"
  FROM users u LEFT JOIN schools s ON s.id = u.school_id
 WHERE u.id = %(id)s"""

_CHILDREN: LiteralString = """
SELECT c.id, c.first_name AS "firstName", c.last_name AS "lastName", c.grade, c.section, sp.relationship
  FROM student_parents sp JOIN users c ON c.id = sp.student_id
 WHERE sp.parent_id = %(id)s AND sp.is_active
 ORDER BY c.first_name"""


class UsersQuery(Body):
    """Filters of GET /api/v1/users."""

    school_id: Id | None = None
    role: Word | None = None
    status: Word | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=100_000)] = 0


async def list_users(call: Call) -> Answer:
    """One page of users, by key."""
    query = call.query(UsersQuery)
    statement = _LIST
    if query.school_id is not None:
        statement += " AND u.school_id = %(school_id)s"
    if query.role is not None:
        statement += " AND u.role = %(role)s"
    if query.status is not None:
        statement += " AND u.status = %(status)s"
    statement += " ORDER BY u.id LIMIT %(limit)s OFFSET %(offset)s"
    rows = await call.services.database.rows(statement, query.model_dump())
    return Answer({"success": True, "users": rows, "limit": query.limit, "offset": query.offset})


async def get_user(call: Call) -> Answer:
    """A user's profile with children, cached for an hour."""
    user_id = call.id("id")
    key = f"hasivu:user:{user_id}"
    cached = await call.services.cache.get(key)
    if cached is not None:
        return Answer(cached)
    database = call.services.database
    user = await database.row(_PROFILE, {"id": user_id})
    if user is None:
        raise NotFoundError("id", "The user is unknown")
    user["children"] = await database.rows(_CHILDREN, {"id": user_id}) if user["role"] == "parent" else []
    body = encode({"success": True, "user": user})
    await call.services.cache.set(key, body, USER_PROFILE_S)
    return Answer(body)


ROUTES: tuple[RouteEntry, ...] = (
    ("GET", "/api/v1/users", list_users),
    ("GET", "/api/v1/users/{id}", get_user),
)
