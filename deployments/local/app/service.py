"""How the application is started: one granian worker on the loopback, quiet, with uvloop.

It reads these variables (settings.py):

DATABASE_URL         PostgreSQL, with the role of the application; required
REDIS_URL            a Redis-protocol server; required
PLATFORM_RELEASE     the release that GET /status names ("local")
PLATFORM_POOL_SIZE   most database connections (10)
PLATFORM_TICK_S      seconds between two `realtime_stats` broadcasts (2)
PLATFORM_FAULTS      "1" lets POST /__platform__/faults plan faults
PLATFORM_FAULT_PLAN  faults from the start, as JSON

It is ready when GET /__platform__/ready answers 200.
"""

from __future__ import annotations

import sys

READY_PATH = "/__platform__/ready"
COUNTERS_PATH = "/__platform__/counters"
FAULTS_PATH = "/__platform__/faults"


def command(port: int) -> list[str]:
    """The command that serves the application on 127.0.0.1:`port` until it is sent SIGTERM."""
    options = {
        "--interface": "asgi",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
        "--loop": "uvloop",
        "--log-level": "warning",
        "--workers-kill-timeout": "3",
    }
    flags = ("--ws", "--no-access-log", "--factory")
    pairs = [word for pair in options.items() for word in pair]
    return [sys.executable, "-m", "granian", *pairs, *flags, "deployments.local.app.main:create"]
