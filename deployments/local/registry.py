"""Which platforms of this user are served now: a file in each runtime folder, gone with it.

The file holds addresses with passwords, so its mode is 0600. A process is known by its id and its start time, since
ids are used again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deployments.local.platform import Platform, runs_folder
from storage.errors import LocalPlatformError

STOP_S = 15.0
"""How long a platform may take to end when asked to."""

KILLED_S = 8.0
"""How long its guardian may take after the owner was killed."""

STATE = "platform.json"


@dataclass(frozen=True, slots=True)
class RunningPlatform:
    """A platform that some process of this user serves; `environment` holds passwords."""

    pid: int
    started: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether the very process that wrote the file still runs."""
        return start_time(self.pid) == self.started


def register(platform: Platform) -> RunningPlatform:
    """Let others find this platform, which the calling process owns."""
    pid = os.getpid()
    found = RunningPlatform(pid, start_time(pid) or "", platform.folder, dict(platform.environment))
    state = platform.folder / STATE
    temporary = state.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps({"pid": pid, "started": found.started, "environment": dict(found.environment)}))
    temporary.replace(state)
    return found


def running() -> list[RunningPlatform]:
    """The platforms that are served now, the oldest first; files of dead owners are passed over."""
    found: list[RunningPlatform] = []
    for path in sorted(runs_folder().glob(f"*/{STATE}"), key=_age):
        with suppress(OSError, ValueError, KeyError):  # it may be removed while we read
            state = json.loads(path.read_text())
            item = RunningPlatform(int(state["pid"]), state["started"], path.parent, state["environment"])
            if item.alive:
                found.append(item)
    return found


def stop(platform: RunningPlatform) -> None:
    """End a platform and wait until its folder is gone; its owner is killed when it does not end by itself.

    Nothing is signalled unless the process is the one that registered. Raises LocalPlatformError where something is
    left after all.
    """
    for number, limit_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, KILLED_S)):
        if platform.alive:
            os.kill(platform.pid, number)
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if not platform.folder.exists() and not platform.alive:
                return
            time.sleep(0.05)
    raise LocalPlatformError(
        f"the platform of process {platform.pid} has not ended: {platform.folder} is still there"
    )


def start_time(pid: int) -> str | None:
    """When a process started, in the words of its operating system; None where it is gone or a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]  # proc_pid_stat(5): state is field 3, starttime field 22
    answer = subprocess.run(
        ("ps", "-o", "lstart=", "-p", str(pid)), capture_output=True, text=True, timeout=10, check=False
    )
    return answer.stdout.strip() or None


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
