"""Processor time of a process of this machine: what a statement costs, however busy the machine is meanwhile."""

from __future__ import annotations

from pathlib import Path

_NS_PER_MS = 1e6


def processor_ms(pid: int) -> float | None:
    """Milliseconds that a process was on a processor since it began; None where the kernel does not tell.

    Linux counts nanoseconds (Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat, the first figure).
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / _NS_PER_MS
    except (OSError, ValueError, IndexError):
        return None
