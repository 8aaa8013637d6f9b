"""The commands that may be sent to a cache: those that read, and writes to keys of this tool's own. Nothing else.

A command that is sent is made here: `encode` and `command` refuse all but `READ_ONLY`, and `OwnKeys` can make three
commands alone, each on a key of its own prefix.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import NamedTuple

from redis.crc import key_slot

from tasks.load.redis.address import RedisAddress

READ_ONLY = frozenset(
    {
        "ACL DRYRUN",
        "ACL WHOAMI",
        "ASKING",
        "AUTH",
        "CLIENT NO-TOUCH",
        "CLIENT SETNAME",
        "CLUSTER SLOTS",
        "DBSIZE",
        "EXEC",
        "GET",
        "INFO",
        "MEMORY USAGE",
        "MULTI",
        "OBJECT IDLETIME",
        "PING",
        "PTTL",
        "SCAN",
        "SELECT",
        "SENTINEL GET-MASTER-ADDR-BY-NAME",
        "SLOWLOG GET",
        "TIME",
        "TYPE",
    }
)
"""All that this project sends to a cache that it may not write to: none of it changes a key, its expiry or a setting.

Where writes are allowed, SET and DEL of `OwnKeys` come to it."""

OWN_PREFIX = "hasivu-perf:probe:"
ABSENT = "hasivu-perf:absent"
"""A key that does not exist: what is asked for where no key is known."""

_CONTAINERS = frozenset({"ACL", "CLIENT", "CLUSTER", "MEMORY", "OBJECT", "SENTINEL", "SLOWLOG"})
_RUN = re.compile(r"[0-9a-f]{16}")
_PREPARED = 1 << 16

Word = str | bytes | int


class Command(NamedTuple):
    """A command that may be sent: its words, how they go over the wire, and the cluster slot of its key."""

    words: tuple[bytes, ...]
    data: bytes
    slot: int = 0


def encode(*arguments: Word) -> bytes:
    """One command in RESP; a `ValueError` where it is not in `READ_ONLY`."""
    words = _words(arguments)
    verb = words[0].decode().upper()
    if verb in _CONTAINERS and len(words) > 1:
        verb = f"{verb} {words[1].decode().upper()}"
    if verb not in READ_ONLY:
        msg = f"{verb} is not a command that reads only"
        raise ValueError(msg)
    return _resp(words)


def command(*arguments: Word) -> Command:
    """A command of `READ_ONLY` without a key."""
    return Command(_words(arguments), encode(*arguments))


@lru_cache(maxsize=_PREPARED)
def get_command(key: str | bytes) -> Command:
    """The GET of a key, prepared once."""
    words = _words(("GET", key))
    return Command(words, encode(*words), key_slot(words[1]))


class OwnKeys:
    """The keys of one run, the only ones that are ever written: a bounded number, each gone a minute after its SET.

    `run` is a name of 16 hexadecimal digits: see `new_run`.
    """

    NUMBER = 64
    LIFE_S = 60

    def __init__(self, run: str) -> None:
        if not _RUN.fullmatch(run):
            msg = "a run is named by 16 hexadecimal digits"
            raise ValueError(msg)
        keys = [f"{OWN_PREFIX}{run}:{number}".encode() for number in range(self.NUMBER)]
        value, life_ms = b"x" * 64, str(1000 * self.LIFE_S).encode()
        self.sets = tuple(_keyed((b"SET", key, value, b"PX", life_ms)) for key in keys)
        self.gets = tuple(get_command(key) for key in keys)
        self.deletes = tuple(_keyed((b"DEL", key)) for key in keys)


def toothless(key: str | bytes) -> dict[str, Command]:
    """Commands that no server can carry out, for an argument is none: by right, such as `+set`.

    The server tells whether the user may send such a command before it looks at its arguments, so the kind of the
    error says what the user may do to `key`, and nothing is done.
    """
    at = key if isinstance(key, bytes) else key.encode()
    none = b"hasivu-perf-no-such-option"
    words = {
        "+set": (b"SET", at, b"", none),
        "+expire": (b"EXPIRE", at, none),
        "+setrange": (b"SETRANGE", at, none, b""),
        "+restore": (b"RESTORE", at, none, b""),
    }
    return {right: _keyed(given) for right, given in words.items()}


def new_run() -> str:
    """A name for `OwnKeys` that no other run has."""
    return secrets.token_hex(8)


def login_commands(address: RedisAddress) -> list[bytes]:
    """What a new connection sends first, in order: AUTH and SELECT where the address asks for them."""
    commands = []
    if address.password is not None:
        user = (address.username,) if address.username else ()
        commands.append(encode("AUTH", *user, address.password))
    if address.db:
        commands.append(encode("SELECT", address.db))
    return commands


def _words(arguments: tuple[Word, ...]) -> tuple[bytes, ...]:
    return tuple(part if isinstance(part, bytes) else str(part).encode() for part in arguments)


def _keyed(words: tuple[bytes, ...]) -> Command:
    return Command(words, _resp(words), key_slot(words[1]))


def _resp(words: tuple[bytes, ...]) -> bytes:
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)])


ASKING = command("ASKING")
"""Lets the next command through to a slot that is being moved to the server."""
