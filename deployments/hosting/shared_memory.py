"""System V shared memory of services that were killed: PostgreSQL keeps a small segment, which outlives a SIGKILL."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from pathlib import Path

_SEGMENTS = Path("/proc/sysvipc/shm")
_IPC_RMID = 0


def made_by(pids: Collection[int], since: float) -> list[int]:
    """Identifiers of the segments that these processes made after a time in seconds of the epoch.

    Process ids are used again, and a segment outlives its maker: an older one is another program's. The fields are
    those of proc_sysvipc_shm(5): shmid is the 2nd, cpid the 5th, ctime in whole seconds the 14th. Empty where there
    is no Linux.
    """
    try:
        rows = [row.split() for row in _SEGMENTS.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [int(row[1]) for row in rows if int(row[4]) in pids and int(row[13]) >= int(since)]


def remove_made_by(pids: Collection[int], since: float) -> None:
    """Remove the segments that these processes, which have ended, made after a time in seconds of the epoch.

    One that a helper of theirs is still attached to goes with that (shmctl(2), IPC_RMID).
    """
    for number in made_by(pids, since):
        ctypes.CDLL(None).shmctl(number, _IPC_RMID, None)
