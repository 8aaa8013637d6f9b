"""Processes as Linux tells of them."""

from __future__ import annotations

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
