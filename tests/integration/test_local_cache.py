"""The embedded cache: what it holds, what it was configured for, and that it says what the application would say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import redis

from deployments.local import cache_seed
from deployments.local.defects import POOR_KEY_FAMILY
from deployments.local.identity import TEST_CARDS, card_number, key
from deployments.local.platform import Part, Platform, platform


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    with platform(parts={Part.DATABASE, Part.CACHE, Part.APPLICATION}) as started:
        yield started


@pytest.fixture
def cache(running: Platform) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(running.redis_url, decode_responses=True) as client:
        yield client


def test_the_families_of_a_school_day_are_there_and_the_poor_one_is_not(cache: redis.Redis) -> None:
    found = {name.partition(":")[0] for name in cache.scan_iter(count=1000)}
    assert set(cache_seed.families()) <= found
    assert POOR_KEY_FAMILY not in found
    assert cache.exists(*(f"rfid_card:{card_number(n)}" for n in range(1, TEST_CARDS + 1))) == TEST_CARDS


def test_keys_live_as_long_as_their_services_let_them(cache: redis.Redis) -> None:
    assert 0 < cache.ttl(f"rfid_card:{card_number(1)}") <= 600
    assert 600 < cache.ttl("session:session-1") <= 86_400
    assert cache.ttl(next(cache.scan_iter(match="report:*"))) == -1


def test_it_is_configured_as_the_platform_says(cache: redis.Redis, running: Platform) -> None:
    wanted = {"maxmemory": str(256 * 1024**2), "maxmemory-policy": "allkeys-lru", "save": "", "appendonly": "no"}
    assert {name: cast("dict[str, str]", cache.config_get(name))[name] for name in wanted} == wanted
    assert cast("dict[str, str]", cache.config_get("bind"))["bind"] == "127.0.0.1"
    without = redis.Redis(port=int(running.redis_url.rpartition(":")[2].partition("/")[0]))
    with without, pytest.raises(redis.AuthenticationError):
        without.ping()


CARD, READER, ITEM = card_number(7), key("rfid_reader", 3), key("menu_item", 1)


def test_what_was_filled_in_is_what_the_application_writes(cache: redis.Redis, running: Platform) -> None:
    names = (f"rfid_card:{CARD}", f"rfid_reader:{READER}", f"menu_item:{ITEM}")
    filled = [json.loads(cast("str", cache.get(name))) for name in names]
    cache.delete(*names)
    with httpx.Client(base_url=running.api_url, timeout=10) as api:
        _succeeds(api.post("/rfid/verify", json={"cardNumber": CARD, "readerId": READER}))
        order = {
            "userId": key("user", 1),
            "studentId": key("student", 1),
            "schoolId": key("school", 1),
            "items": [{"menuItemId": ITEM, "quantity": 1}],
        }
        _succeeds(api.post("/orders", json=order))
    assert [json.loads(cast("str", cache.get(name))) for name in names] == filled


def test_the_poor_family_misses_again_and_again(running: Platform) -> None:
    with httpx.Client(base_url=running.api_url, timeout=10) as api:
        for school in range(1, 21):
            _succeeds(api.get(f"/payments/analytics/{key('school', school)}"))
        families: dict[str, Any] = api.get("/__platform__/counters").json()["cache"]["families"]
    assert families[POOR_KEY_FAMILY]["misses"] == 20
    assert families[POOR_KEY_FAMILY]["hits"] == 0


def _succeeds(answer: httpx.Response) -> None:
    assert answer.status_code in {200, 201}, answer.text
