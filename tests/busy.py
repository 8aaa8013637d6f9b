"""How busy this machine is: promises in seconds are given for one where each program has a core."""

from __future__ import annotations

import os


def busy() -> float:
    """How many programs wanted each core during the last minute, 1 at least: a second of one takes so long now."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
