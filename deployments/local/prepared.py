"""Prepared data folders of PostgreSQL, kept under the user's cache directory.

A folder is named by what shaped it: the sources of the seed, PostgreSQL's version and the newest school day (so that
"today" has orders; the rows are the same every day, only their dates move). It appears by one rename, whole or not at
all, and one builder at a time holds the lock. Each run works on a copy: a reflink where the file system can.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg

from deployments.hosting.folders import cache_folder
from deployments.hosting.guardian import Guardian, Service
from deployments.hosting.postgres import Programs, run_to_end, version
from deployments.local import postgres, seed
from deployments.local.postgres import ADMIN, APPLICATION
from storage.errors import LocalPlatformError

BUILD_S = 300.0
"""How long the first preparation may take; about 15 s on two cores."""

KEPT = 2
"""Prepared folders that are kept: today's and the one before, about 0.5 GB each."""

_SERVICE = "postgresql-build"
COPY = "postgresql-copy"
"""The name of what copies the data as a service of its guardian."""

_BUILD_SETTINGS = {
    **{
        name: value for name, value in postgres.RUN_SETTINGS.items() if not name.startswith(("pg_stat", "shared_pre"))
    },
    "autovacuum": "off",
    "wal_level": "minimal",  # a table that is filled where it was created needs no WAL
    "max_wal_senders": "0",
    "max_wal_size": "128MB",
    "min_wal_size": "16MB",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "work_mem": "64MB",
}


def prepared_data(guardian: Guardian, programs: Programs, today: date | None = None) -> Path:
    """The prepared data folder for today, built first where there is none yet; never to be written to.

    Raises LocalPlatformError when the build fails or takes longer than BUILD_S.
    """
    day = seed.school_day(today or datetime.now(tz=UTC).date())
    folder = cache_folder() / "data" / f"{_key(day)}"
    if folder.is_dir():
        os.utime(folder)  # the youngest are kept
        return folder
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with _locked(folder.parent / "build.lock"):
        if not folder.is_dir():
            _build(guardian, programs, folder, day)
            _prune(folder.parent)
    return folder


def copy_data(guardian: Guardian, source: Path, target: Path, programs: Programs, *, deadline: float) -> None:
    """Copy a data folder for the user of the programs, sharing blocks where the file system can.

    A program does it, which ends with the guardian: threads that copied 1,600 files waited for whatever else this
    process was busy with at each of them. Raises LocalPlatformError with the program's own words.
    """
    cloning = ("-c",) if sys.platform == "darwin" else ("--reflink=auto",)
    argv = ("cp", "-R", *cloning, str(source), str(target))
    run_to_end(guardian, Service(COPY, argv, cwd=target.parent), deadline=deadline)
    programs.own(target)


def _key(day: date) -> str:
    shaped_by = f"{seed.fingerprint()} {version()} {sorted(_BUILD_SETTINGS.items())}"
    return f"{day.isoformat()}-{hashlib.sha256(shaped_by.encode()).hexdigest()[:12]}"


def _build(guardian: Guardian, programs: Programs, folder: Path, day: date) -> None:
    """Build in the runtime folder, which the guardian removes whatever happens, then move it into the cache."""
    deadline = time.monotonic() + BUILD_S
    data = programs.workspace / "postgresql-build" / "data"
    data.parent.mkdir(mode=0o700)
    programs.own(data.parent)
    postgres.create_cluster(guardian, programs, data, deadline=deadline)
    server = postgres.start_server(
        guardian, programs, data, deadline=deadline, settings=_BUILD_SETTINGS, name=_SERVICE
    )
    try:
        seed.build(server.url(ADMIN), APPLICATION, day)
    except psycopg.Error as error:
        raise LocalPlatformError(f"the data could not be prepared: {str(error).splitlines()[0]}") from error
    guardian.stop(_SERVICE)
    _drop_spare_wal(programs, data)
    if programs.user is not None:
        # Only now: nobody may not enter the cache of root.
        for path in (data, *data.rglob("*")):
            os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
    _move(data, folder)


def _move(data: Path, folder: Path) -> None:
    try:
        data.rename(folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="incoming-") as temporary:
            shutil.copytree(data, Path(temporary) / "data", symlinks=True)
            (Path(temporary) / "data").rename(folder)
        shutil.rmtree(data)


def _drop_spare_wal(programs: Programs, data: Path) -> None:
    """Remove WAL segments other than the one with the last checkpoint: a stopped cluster needs no other."""
    state = data / "global" / "pg_control"
    if not state.is_file():
        raise LocalPlatformError(f"{data} is no data folder: the build has not finished")
    answer = subprocess.run(
        (str(programs.bin / "pg_controldata"), str(data)), capture_output=True, text=True, timeout=30, check=False
    )
    facts = dict(line.split(":", 1) for line in answer.stdout.splitlines() if ":" in line)
    if facts.get("Database cluster state", "").strip() != "shut down":
        raise LocalPlatformError("the preparation of the data did not end cleanly: try again")
    needed = facts["Latest checkpoint's REDO WAL file"].strip()
    for segment in (data / "pg_wal").iterdir():
        if segment.is_file() and segment.name != needed:
            segment.unlink()


def _prune(parent: Path) -> None:
    """Remove all but the youngest prepared folders."""
    folders = sorted((path for path in parent.iterdir() if path.is_dir()), key=lambda path: -path.stat().st_mtime)
    for path in folders[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, waiting no longer than a build takes."""
    until = time.monotonic() + BUILD_S
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise LocalPlatformError(f"another process holds {path} for {BUILD_S:.0f} s: end it") from None
                time.sleep(0.1)
            else:
                break
        yield
