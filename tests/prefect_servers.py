"""A Prefect server with every service on, as `hasivu-perf serve` starts it, for one test module."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments.hosting.guardian import Guardian, free_port
from deployments.local import held
from tests.prefect_client import forget_server


@contextmanager
def full_server() -> Iterator[str]:
    """Its API address, which is the client's within the block; the database is what the variables say."""
    folder = Path(tempfile.mkdtemp(prefix="hasivu-test-"))
    with Guardian(folder) as guardian:
        kept = held.Home(folder / "home")
        for part in (kept.server, kept.client, kept.logs):
            part.mkdir(mode=0o700, parents=True)
        port = free_port()
        held.start_server(guardian, kept, port)
        address = f"http://127.0.0.1:{port}/api"
        changes: dict[Any, Any] = {PREFECT_API_URL: address, PREFECT_HOME: kept.client}
        with temporary_settings(changes):
            forget_server()
            yield address
            forget_server()
