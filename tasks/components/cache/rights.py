"""What a user of the cache may do beyond reading: asked of the server (ACL DRYRUN), or read off its refusals.

Where the user may not ask, commands are sent that cannot be carried out (`tasks.load.redis.commands.toothless`): a
user who may not write is refused before the server looks at their arguments.
"""

from __future__ import annotations

from collections.abc import Mapping

from deployments.config import CacheSettings, RunConfig, Target
from tasks.components.base import Right, Rights
from tasks.components.cache.collect import url_of
from tasks.load.redis.commands import ABSENT, Word, toothless
from tasks.load.redis.topology import discover
from tasks.load.redis.wire import RedisAddress, RedisConnection, ReplyError, code_of

_TIMEOUT_S = 5.0
_DENIED = "NOPERM"

DRY: Mapping[str, tuple[str, ...]] = {
    "+set": ("SET", "{key}", "x"),
    "+del": ("DEL", "{key}"),
    "+expire": ("EXPIRE", "{key}", "1"),
    "+restore": ("RESTORE", "{key}", "0", "x"),
    "+eval": ("EVAL", "return 1", "0"),
    "+flushdb": ("FLUSHDB",),
    "+flushall": ("FLUSHALL",),
    "+keys": ("KEYS", "*"),
    "+monitor": ("MONITOR",),
    "+shutdown": ("SHUTDOWN",),
    "+replicaof": ("REPLICAOF", "NO", "ONE"),
    "+config|get": ("CONFIG", "GET", "*"),
    "+config|set": ("CONFIG", "SET", "maxmemory", "0"),
    "+acl|setuser": ("ACL", "SETUSER", "someone"),
    "+client|kill": ("CLIENT", "KILL", "ID", "1"),
    "+script|flush": ("SCRIPT", "FLUSH"),
    "+debug": ("DEBUG", "SLEEP", "0"),
}
"""Commands that change, stop, leak or block, by the right that a user has or lacks."""

_UNVERIFIED = (
    "whether it may run commands of administration (FLUSHALL, CONFIG SET, SHUTDOWN …), DEL and scripts: its user may "
    "not ask ACL DRYRUN, which Redis 7 and newer answer"
)


def look(config: RunConfig, target: Target) -> Rights:
    """What the user may do; `NotMeasuredError` where the server does not answer or refuses the login."""
    address = RedisAddress.parse(url_of(config, target).get_secret_value())
    address = discover(address, timeout_s=_TIMEOUT_S).nodes[0]
    with RedisConnection(address, timeout_s=_TIMEOUT_S) as connection:
        answer = connection.pipeline([("ACL", "WHOAMI")])[0]
        user = address.username or "default" if isinstance(answer, ReplyError) else answer.decode(errors="replace")
        keys = [ABSENT.encode(), *_keys(config.environment.cache)]
        asked = [_dry(connection, user, key) for key in keys]
        found = [one for one in asked if one is not None]
        names = set().union(*found) if len(found) == len(asked) else _refusals(connection, keys)
    who = f"user {user} of the cache at {address.name}"
    order = [*DRY, *toothless(ABSENT)]
    rights = tuple(
        Right(name, f"ACL SETUSER {user} {name.replace('+', '-', 1)}") for name in sorted(names, key=order.index)
    )
    return Rights(who, rights, () if len(found) == len(asked) else (_UNVERIFIED,))


def _keys(settings: CacheSettings) -> list[bytes]:
    """A key of each family, as the application names them: rights may differ by pattern."""
    named = [
        family.keys.value(family.keys.first) if family.keys else family.pattern.replace("*", "0")
        for family in settings.families
    ]
    return [name.encode() for name in named]


def _dry(connection: RedisConnection, user: str, key: bytes) -> set[str] | None:
    """Rights by ACL DRYRUN; None where the user may not ask, or the server knows no such question."""
    commands: list[tuple[Word, ...]] = [
        ("ACL", "DRYRUN", user, *(key if word == "{key}" else word for word in words)) for words in DRY.values()
    ]
    found = set()
    for name, answer in zip(DRY, connection.pipeline(commands), strict=True):
        if isinstance(answer, ReplyError):
            if "not found" in str(answer):  # a command that this server does not have
                continue
            return None
        if answer == b"OK":
            found.add(name)
    return found


def _refusals(connection: RedisConnection, keys: list[bytes]) -> set[str]:
    """Rights by commands that cannot be carried out: any answer but NOPERM says that the user may send them."""
    found = set()
    for key in keys:
        commands = toothless(key)
        for name, answer in zip(commands, connection.send(list(commands.values())), strict=True):
            if not isinstance(answer, ReplyError) or code_of(answer) not in (_DENIED, "MOVED"):
                found.add(name)
    return found
