"""Texts of statements without anything of the application's data: constants become `$n`, comments go. Pure.

The lexer of PostgreSQL itself (libpg_query) says what is a constant. A text that it cannot read to the end, such as
one that the server cut off within a string, is withheld but for its first word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import postgast

LIMIT = 2000
"""Characters of a text that are kept."""

_TOKEN = postgast.pg_query_pb2.Token
_CONSTANTS = frozenset(_TOKEN.Value(name) for name in ("SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "FCONST"))
_COMMENTS = frozenset(_TOKEN.Value(name) for name in ("C_COMMENT", "SQL_COMMENT"))
_PARAM = _TOKEN.Value("PARAM")
_WORD = re.compile(r"[A-Za-z]{1,20}")


class _DoubtfulError(Exception):
    """Where a constant ends depends on a setting of the session (standard_conforming_strings)."""


def masked(text: str) -> str:
    """A statement on one line, each constant replaced by the next free `$n`, without comments."""
    try:
        parts = list(_parts(text.encode()))
    except (postgast.PgQueryError, _DoubtfulError):
        return f"{_first_word(text)} … (text withheld: it cannot be read safely)"
    line = " ".join("".join(parts).split())
    return line if len(line) <= LIMIT else line[: LIMIT - 1] + "…"


def shape(text: str) -> str:
    """What two texts of one statement have in common, whatever its constants and parameters are called."""
    return re.sub(r"\$\d+", "?", text)


def _parts(content: bytes) -> Iterator[str]:
    """The text token by token; what stands between tokens is white space."""
    tokens: list[Any] = list(postgast.scan(content.decode()).tokens)
    number = max((int(content[one.start + 1 : one.end]) for one in tokens if one.token == _PARAM), default=0)
    end = 0
    for one in tokens:
        if one.start > end:
            yield " "
        end = one.end
        if one.token in _COMMENTS:
            yield " "
        elif one.token in _CONSTANTS:
            if content[one.start : one.start + 1] == b"'" and content[one.end - 2 : one.end] == b"\\'":
                raise _DoubtfulError
            number += 1
            yield f"${number}"
        else:
            yield content[one.start : one.end].decode()


def _first_word(text: str) -> str:
    """The first word outside comments, where it is one: a keyword tells nothing of anyone."""
    begin = re.sub(r"^(\s|--[^\n]*(\n|$)|/\*.*?\*/)*", "", text, flags=re.DOTALL)
    found = _WORD.match(begin)
    return found.group().upper() if found else "a statement"
