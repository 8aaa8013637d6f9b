"""The embedded platform: PostgreSQL, a cache, an AWS API and the meal application, on the loopback, for one owner.

    with platform() as running:
        os.environ.update(running.environment)

Everything is a service of one guardian, so nothing outlives the owner. Parts start side by side; the application
waits for the database and the cache.
"""

from __future__ import annotations

import http.client
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import psycopg

from deployments.hosting.folders import cache_folder, runtime_folder
from deployments.hosting.guardian import Guardian, Service, python_module, start_on_port
from deployments.hosting.postgres import programs as postgres_programs
from deployments.local import cache_seed, postgres, prepared, valkey
from deployments.local.app import service as application
from deployments.local.defects import IDLE_APPLICATION
from deployments.local.postgres import ADMIN, ANALYSIS, APPLICATION, OWNER, PostgresServer
from deployments.local.valkey import ValkeyServer
from storage.errors import LocalPlatformError

START_S = 60.0
"""How long the parts may take to be ready, the preparation of the data left out."""

REGION = "ap-south-1"
HTTP_OK = 200
_SHORT_LIVED = frozenset({"initdb", "postgresql-single-user", "postgresql-build", prepared.COPY})
_T = TypeVar("_T")


class Part(StrEnum):
    """What can be started."""

    DATABASE = "database"
    CACHE = "cache"
    AWS = "aws"
    APPLICATION = "application"


ALL: frozenset[Part] = frozenset(Part)


