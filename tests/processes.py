"""Processes as Linux tells of them, and how much they want of this machine."""

from __future__ import annotations

import os
from pathlib import Path


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has ended
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, new = {pid}, [pid]
    while new:
        new = [child for parent in new for child in children.get(parent, ())]
        found.update(new)
    return found


def load_per_core() -> float:
    """How many programs wanted each core during the last minute, 1 at least.

    Promises in seconds are given for a machine where each program has a core: a second of one takes so long now.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
