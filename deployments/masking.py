"""Keeps secrets out of every text that leaves the process: errors, logs, notes.

Each secret is replaced in all the forms it is met in: the whole address, user:password, the password raw,
percent-quoted and unquoted, and the values of an address's query.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from deployments.config import Target

_AWS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SHORTEST = 4
_MASK = "***"
_USERINFO = re.compile(r"://[^/\s\"']*@")


def secrets_of(target: Target, variables: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Every form of every secret that a run holds; forms of fewer than four characters are not maskable."""
    addresses = (target.api_url, target.ws_url, target.redis_url, target.database_url, target.pooler_url)
    found = {form for address in addresses if address for form in _forms(address.get_secret_value())}
    found.update(variables[name] for name in _AWS if variables.get(name))
    found.update(token.get_secret_value() for token in target.tokens)
    return frozenset(form for form in found if len(form) >= _SHORTEST)


def _forms(address: str) -> Iterable[str]:
    parts = urlsplit(address)
    userinfo, at, _ = parts.netloc.rpartition("@")
    if at:
        password = userinfo.partition(":")[2]
        plain = unquote(password)
        yield from (f"{userinfo}@", password, plain, quote(plain, safe=""), quote_plus(plain))
    for _, value in parse_qsl(parts.query):
        yield from (value, quote(value, safe=""))


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced, longest first so that no half of one remains; always storable as UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text


def describe(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """An unexpected error in one line: its type, its words with secrets masked, and where it was raised."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame else ""
    words = _USERINFO.sub("://***@", mask(" ".join(str(error).split()), secrets))
    return f"internal error, please report it: {type(error).__name__}: {words}{place}"
