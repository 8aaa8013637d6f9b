"""Cards, readers and orders by key, as many as a request names: one read of the cache, one statement for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString

import orjson

from deployments.local.app.cache import MEDIUM_S
from deployments.local.app.database import Row
from deployments.local.app.http import encode
from deployments.local.app.services import Services

_CARD_COLUMNS: LiteralString = """
SELECT c.id, c.card_number AS "cardNumber", c.is_active AS "isActive", c.expires_at AS "expiresAt",
       json_build_object('id', u.id, 'firstName', u.first_name, 'lastName', u.last_name, 'grade', u.grade,
                         'section', u.section) AS student,
       json_build_object('id', s.id, 'name', s.name) AS school
  FROM rfid_cards c JOIN users u ON u.id = c.student_id JOIN schools s ON s.id = c.school_id"""

_CARDS: LiteralString = _CARD_COLUMNS + " WHERE c.card_number = ANY(%(keys)s)"
_CARD_BY_ID: LiteralString = _CARD_COLUMNS + " WHERE c.id = %(id)s"

_READERS: LiteralString = """
SELECT id, name, location, school_id AS "schoolId", status, is_active AS "isActive"
  FROM rfid_readers WHERE id = ANY(%(keys)s)"""

_ORDERS: LiteralString = """
SELECT id, order_number AS "orderNumber", status, delivery_date AS "deliveryDate", student_id AS "studentId",
       school_id AS "schoolId"
  FROM orders WHERE id = ANY(%(keys)s)"""

Found = dict[str, dict[str, Any]]


async def read_cards_and_readers(
    services: Services, numbers: Sequence[str], readers: Sequence[str]
) -> tuple[Found, Found]:
    """The cards among `numbers` and the readers among `readers` that exist, by number and by key."""
    keys = [f"rfid_card:{number}" for number in numbers] + [f"rfid_reader:{reader}" for reader in readers]
    cached = await services.cache.get_many(keys)
    cards = _present(numbers, cached[: len(numbers)])
    known = _present(readers, cached[len(numbers) :])
    await _complete(services, cards, numbers, _CARDS, _card_entry)
    await _complete(services, known, readers, _READERS, _reader_entry)
    return cards, known


async def read_card_by_id(services: Services, card_id: str) -> Row | None:
    """A card by its key."""
    return await services.database.row(_CARD_BY_ID, {"id": card_id})


async def read_orders(services: Services, ids: Iterable[str]) -> Found:
    """The orders among `ids` that exist, by key; their state changes too often to be cached here."""
    keys = list(dict.fromkeys(ids))
    if not keys:
        return {}
    return {row["id"]: row for row in await services.database.rows(_ORDERS, {"keys": keys})}


def expired(card: Row, now: datetime | None = None) -> bool:
    """Whether a card's date has passed; times without a zone are UTC."""
    end = card["expiresAt"]
    if end is None:
        return False
    moment = datetime.fromisoformat(end) if isinstance(end, str) else end
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return bool(moment < (now or datetime.now(UTC)))


def _present(keys: Sequence[str], values: Sequence[bytes | None]) -> Found:
    return {key: orjson.loads(value) for key, value in zip(keys, values, strict=True) if value is not None}


async def _complete(
    services: Services,
    found: Found,
    wanted: Sequence[str],
    statement: LiteralString,
    entry: Callable[[Row], tuple[str, str]],
) -> None:
    """Add to `found` what the cache did not hold, and give it to the cache."""
    missing = [key for key in wanted if key not in found]
    if not missing:
        return
    fresh: dict[str, bytes] = {}
    for row in await services.database.rows(statement, {"keys": missing}):
        key, cache_key = entry(row)
        found[key] = row
        fresh[cache_key] = encode(row)
    await services.cache.set_many(fresh, MEDIUM_S)


def _card_entry(row: Row) -> tuple[str, str]:
    return row["cardNumber"], f"rfid_card:{row['cardNumber']}"


def _reader_entry(row: Row) -> tuple[str, str]:
    return row["id"], f"rfid_reader:{row['id']}"
