"""The header Idempotency-Key: a request that is sent again gets the first one's answer, for a day."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import orjson

from deployments.local.app.cache import DAY_S
from deployments.local.app.http import Answer, Call, InvalidInputError, encode

_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


async def once(call: Call, work: Callable[[], Awaitable[Answer]]) -> Answer:
    """The stored answer to this request's Idempotency-Key, or that of `work`, which is then stored."""
    name = call.header(b"idempotency-key")
    if name is None:
        return await work()
    if _KEY.fullmatch(name) is None:
        raise InvalidInputError([("Idempotency-Key", "1 to 200 of A-Z a-z 0-9 _ . : -")])
    key = f"idempotency:{call.scope['method']}:{call.scope['path']}:{name}"
    stored = await call.services.cache.get(key)
    if stored is not None:
        first = orjson.loads(stored)
        return Answer(first["body"], first["status"])
    answer = await work()
    await call.services.cache.set(key, encode({"status": answer.status, "body": answer.payload}), DAY_S)
    return answer
