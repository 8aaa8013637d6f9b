"""Headers of replies that no command of ours can have: refused before hiredis reads them."""

from __future__ import annotations

import re

AGGREGATES = b"*%~>"
"""What an array, a map, a set and a push begin with (https://valkey.io/topics/protocol/)."""

TOO_MANY = re.compile(rb"(?:\A|\n)[*%~>][0-9]{8,}\r")
"""The header of a larger aggregate than any that is asked for: hiredis makes room for all of it at once, and takes
seconds to give that back, in which no other thread of this process runs."""
