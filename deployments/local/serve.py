"""Holds a platform for others until it is told to stop: what `hasivu-perf local up` and `down` stand on.

`python -m deployments.local.serve [PART …]` serves and says nothing; `start_detached` starts that in the background.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from deployments.hosting.folders import cache_folder
from deployments.hosting.guardian import last_line, python_module
from deployments.local import prepared, registry
from deployments.local.platform import ALL, START_S, Part, Platform, platform
from deployments.local.registry import RunningPlatform
from storage.errors import LocalPlatformError

CHECK_S = 0.5


def serve_until_stopped(on_ready: Callable[[Platform], None], *, parts: Collection[Part] = ALL) -> None:
    """Start a platform, register it, call `on_ready`, and hold it until SIGINT or SIGTERM; then end all of it.

    Must be called in the main thread. Raises LocalPlatformError when a part does not start or ends by itself.
    """
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with platform(parts=parts) as started:
            registry.register(started)
            on_ready(started)
            while True:
                time.sleep(CHECK_S)
                started.check()
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def start_detached(
    *, parts: Collection[Part] = ALL, timeout_s: float = prepared.BUILD_S + START_S
) -> RunningPlatform:
    """Start a platform in a process of its own that outlives this one; end it by `registry.stop`.

    Raises LocalPlatformError with what that process said when it ended instead.
    """
    argv = python_module("deployments.local.serve", *sorted(parts))
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="starting-") as folder:
        log = Path(folder) / "serve.log"
        pid = _spawn(argv, log)
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if os.waitpid(pid, os.WNOHANG)[0]:
                raise LocalPlatformError(f"the platform did not start: {last_line(log)}")
            for found in registry.running():
                if found.pid == pid:
                    return found
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)  # its guardian ends the rest
        os.waitpid(pid, 0)
    raise LocalPlatformError(f"the platform was not ready within {timeout_s:.0f} s")


def _spawn(argv: tuple[str, ...], log: Path) -> int:
    """Start a process in a session of its own whose end nobody here will wait for."""
    quiet = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    return os.posix_spawn(argv[0], argv, os.environ, file_actions=quiet, setsid=True)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Serve the parts named by the arguments, all without any; 4 and one line on stderr where it fails."""
    parts = frozenset(map(Part, sys.argv[1:])) or ALL
    try:
        serve_until_stopped(lambda _started: None, parts=parts)
    except LocalPlatformError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
