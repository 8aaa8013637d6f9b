"""PgBouncer in transaction mode before a server of a test."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deployments.hosting.guardian import Guardian, Service, start_on_port
from deployments.hosting.postgres import programs

needs_pgbouncer = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")


@contextmanager
def bouncer(guardian: Guardian, url: str, folder: Path) -> Iterator[str]:
    """The address of a pooler before the server of `url`, for its role; it ends with the guardian.

    The role may also ask the console, which is the database `pgbouncer` at the same address.

    The role should have no settings of its own: PgBouncer would not pass them on.
    """
    parts = urlsplit(url)
    users = folder / "users.txt"
    users.write_text(f'"{parts.username}" "{parts.password}"\n')
    program = shutil.which("pgbouncer")
    assert program is not None
    how = programs(guardian)  # PgBouncer, too, refuses to run as root

    def service(port: int) -> Service:
        settings = folder / f"pgbouncer-{port}.ini"
        settings.write_text(
            f"[databases]\nhasivu = host=127.0.0.1 port={parts.port} dbname=hasivu\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\nauth_file = {users}\n"
            f"stats_users = {parts.username}\n"
            "pool_mode = transaction\ndefault_pool_size = 3\nunix_socket_dir =\n"
        )
        return Service("pgbouncer", (*how.prefix, program, str(settings)), cwd=folder, user=how.user)

    def ready(port: int) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    port = start_on_port(guardian, service, ready, deadline=time.monotonic() + 20)
    try:
        yield f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{port}/hasivu"
    finally:
        guardian.stop("pgbouncer")
