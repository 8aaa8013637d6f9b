"""What the watch may cost: a share of one core, of the server and of this process together.

The goal is below 0.2 % of a core. Not all that a question costs can be seen from here, so less than that is planned.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

LOOK_SHARE = 0.0006
"""Of a core, for looks at the sessions."""

POLL_SHARE = 0.0006
"""Of a core, for polls of the counters, and for the texts of statements that are told."""

UNSEEN_MS = 0.2
"""What a question costs the server before and after the time that it tells."""


@dataclass
class Pace:
    """When a kind of question is due: at steady moments, or as seldom as its share of a core wants it.

    A question costs as much as the lower quartile of the last ones did, for whatever else runs only adds to that.
    """

    share: float
    least_s: float
    due: float
    last: deque[float] = field(default_factory=lambda: deque(maxlen=9))

    @property
    def cost_ms(self) -> float:
        """What the next one will cost; 0 where there was none yet."""
        return sorted(self.last)[len(self.last) // 4] if self.last else 0.0

    def asked(self, now: float, cost_ms: float) -> None:
        """Note what a question has cost, and when the next one is due. The first one is for nothing: it is once."""
        first = not self.last
        self.last.append(cost_ms)
        self.due = max(self.due, now) + (self.least_s if first else max(self.least_s, self._seconds(self.cost_ms)))

    def charge(self, now: float, cost_ms: float) -> None:
        """Put the next question off for something else that was paid from this share."""
        self.due = max(self.due, now) + self._seconds(cost_ms)

    def _seconds(self, cost_ms: float) -> float:
        return cost_ms / 1000 / self.share
