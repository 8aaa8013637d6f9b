"""Chooses which keys are looked at, and when: new ones, some of each group in turn, short-lived ones at the end."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

_PANEL = 16
_NEW = 8
_LOOKS = 120
_REVISIT_S = 5.0
_LAST_LOOK_S = 0.08
_LAST_LOOKS = 40
_SHORT_TTL_MS = 1500
_TOGETHER_S = 0.02
_CANDIDATES = 2000


class Panel:
    """At most `_LOOKS` keys a round, `_PANEL` of a group again and again, and `_LAST_LOOKS` before they expire.

    A group is whatever should be represented: a family, its keys that were there before and those that came apart.
    """

    def __init__(self, group_of: Callable[[bytes], Hashable]) -> None:
        self._group_of = group_of
        self._random = random.Random(1)  # noqa: S311 - picks keys to look at, guards nothing
        self._looked: dict[bytes, float] = {}
        self._young: set[bytes] = set()
        self._expiring: list[tuple[float, bytes]] = []

    def knows(self, key: bytes) -> bool:
        """Whether a key that is still there was looked at before."""
        return key in self._looked

    def choose(self, keys: Sequence[bytes], new: Sequence[bytes]) -> list[bytes]:
        """Keys for this round: new ones, those that were new a round ago, then the panel by longest wait.

        `keys` are those that are there; keys that are gone must have been forgotten.
        """
        now = time.monotonic()
        again = list(self._young)
        fresh = self._few_of_each(new, _NEW)
        self._young = set(fresh)
        waits = {key: now - self._looked.get(key, float("-inf")) for key in self._panel(keys)}
        due = sorted((key for key, wait in waits.items() if wait >= _REVISIT_S), key=lambda key: -waits[key])
        return list(dict.fromkeys([*fresh, *again, *due]))[:_LOOKS]

    def _panel(self, keys: Sequence[bytes]) -> list[bytes]:
        """Up to `_PANEL` keys a group: those that were looked at already, filled up by chance."""
        panel = self._few_of_each(sorted(self._looked), _PANEL)
        numbers = Counter(self._group_of(key) for key in panel)
        for key in self._random.sample(keys, min(len(keys), _CANDIDATES)):
            group = self._group_of(key)
            if numbers[group] < _PANEL and key not in self._looked:
                numbers[group] += 1
                panel.append(key)
        return panel

    def _few_of_each(self, keys: Sequence[bytes], limit: int) -> list[bytes]:
        numbers: Counter[Hashable] = Counter()
        chosen = []
        for key in keys:
            group = self._group_of(key)
            numbers[group] += 1
            if numbers[group] <= limit:
                chosen.append(key)
        return chosen

    def looked(self, key: bytes, at_s: float, ttl_ms: int) -> None:
        """A key was looked at; one that will be gone before long is planned for a last look."""
        self._looked[key] = at_s
        if 2000 * _LAST_LOOK_S < ttl_ms < _SHORT_TTL_MS and len(self._expiring) < _LAST_LOOKS:
            self._expiring.append((at_s + ttl_ms / 1000 - _LAST_LOOK_S, key))
            self._expiring.sort()

    def next_expiry(self) -> float | None:
        """When the next last look is due, by the monotonic clock."""
        return self._expiring[0][0] if self._expiring else None

    def expiring(self) -> list[bytes]:
        """Take the keys whose last look is due now."""
        soon = time.monotonic() + _TOGETHER_S
        due = [key for at, key in self._expiring if at <= soon]
        self._expiring = self._expiring[len(due) :]
        return due

    def new_round(self) -> None:
        """Last looks that were not taken are given up: the round looks at everything anew."""
        self._expiring.clear()

    def forget(self, lost: set[bytes]) -> None:
        """Forget keys that are gone."""
        for key in lost:
            self._looked.pop(key, None)
        self._young -= lost
