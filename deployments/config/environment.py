"""One environment: what an environment file may say."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from deployments.config.database import DatabaseSettings
from deployments.config.lambda_functions import LambdaSettings
from deployments.config.realtime import ApiSettings, CacheSettings, RfidSettings, WebsocketSettings
from deployments.guarding import Excess, GuardSettings
from deployments.load import Load
from deployments.scenarios import ScenarioSettings
from deployments.settings import Settings
from storage.records import ComponentId


class Variables(Settings):
    """Names of the environment variables that hold addresses; their values never enter a file."""

    api_url: str
    ws_url: str
    redis_url: str
    database_url: str


class IdentitySettings(Settings):
    """How the target says which build it is: the first of `fields` in the JSON answer of the first of `paths`."""

    paths: tuple[str, ...] = Field(default=("/status",), min_length=1)
    fields: tuple[str, ...] = Field(default=("release", "version", "commit", "build"), min_length=1)


class Scale(Settings):
    """Where components run and from how many processes load is sent: one machine and one process by default.

    `dask` runs components on the workers of a Dask cluster: one that exists, or one of `cluster_workers` processes
    that is started on this machine for the run and ended with it.
    """

    runner: Literal["threads", "dask"] = "threads"
    address: str | None = Field(
        default=None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="name of the variable that holds the scheduler's address, e.g. tls://scheduler:8786",
    )
    cluster_workers: int | None = Field(
        default=None, ge=1, le=64, description="processes of a cluster of the run's own"
    )
    shards: int = Field(default=1, ge=1, le=64, description="processes that share the load of api and rfid")
    max_clock_offset_ms: float = Field(
        default=50, gt=0, le=1000, description="how far a shard's clock may be off, and how late it may start"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = [name for name in ("address", "cluster_workers") if getattr(self, name) is not None]
        if self.runner == "threads" and given:
            msg = f'{given[0]} has a meaning with runner = "dask" alone: set that, or remove it'
            raise ValueError(msg)
        if self.runner == "dask" and len(given) != 1:
            msg = 'runner = "dask" needs either address or cluster_workers'
            raise ValueError(msg)
        return self


class Retention(Settings):
    """How many runs of the environment are kept (docs/storage.md says which are kept besides)."""

    keep_runs: int = Field(default=100, ge=1)


_LONGEST_HOLIDAY = 366


class HistorySettings(Settings):
    """What judging over runs must know of the schools' year."""

    closed: tuple[str, ...] = Field(
        default=(), description="days without school, 2026-10-02, and stretches of them, 2026-05-01..2026-06-10"
    )

    @model_validator(mode="after")
    def _are_days(self) -> Self:
        self.days_closed()
        return self

    def days_closed(self) -> frozenset[date]:
        """Every day without school."""
        found: set[date] = set()
        for stretch in self.closed:
            first, _, last = stretch.partition("..")
            start, end = date.fromisoformat(first), date.fromisoformat(last or first)
            if end < start or (end - start).days > _LONGEST_HOLIDAY:
                msg = f"{stretch!r} ends before it starts, or is longer than a year"
                raise ValueError(msg)
            found.update(start + timedelta(days=number) for number in range((end - start).days + 1))
        return frozenset(found)


class Environment(Settings):
    """One environment file."""

    name: str
    title: str
    production: bool = False
    writes: bool = Field(default=False, description="whether load may create or change data")
    embedded: bool = Field(default=False, description="without variables the embedded platform is started")
    indicative: bool = Field(
        default=False,
        description="its gate takes load figures that are indicative only, such as those of a target on one machine "
        "with the generator: for environments from which nothing is released",
    )
    components: tuple[ComponentId, ...] = tuple(ComponentId)
    variables: Variables
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    retention: Retention = Field(default_factory=Retention)
    history: HistorySettings = Field(default_factory=HistorySettings)
    load: Load
    database: DatabaseSettings
    api: ApiSettings
    websocket: WebsocketSettings
    cache: CacheSettings
    rfid: RfidSettings
    lambda_functions: LambdaSettings
    scale: Scale = Field(default_factory=Scale)
    scenario: ScenarioSettings = Field(default_factory=ScenarioSettings)
    guard: GuardSettings = Field(default_factory=GuardSettings)

    @property
    def on_excess(self) -> Excess:
        """What becomes of a login with more rights than measuring needs."""
        usual: Excess = "refuse" if self.production else "ignore" if self.embedded else "warn"
        return self.guard.excess or usual
