"""What `doctor` says of the cache: its address, the login, and which commands the login may use. No load."""

from __future__ import annotations

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError
from tasks.components.base import Check
from tasks.components.cache.collect import url_of
from tasks.load.redis.wire import RedisAddress, RedisConnection, ReplyError, code_of, parse_info

_ABSENT = "hasivu-perf:absent"
_TIMEOUT_S = 5.0
_RIGHTS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("INFO",), "hit ratio, evictions and memory", "+info"),
    (("GET", _ABSENT), "latency", "+get"),
    (("SCAN", "0", "COUNT", "1"), "key families", "+scan"),
    (("PTTL", _ABSENT), "expiries of keys", "+pttl"),
    (("OBJECT", "IDLETIME", _ABSENT), "which keys are read", "+object|idletime"),
    (("TYPE", _ABSENT), "types of keys", "+type"),
    (("MEMORY", "USAGE", _ABSENT), "sizes of keys", "+memory|usage"),
    (("SLOWLOG", "GET", "1"), "slow commands", "+slowlog|get"),
    (("CLIENT", "NO-TOUCH", "ON"), "probing without touching access times", "+client|no-touch"),
    (("TIME",), "moments by the server's clock", "+time"),
    (("MULTI",), "this tool's own lookups, kept apart", "+multi"),
    (("EXEC",), "this tool's own lookups, counted at once", "+exec"),
)
_ALLOWED = ("MOVED", "ERR EXEC without MULTI")
"""Errors that only say the command makes no sense here: the key is another node's, or MULTI was refused."""


def checks(config: RunConfig, target: Target) -> list[Check]:
    """Whether the address is set, the server answers, and what may be measured there."""
    variable = config.environment.variables.redis_url
    try:
        address = RedisAddress.parse(url_of(config, target).get_secret_value())
    except NotMeasuredError as error:
        return [Check("cache address", ok=False, detail=str(error), remedy=f"set {variable}=redis[s]://host:port/0")]
    named = Check("cache address", ok=True, detail=f"{variable} is {address.name}")
    try:
        with RedisConnection(address, timeout_s=_TIMEOUT_S) as connection:
            replies = connection.pipeline([command for command, _, _ in _RIGHTS])
    except NotMeasuredError as error:
        return [named, Check("cache server", ok=False, detail=str(error), remedy=f"correct {variable}")]
    return [named, _server(replies[0], address), *_rights(replies)]


def _server(info: bytes | ReplyError, address: RedisAddress) -> Check:
    if isinstance(info, ReplyError):
        return Check("cache server", ok=True, detail=f"{address.name} answers; it does not tell its version")
    fields = parse_info(info)
    version = fields.get("valkey_version") or fields.get("redis_version", "of unknown version")
    name = fields.get("server_name", "redis")
    return Check("cache server", ok=True, detail=f"{address.name} is {name} {version}")


def _rights(replies: list[bytes | ReplyError]) -> list[Check]:
    rows = []
    for (command, what, rule), reply in zip(_RIGHTS, replies, strict=True):
        words = " ".join(word for word in command if word.isupper())
        code = code_of(reply) if isinstance(reply, ReplyError) else ""
        if code and not str(reply).startswith(_ALLOWED):
            remedy = f"grant {rule} to this user (ACL SETUSER); without it this is not measured"
            rows.append(Check(f"cache: {what}", ok=False, detail=f"{words} is refused ({code})", remedy=remedy))
        else:
            rows.append(Check(f"cache: {what}", ok=True, detail=f"{words} is allowed"))
    return rows
