"""A Prefect server for one run: on the loopback, under the guardian, without UI or schedules, gone with its owner.

Its database is copied from a template in the user's cache folder, since applying Prefect's migrations to an empty
one takes as long as all the rest of the start (docs/adr/0004-local-platform.md).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from deployments.hosting.folders import cache_folder
from deployments.hosting.guardian import Guardian, Service, start_on_port

SERVER = "prefect"
"""The name of the server as a service of its guardian."""

_READY_S = 90.0
_OFF = (
    "SCHEDULER",
    "LATE_RUNS",
    "CANCELLATION_CLEANUP",
    "PAUSE_EXPIRATIONS",
    "FOREMAN",
    "TRIGGERS",
    "REPOSSESSOR",
)


def server_environment(home: Path) -> dict[str, str]:
    """The variables of a quiet, offline server that keeps everything in `home`."""
    services = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _OFF}
    return {
        **services,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",  # else every collection is imported to skip that
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }


def start_server(guardian: Guardian) -> str:
    """Start the server and wait until it answers; return its API address."""
    home = guardian.folder / "prefect"
    home.mkdir(mode=0o700)
    prepared = prepare_database(home)
    environment = server_environment(home)

    def service(port: int) -> Service:
        app = ("--factory", "prefect.server.api.server:create_app")
        listen = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
        return Service(SERVER, (sys.executable, "-m", "uvicorn", *app, *listen), cwd=home, env=environment)

    port = start_on_port(guardian, service, _answers, deadline=time.monotonic() + _READY_S)
    if not prepared:
        keep_database(home)
    return f"http://127.0.0.1:{port}/api"


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, OSError):
        return False


def _template() -> Path:
    return cache_folder() / f"prefect-{version('prefect')}.db"


def prepare_database(home: Path) -> bool:
    """Put a migrated, empty database into the folder of a server, where there is a template of it."""
    if not _template().is_file():
        return False
    shutil.copyfile(_template(), home / "prefect.db")
    return True


def keep_database(home: Path) -> None:
    """Keep the database that a server just made as the template; two that do it at once both leave a whole file."""
    database, template = home / "prefect.db", _template()
    temporary = template.with_suffix(f".{os.getpid()}.tmp")
    with suppress(sqlite3.Error):  # a busy database only means that the next start is the slow one again
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(temporary)) as target:
            source.backup(target)
        temporary.replace(template)
    temporary.unlink(missing_ok=True)
