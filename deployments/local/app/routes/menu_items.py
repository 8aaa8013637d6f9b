"""Menu items by key, through the cache family `menu_item`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import orjson

from deployments.local.app.cache import MEDIUM_S
from deployments.local.app.database import Row
from deployments.local.app.http import encode
from deployments.local.app.services import Services

_ITEMS: LiteralString = """
SELECT id, name, category, price::double precision AS price, available
  FROM menu_items WHERE id = ANY(%(ids)s)"""


async def read_items(services: Services, ids: Sequence[str]) -> dict[str, Row]:
    """The menu items among `ids` that exist, by key."""
    wanted = list(dict.fromkeys(ids))
    cached = await services.cache.get_many([f"menu_item:{item}" for item in wanted])
    found = {key: orjson.loads(value) for key, value in zip(wanted, cached, strict=True) if value is not None}
    missing = [key for key in wanted if key not in found]
    if missing:
        rows = await services.database.rows(_ITEMS, {"ids": missing})
        await services.cache.set_many({f"menu_item:{row['id']}": encode(row) for row in rows}, MEDIUM_S)
        found.update({row["id"]: row for row in rows})
    return found
