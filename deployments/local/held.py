"""A Prefect server that is kept and a worker beside it, on one machine: what `hasivu-perf serve` holds.

Unlike `deployments.local.orchestrator`, whose server serves one run and goes with it, this one has its UI, schedules
and triggers, and its database stays: SQLite in the home folder, or the PostgreSQL that a variable names.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.hosting.guardian import Guardian, Service
from deployments.local.orchestrator import keep_database, prepare_database
from deployments.local.platform import answers
from deployments.parameters import OUTPUT
from storage.errors import ConfigurationError, LocalPlatformError, UsageError

HOME = "HASIVU_PERF_HOME"
DATABASES = (
    "HASIVU_PERF_PREFECT_DATABASE_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
)
"""Variables that may name the server's database, the first that is set; no other process gets to see them."""

LEASES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
"""Prefect keeps leases in memory unless told otherwise: a server that restarts would never free a dead run's slot."""

READY_S = 120.0
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
_SERVERS_ALONE = ("PREFECT_SERVER_", "PREFECT_API_DATABASE_", "PREFECT_UI_", "HASIVU_NOTIFY_", *DATABASES)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that everything kept lies in."""

    folder: Path

    @property
    def server(self) -> Path:
        """The server's database and its settings."""
        return self.folder / "prefect"

    @property
    def client(self) -> Path:
        """What Prefect's clients keep."""
        return self.folder / "client"

    @property
    def logs(self) -> Path:
        """What server and worker wrote, since they were last started."""
        return self.folder / "logs"

    @property
    def output(self) -> str:
        """The output root of runs that name none."""
        return os.environ.get(OUTPUT) or str(self.folder / "output")


def home() -> Home:
    """`$HASIVU_PERF_HOME`, else `hasivu-perf` in the user's data folder; made with mode 0700."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    found = Home(Path(os.environ.get(HOME) or Path(data) / "hasivu-perf").resolve())
    try:
        for folder in (found.folder, found.server, found.client, found.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{found.folder} cannot be written ({error.strerror}): set {HOME} to a folder of yours"
        ) from None
    return found


@contextmanager
def locked(kept: Home) -> Iterator[None]:
    """Nobody else serves from this folder within the block; a killed holder's lock is gone with it."""
    with (kept.folder / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another `hasivu-perf serve` uses {kept.folder}: end it, or set {HOME} to another folder"
            ) from None
        yield


def database_url() -> str | None:
    """The address of the server's PostgreSQL, which holds a password; None for SQLite in the home folder."""
    name = next((name for name in DATABASES if os.environ.get(name)), None)
    if name is None:
        return None
    if not os.environ[name].startswith("postgresql+asyncpg://"):
        raise ConfigurationError(
            [f"{name} must start with postgresql+asyncpg:// (without it the server uses SQLite)"]
        )
    return os.environ[name]


def server_variables(kept: Home, port: int) -> dict[str, str]:
    """The variables of a server on the loopback that talks to nobody outside; they may hold a password."""
    given = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_SERVER_")}
    database = database_url()
    return {
        LEASES: "prefect.server.concurrency.lease_storage.filesystem",
        **given,
        **QUIET,
        **({DATABASES[1]: database} if database else {}),
        "PREFECT_HOME": str(kept.server),
        "PREFECT_UI_URL": f"http://127.0.0.1:{port}",
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }


def start_server(guardian: Guardian, kept: Home, port: int) -> None:
    """Start the server on a port of the loopback, and wait until it answers.

    Raises LocalPlatformError with the last line of its log.
    """
    environment = server_variables(kept, port)
    fresh = database_url() is None and not (kept.server / "prefect.db").exists()
    slow = fresh and not prepare_database(kept.server)
    app = ("--factory", "prefect.server.api.server:create_app", "--timeout-graceful-shutdown", "1")
    listen = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
    keep_log(guardian, kept, "prefect")
    argv = (sys.executable, "-m", "uvicorn", *app, *listen)
    guardian.start(Service("prefect", argv, cwd=kept.server, env=environment))
    until = time.monotonic() + READY_S
    while not answers(port, "/api/health"):
        guardian.check("prefect")
        if time.monotonic() > until:
            raise LocalPlatformError(f"the Prefect server was not ready within {READY_S:.0f} s: see {kept.logs}")
        time.sleep(0.1)
    if slow:
        keep_database(kept.server)


def worker_variables(kept: Home, address: str, target: Mapping[str, str]) -> dict[str, str]:
    """The variables of a worker and its runs: this process's own but for what only the server may know, and a target.

    What `target` says of the embedded platform never replaces what is set.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(_SERVERS_ALONE)}
    return {
        **target,
        **own,
        **QUIET,
        OUTPUT: kept.output,
        "PREFECT_API_URL": address,
        "PREFECT_HOME": str(kept.client),
        "PREFECT_LOCAL_STORAGE_PATH": str(kept.folder / "results"),
        "PREFECT_WORKER_QUERY_SECONDS": own.get("PREFECT_WORKER_QUERY_SECONDS", "3"),
    }


def start_worker(guardian: Guardian, kept: Home, pool: str, variables: Mapping[str, str]) -> None:
    """Start a process worker of the pool; temporary files of its runs go with the guardian."""
    temporary = guardian.folder / "tmp"
    temporary.mkdir(mode=0o700, exist_ok=True)
    keep_log(guardian, kept, "worker")
    argv = (
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        pool,
        "--type",
        "process",
        "--name",
        "serve",
    )
    environment = {**variables, "TMPDIR": str(temporary)}
    guardian.start(Service("worker", argv, cwd=temporary, env=environment))


def keep_log(guardian: Guardian, kept: Home, name: str) -> None:
    """Let the log of a service lie in the home folder, for the guardian's folder goes with it."""
    log = kept.logs / f"{name}.log"
    log.unlink(missing_ok=True)
    guardian.log_path(name).symlink_to(log)
