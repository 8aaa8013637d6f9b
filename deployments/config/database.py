"""What the database component times and samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from deployments.changes import ChangeSettings
from deployments.config.values import ValueRange
from deployments.settings import Settings


class ReadStatement(Settings):
    """A representative read, timed at the client: `sql` with psycopg's `%(name)s`, drawn from `values`."""

    name: str
    sql: str


class IndexAdviceSettings(Settings):
    """How a run asks for index advice: beside load, so planned on a twin, and on a copy of the rows only on demand.

    The twin needs `pg_read_all_data`; it reads schema and statistics once, and nothing is changed. `rehearse` "auto"
    proves the advice by run time on a copy, where the server runs on this machine.
    """

    enabled: bool = True
    deadline_s: float = Field(default=60, gt=0, description="the advice is given up after so long")
    rehearse: Literal["never", "auto"] = "never"
    budget_mb: float | None = Field(default=None, gt=0, description="most megabytes of new indexes")
    max_indexes: int | None = Field(default=None, ge=1)


class DatabaseSettings(Settings):
    """What the database component times and samples; sessions are read-only with a statement time-out."""

    statements: tuple[ReadStatement, ...] = ()
    values: Mapping[str, ValueRange] = Field(default_factory=dict)
    read_rate: float = Field(default=10, gt=0, description="representative reads a second")
    statement_timeout_ms: int = Field(default=5000, gt=0)
    sample_every_s: float = Field(default=1.0, gt=0)
    top: int = Field(default=20, ge=1)
    pool_size: int | None = Field(default=None, ge=1, description="connections that the application may open")
    application: str | None = Field(default=None, description="application_name of the application's pool")
    memory_mb: int | None = Field(default=None, gt=0, description="of the server's machine, where it is another one")
    cores: int | None = Field(default=None, gt=0, description="of the server's machine, where it is another one")
    pooler_variable: str | None = Field(
        default=None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="name of the variable with the address of PgBouncer's admin console; it may be left unset",
    )
    advice: IndexAdviceSettings = IndexAdviceSettings()
    changes: ChangeSettings = Field(default_factory=ChangeSettings)
