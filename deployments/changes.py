"""The `[database.changes]` table of an environment file: whether indexes may be built there, on what, within what.

Nothing is allowed by default. The table holds the name of a variable, never an address.
"""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, model_validator

from deployments.settings import Settings

_TABLE = re.compile(r"^[^.\s]+\.[^.\s]+$")


class ChangeSettings(Settings):
    """What `hasivu-perf optimize` may do to the database of an environment; docs/database-changes.md explains it."""

    allow: bool = Field(default=False, description="whether indexes may be built and removed at all")
    tables: tuple[str, ...] = Field(default=(), description="tables that may get indexes, each as schema.table")
    address: str | None = Field(
        default=None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="name of the variable with the address of the tables' owner, not through a pooler; by default "
        "that of the environment's database",
    )
    max_builds: int = Field(default=3, ge=1, le=20, description="changes of one run, at most")
    window_s: float = Field(default=1800, gt=0, le=259_200, description="of real work, before and after each change")
    build_timeout_s: float = Field(default=3600, gt=0, description="of one CREATE INDEX")
    transaction_age_s: float = Field(
        default=60,
        gt=0,
        description="no build begins beside an older transaction, and none waits longer for others",
    )
    writer_wait_s: float = Field(default=1.5, gt=0, description="a session waits so long behind a build, at most")
    replica_lag_mb: float = Field(default=256, gt=0, description="no build begins or goes on beyond it")
    free_disk_mb: float | None = Field(
        default=None, gt=0, description="free disk of the server where it cannot be looked up: builds take half of it"
    )
    replays: int = Field(default=5, ge=3, le=50, description="timed runs of each replayed read, before and after")
    replay_timeout_s: float = Field(default=10, gt=0, le=300, description="of one run of a replayed read")
    replay_statements: int = Field(default=10, ge=0, le=100, description="reads of the workload that are replayed")
    min_gain: float = Field(default=0.1, gt=0, lt=1, description="share of their time that statements must gain")
    max_wal_growth: float = Field(
        default=0.5, ge=0, description="more WAL for the same writes, at most; below 0.1 MB/s it is not looked at"
    )
    keep_unproven: bool = Field(
        default=False, description="keep what nothing that ran could prove or disprove, where it is not production"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wrong = [name for name in self.tables if not _TABLE.match(name)]
        if wrong:
            msg = f"tables: {wrong[0]!r} is not schema.table"
            raise ValueError(msg)
        if self.allow and not self.tables:
            msg = "allow = true needs tables: name those that may get indexes"
            raise ValueError(msg)
        return self
