"""Memory and processors of the server's machine: SQL does not tell them, so the environment's file may.

Where the server runs on this machine (seen by its process, see `advisor.locality`), the system tells.
"""

from __future__ import annotations

import os

from deployments.config import DatabaseSettings
from tasks.components.database.advisor.locality import same_machine
from tasks.load.database.session import Session


def facts(session: Session, settings: DatabaseSettings) -> dict[str, str]:
    """`machine.memory_mb`, `machine.cores` and `machine.source`; absent where nobody knows them."""
    found: dict[str, str] = {}
    if settings.memory_mb or settings.cores:
        found["machine.source"] = "the environment's file"
        found |= {"machine.memory_mb": str(settings.memory_mb)} if settings.memory_mb else {}
        found |= {"machine.cores": str(settings.cores)} if settings.cores else {}
    elif same_machine(session):
        found["machine.source"] = "this machine, which the server runs on"
        found["machine.memory_mb"] = str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20)
        found["machine.cores"] = str(os.cpu_count() or 1)
    return found