@dataclass(frozen=True, slots=True)
class ExtraService:
    """A service that an owner adds: its argv by port, what says that it is ready, and its variables."""

    name: str
    command: Callable[[int], Sequence[str]]
    ready: Callable[[int], bool]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform. Its addresses hold passwords; asking for a part that was not started is an error."""

    guardian: Guardian
    database: PostgresServer | None = None
    cache: ValkeyServer | None = None
    aws_port: int | None = None
    application_port: int | None = None
    services: Mapping[str, int] = field(default_factory=dict)
    """Ports of the extra services by name."""

    @property
    def folder(self) -> Path:
        """The runtime folder, gone when the platform is."""
        return self.guardian.folder

    @property
    def database_url(self) -> str:
        """For analysis: a role that may read everything and write nothing."""
        return _started(self.database, Part.DATABASE).url(ANALYSIS)

    @property
    def application_database_url(self) -> str:
        """The application's role, which owns the tables."""
        return _started(self.database, Part.DATABASE).url(APPLICATION)

    @property
    def owner_database_url(self) -> str:
        """For `hasivu-perf optimize`: may change the indexes of the application's tables."""
        return _started(self.database, Part.DATABASE).url(OWNER)

    @property
    def admin_database_url(self) -> str:
        """The superuser."""
        return _started(self.database, Part.DATABASE).url(ADMIN)

    @property
    def redis_url(self) -> str:
        """The cache."""
        return _started(self.cache, Part.CACHE).url

    @property
    def api_url(self) -> str:
        """The application's HTTP API."""
        return f"http://127.0.0.1:{_started(self.application_port, Part.APPLICATION)}"

    @property
    def ws_url(self) -> str:
        """The application's WebSocket."""
        return f"ws://127.0.0.1:{_started(self.application_port, Part.APPLICATION)}/ws"

    @property
    def aws_endpoint_url(self) -> str:
        """The AWS API; it takes any credentials."""
        return f"http://127.0.0.1:{_started(self.aws_port, Part.AWS)}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of the development environment that point to the parts that run."""
        return self.variables("DEVELOPMENT")

    def variables(self, prefix: str) -> Mapping[str, str]:
        """The same for another environment, whose variables start with `prefix`: any profile can run here."""
        found: dict[str, str] = {}
        if self.database is not None:
            found |= {f"{prefix}_DATABASE_URL": self.database_url, f"{prefix}_OWNER_URL": self.owner_database_url}
        if self.cache is not None:
            found[f"{prefix}_REDIS_URL"] = self.redis_url
        if self.application_port is not None:
            found |= {f"{prefix}_API_URL": self.api_url, f"{prefix}_WS_URL": self.ws_url}
        if self.aws_port is not None:
            found |= {
                "AWS_ENDPOINT_URL": self.aws_endpoint_url,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        return MappingProxyType(found)

    def add_service(self, service: ExtraService, *, timeout_s: float = START_S) -> int:
        """Start one more service that ends with the platform; return its port."""
        return _start_extra(self.guardian, service, deadline=time.monotonic() + timeout_s)

    def check(self) -> None:
        """Raise LocalPlatformError with the last line of its log when any service has ended by itself."""
        for name, state in self.guardian.alive().items():
            if not state.running and name not in _SHORT_LIVED:
                self.guardian.check(name)


def _started(part: _T | None, name: Part) -> _T:
    if part is None:
        raise LocalPlatformError(f"the {name} part of the platform was not started: add it to `parts`")
    return part


@contextmanager
def platform(
    *,
    parts: Collection[Part] = ALL,
    services: Sequence[ExtraService] = (),
    application_env: Mapping[str, str] = MappingProxyType({}),
    folder: Path | None = None,
) -> Iterator[Platform]:
    """Start the parts, and the extra services beside them; end all of it when the context is left.

    `application_env` is added to the application's variables (`deployments.local.app.service` lists them).

    The first start of a day prepares the data (about 15 s). Raises LocalPlatformError that names the part which
    failed and shows the last line of its log.
    """
    wanted = frozenset(parts)
    if Part.APPLICATION in wanted and not wanted >= {Part.DATABASE, Part.CACHE}:
        raise LocalPlatformError("the application needs the database and the cache: add them to `parts`")
    folder = folder or runtime_folder(runs_folder())
    try:
        with Guardian(folder) as guardian:
            yield _start(guardian, _Plan(wanted, tuple(services), application_env))
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted start may have written after the guardian


@dataclass(frozen=True, slots=True)
class _Plan:
    parts: frozenset[Part]
    services: tuple[ExtraService, ...]
    application_env: Mapping[str, str]


def _start(guardian: Guardian, plan: _Plan) -> Platform:
    """Start everything side by side; the first failure ends all."""
    with ThreadPoolExecutor(len(ALL) + len(plan.services), thread_name_prefix="platform") as pool:
        try:
            return _started_in(pool, guardian, plan)
        except BaseException:
            guardian.close()  # ends what the other threads wait for
            raise


def _started_in(pool: ThreadPoolExecutor, guardian: Guardian, plan: _Plan) -> Platform:
    def submit(part: Part, start: Callable[[Guardian], _T]) -> Future[_T] | None:
        return pool.submit(start, guardian) if part in plan.parts else None

    database = submit(Part.DATABASE, _start_database)
    cache = submit(Part.CACHE, lambda owner: valkey.start_server(owner, deadline=_deadline()))
    aws = submit(Part.AWS, _start_aws)
    extra = {item.name: pool.submit(_start_extra, guardian, item, deadline=_deadline()) for item in plan.services}
    database_server = database.result() if database else None
    cache_server = cache.result() if cache else None
    application_port = None
    if database_server and cache_server:
        cache_seed.fill(cache_server.url, database_server.url(ANALYSIS))
        if Part.APPLICATION in plan.parts:
            application_port = _start_application(guardian, database_server, cache_server, plan)
    return Platform(
        guardian=guardian,
        database=database_server,
        cache=cache_server,
        aws_port=aws.result() if aws else None,
        application_port=application_port,
        services={name: future.result() for name, future in extra.items()},
    )


def _deadline() -> float:
    return time.monotonic() + START_S


def _start_database(guardian: Guardian) -> PostgresServer:
    """Copy the prepared data, start the server on it, and the session that is idle in a transaction."""
    programs = postgres_programs(guardian)
    source = prepared.prepared_data(guardian, programs)
    deadline = _deadline()
    data = programs.workspace / "postgresql"
    prepared.copy_data(guardian, source, data, programs, deadline=deadline)
    server = postgres.start_server(guardian, programs, data, deadline=deadline)
    _start_idle_session(guardian, server, deadline)
    return server


def _start_idle_session(guardian: Guardian, server: PostgresServer, deadline: float) -> None:
    argv = python_module("deployments.local.idle_session")
    env = {"DATABASE_URL": server.url(APPLICATION)}
    guardian.start(Service(IDLE_APPLICATION, argv, cwd=guardian.folder, env=env))
    query = "SELECT FROM pg_stat_activity WHERE application_name = %s AND state = 'idle in transaction'"
    with psycopg.connect(server.url(ADMIN), autocommit=True) as connection:
        while connection.execute(query, (IDLE_APPLICATION,)).fetchone() is None:
            guardian.check(IDLE_APPLICATION)
            if time.monotonic() > deadline:
                raise LocalPlatformError(f"{IDLE_APPLICATION} did not open its transaction in time")
            time.sleep(0.05)


def _start_aws(guardian: Guardian) -> int:
    folder = guardian.folder / Part.AWS
    folder.mkdir(mode=0o700)

    def service(port: int) -> Service:
        return Service(Part.AWS, python_module("deployments.local.aws", "--port", str(port)), cwd=folder)

    return start_on_port(guardian, service, lambda port: answers(port, "/_ready"), deadline=_deadline())


def _start_application(guardian: Guardian, database: PostgresServer, cache: ValkeyServer, plan: _Plan) -> int:
    folder = guardian.folder / Part.APPLICATION
    folder.mkdir(mode=0o700)
    env = {"DATABASE_URL": database.url(APPLICATION), "REDIS_URL": cache.url, **plan.application_env}

    def service(port: int) -> Service:
        return Service(Part.APPLICATION, tuple(application.command(port)), cwd=folder, env=env)

    return start_on_port(guardian, service, lambda port: answers(port, application.READY_PATH), deadline=_deadline())


def _start_extra(guardian: Guardian, extra: ExtraService, *, deadline: float) -> int:
    folder = guardian.folder / f"service-{extra.name}"
    folder.mkdir(mode=0o700)

    def service(port: int) -> Service:
        return Service(extra.name, tuple(extra.command(port)), cwd=folder, env=extra.env)

    return start_on_port(guardian, service, extra.ready, deadline=deadline)


def answers(port: int, path: str) -> bool:
    """Whether GET `path` on a loopback port is answered by 200 within two seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTP_OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def runs_folder() -> Path:
    """Where the runtime folders of this user's platforms lie: beside the prepared data, so that blocks are shared."""
    folder = cache_folder() / "runs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
