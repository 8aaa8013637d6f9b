"""What both witnesses of a verdict share: from where on something is slower or faster, and what a gain is. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SLOWER = 1.2
"""A regression takes more than this times as long."""

FASTER = 0.8
"""An improvement takes less than this times as long."""


@dataclass(frozen=True)
class Gain:
    """The share of their time that statements gained, how many of them became faster, and both in words."""

    share: float
    improved: int
    words: str


def per_cent(value: float) -> str:
    """A share as people read it."""
    return f"{100 * value:.0f} %"
