"""Text from outside (SQL, addresses, log lines, names) made harmless before it is shown anywhere.

Each rendering escapes its own markup besides; here goes what no rendering may ever carry: control characters, escape
sequences of terminals, and characters that turn or hide text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ESCAPES = re.compile(
    r"""
    (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]                        # CSI: colours, cursor
  | (?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?   # OSC, DCS, SOS, PM, APC
  | \x1b[ -/]*[0-~]?                                        # the other escapes
    """,
    re.VERBOSE,
)
_KEPT = {"\n", "\t"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def clean(text: str) -> str:
    """The text without terminal escapes, control, format (bidirectional, zero-width) and broken characters.

    Line feeds and tabs stay; any other line ending becomes a line feed.
    """
    flat = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c in _KEPT else "" if _is_hidden(c) else c for c in flat)


def one_line(text: str) -> str:
    """Cleaned, with every run of white space as one space."""
    return " ".join(clean(text).split())


def shorten(text: str, most: int = 160) -> str:
    """One line of at most `most` characters; what is cut is marked, and whole in the report's JSON."""
    line = one_line(text)
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


MOST_COMMANDS = 8000
"""Characters of commands that a finding shows; the others are in the report's JSON."""


def whole_commands(commands: Sequence[str], most: int = MOST_COMMANDS) -> tuple[str, ...]:
    """Commands, cleaned, as many as fit whole; a last line, a comment, says how many do not: never half of one."""
    shown: list[str] = []
    for command in map(clean, commands):
        if sum(map(len, shown)) + len(command) > most:
            break
        shown.append(command)
    left = len(commands) - len(shown)
    return (*shown, f"# {left} more of this finding are in report.json") if left else tuple(shown)


def ascii_text(text: str) -> str:
    """The nearest ASCII for terminals that have nothing else; what has none becomes `?`."""
    for sign, plain in _ASCII.items():
        text = text.replace(sign, plain)
    return unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode("ascii")


_ASCII = {
    "✓": "+",
    "✗": "x",
    "◐": "~",
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": "|",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "×": "x",
    "→": "->",
    "─": "-",
    "’": "'",
    "µ": "u",
}


def _is_hidden(character: str) -> bool:
    code = ord(character)
    not_a_character = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF  # noqa: PLR2004 - Unicode 2.13
    return not_a_character or unicodedata.category(character) in _HIDDEN
