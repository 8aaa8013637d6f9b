"""Chooses keys to ask for among those that a cache holds: by SCAN, a few hundred at most, by kind of key."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Sequence

from tasks.load.redis.address import RedisAddress
from tasks.load.redis.commands import ABSENT, Command, get_command
from tasks.load.redis.wire import RedisConnection, ReplyError

_OWN = b"hasivu-perf:"
_COUNT = 200
_BUDGET_S = 1.0


class KeySample:
    """GETs of keys that were there when they were looked for, each kind of key as often as any other.

    Two keys are of one kind where they agree up to the first colon.
    """

    def __init__(self, keys: Sequence[bytes], rng: random.Random) -> None:
        kinds: dict[bytes, list[Command]] = defaultdict(list)
        for key in keys:
            kinds[key.partition(b":")[0]].append(get_command(key))
        self._kinds = list(kinds.values()) or [[get_command(ABSENT)]]
        self._rng = rng

    def draw(self) -> Command:
        """The GET of one of them; of an absent key where there are none."""
        return self._rng.choice(self._rng.choice(self._kinds))


def scan_strings(nodes: Sequence[RedisAddress], *, limit: int = 500, timeout_s: float = 5.0) -> list[bytes]:
    """Up to `limit` string keys, about as many from each node; none where SCAN is refused."""
    found: dict[bytes, None] = {}
    for number, node in enumerate(nodes, 1):
        with RedisConnection(node, timeout_s=timeout_s) as connection:
            found.update(dict.fromkeys(_scan(connection, limit * number // len(nodes) - len(found))))
    return list(found)


def _scan(connection: RedisConnection, limit: int) -> list[bytes]:
    keys: list[bytes] = []
    cursor: bytes | int = 0
    end = time.monotonic() + _BUDGET_S
    while len(keys) < limit and time.monotonic() < end:
        reply = connection.pipeline([("SCAN", cursor, "COUNT", _COUNT, "TYPE", "string")])[0]
        if isinstance(reply, ReplyError):
            break
        cursor, batch = reply
        keys += [key for key in batch if not key.startswith(_OWN)]
        if cursor == b"0":
            break
    return keys[:limit]
