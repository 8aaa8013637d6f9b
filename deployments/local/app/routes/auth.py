"""Signing in. The seed stores passwords as `sha256$<hex>`: cheap, since hashing is not what is measured."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Annotated, LiteralString
from uuid import uuid4

from pydantic import StringConstraints

from deployments.local.app.cache import ATTEMPTS_S, CSRF_S, DAY_S, Cache
from deployments.local.app.database import Row
from deployments.local.app.http import Answer, Body, Call, RefusedError, RouteEntry, encode

MAX_ATTEMPTS = 5

_USER: LiteralString = """
SELECT id, email, password_hash AS "passwordHash", first_name AS "firstName", last_name AS "lastName", role,
       school_id AS "schoolId", is_active AS "isActive"
  FROM users WHERE email = %(email)s"""

_SESSION: LiteralString = """
INSERT INTO auth_sessions (id, user_id, session_id, user_agent, expires_at)
VALUES (%(id)s, %(user_id)s, %(session_id)s, %(user_agent)s, %(expires_at)s)"""

_LAST_LOGIN: LiteralString = """
UPDATE users SET last_login_at = now(), login_attempts = 0 WHERE id = %(user_id)s"""


class Login(Body):
    """Body of POST /auth/login."""

    email: Annotated[str, StringConstraints(pattern=r"^[^@\s\x00]+@[^@\s\x00]+$", max_length=254)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=200)]


async def login(call: Call) -> Answer:
    """Sign in: 200 with a session, 401 for a wrong email or password, 423 after too many wrong ones."""
    body = call.json(Login)
    cache = call.services.cache
    if await cache.get(f"lockout:{body.email}") is not None:
        raise RefusedError(423, "ACCOUNT_LOCKED", "Too many failed attempts; try again later")
    user = await call.services.database.row(_USER, {"email": body.email})
    if user is None or not user["isActive"] or not _matches(body.password, user["passwordHash"]):
        await _count_failure(cache, body.email)
        raise RefusedError(401, "INVALID_CREDENTIALS", "The email or the password is wrong")
    session_id = str(uuid4())
    await _open_session(call, user, session_id)
    profile = {name: user[name] for name in ("id", "email", "firstName", "lastName", "role", "schoolId")}
    return Answer({"success": True, "token": session_id, "expiresIn": DAY_S, "user": profile})


def password_hash(password: str) -> str:
    """The stored form of a password."""
    return "sha256$" + hashlib.sha256(password.encode()).hexdigest()


def _matches(password: str, stored: str) -> bool:
    return hmac.compare_digest(password_hash(password).encode(), stored.encode())


async def _count_failure(cache: Cache, email: str) -> None:
    if await cache.increment(f"attempts:{email}", ATTEMPTS_S) >= MAX_ATTEMPTS:
        await cache.set(f"lockout:{email}", b"1", ATTEMPTS_S)


async def _open_session(call: Call, user: Row, session_id: str) -> None:
    parameters = {
        "id": str(uuid4()),
        "user_id": user["id"],
        "session_id": session_id,
        "user_agent": _printable(call.header(b"user-agent")),
        "expires_at": (datetime.now(UTC) + timedelta(seconds=DAY_S)).replace(tzinfo=None),
    }
    async with call.services.database.transaction() as connection:
        await connection.execute(_SESSION, parameters)
        await connection.execute(_LAST_LOGIN, parameters)
    session = encode({"userId": user["id"], "role": user["role"], "schoolId": user["schoolId"]})
    cache = call.services.cache
    await cache.set_many({f"session:{session_id}": session, f"user_sessions:{user['id']}": session}, DAY_S)
    await cache.set(f"csrf:{session_id}", encode(str(uuid4())), CSRF_S)


def _printable(agent: str | None) -> str | None:
    return None if agent is None else agent.replace("\x00", "")[:200]


ROUTES: tuple[RouteEntry, ...] = (("POST", "/auth/login", login),)
