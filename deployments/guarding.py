"""The `[guard]` table of an environment file: what becomes of a login that may do more than measuring needs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from deployments.settings import Settings

Excess = Literal["refuse", "warn", "ignore"]


class GuardSettings(Settings):
    """What to do about excess rights, and which of them are known and wanted; docs/adr/0024 says why."""

    excess: Excess | None = Field(
        default=None,
        description="refuse: nothing is sent with such a login; warn: the notes of the run name the rights; by "
        "default refuse in production, ignore where the embedded platform may stand in, else warn",
    )
    allow: tuple[str, ...] = Field(
        default=(),
        description="rights that are wanted all the same, as the message names them; * stands for any characters",
    )

    def allows(self, right: str) -> bool:
        """Whether a right is wanted all the same."""
        return any(fnmatchcase(right, pattern) for pattern in self.allow)
