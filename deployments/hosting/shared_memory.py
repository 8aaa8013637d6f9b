"""System V shared memory of services that were killed: PostgreSQL keeps a small segment, which outlives a SIGKILL."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_SEGMENTS = Path("/proc/sysvipc/shm")
_IPC_RMID = 0


def remove_made_by(pids: Collection[int]) -> None:
    """Remove the segments that these processes, which have ended, made; nothing where there is no Linux.

    One that a helper of theirs is still attached to goes with that (shmctl(2), IPC_RMID). The fields are those of
    proc_sysvipc_shm(5): shmid is the 2nd, cpid the 5th.
    """
    with suppress(OSError):
        for row in _SEGMENTS.read_text().splitlines()[1:]:
            _, number, _, _, maker, *_ = row.split()
            if int(maker) in pids:
                ctypes.CDLL(None).shmctl(int(number), _IPC_RMID, None)
