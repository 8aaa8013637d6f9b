"""Sorts cache keys into families without ever keeping a key: its text may be a token or an e-mail address."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence

from deployments.config import CacheFamily

OTHER = "(other)"
"""Keys of no configured family whose prefix is not safe to show, or too rare to name."""

_PREFIX = re.compile(rb"[A-Za-z][A-Za-z0-9_.\-]{0,31}(?=:)")
_MIN_KEYS_OF_A_PREFIX = 5


def glob_regex(pattern: str) -> re.Pattern[bytes]:
    """A glob of SCAN MATCH as a regular expression on bytes: `*`, `?`, `[a-z]`, `[^a]` and backslash escapes.

    https://valkey.io/commands/keys/ describes the syntax.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        closing = pattern.find("]", at + 2) if char == "[" else -1
        if char == "\\" and at + 1 < len(pattern):
            parts.append(re.escape(pattern[at + 1]))
            at += 2
        elif closing > 0:
            parts.append(_character_class(pattern[at + 1 : closing]))
            at = closing + 1
        else:
            parts.append({"*": ".*", "?": "."}.get(char) or re.escape(char))
            at += 1
    return re.compile("".join(parts).encode(), re.DOTALL)


def _character_class(body: str) -> str:
    negated = body.startswith("^")
    escaped = re.sub(r"([\\\[\]^&|~])", r"\\\1", body[1:] if negated else body)
    return f"[{'^' if negated else ''}{escaped}]"


class Families:
    """Names the family of a key: a configured one, else its prefix before the first colon.

    `marker` is a number that stands for a key within one run: a hash under a secret that is thrown away.
    """

    def __init__(self, configured: Sequence[CacheFamily]) -> None:
        self._globs = [(family.name, glob_regex(family.pattern)) for family in configured]
        self._secret = secrets.token_bytes(16)

    def of(self, key: bytes) -> str:
        """The family of a key; a discovered one is written `prefix:*`."""
        for name, glob in self._globs:
            if glob.fullmatch(key):
                return name
        prefix = _PREFIX.match(key)
        return f"{prefix.group().decode()}:*" if prefix else OTHER

    def marker(self, key: bytes) -> int:
        """A 63-bit stand-in for a key, the same within one run and meaningless outside it."""
        digest = hashlib.blake2b(key, digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big") >> 1

    def rare(self, seen: Iterable[tuple[str, int]]) -> set[str]:
        """Which discovered families have too few different keys to be named, given (family, marker) pairs.

        A prefix that only a few keys share may itself be an identifier.
        """
        configured = {name for name, _ in self._globs}
        numbers = Counter(family for family, _ in set(seen))
        return {
            family
            for family, number in numbers.items()
            if family not in configured and family != OTHER and number < _MIN_KEYS_OF_A_PREFIX
        }
