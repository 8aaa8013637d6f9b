"""The load worker with a planted fault, as `plan["fault"]` says: a blocked loop, a shared processor, slow names."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from tasks.load import http_worker
from tasks.load.generator import Generator
from tasks.load.process import Progress, WorkerOutput, serve


def block(every_s: float, for_s: float, *, busy: bool) -> None:
    """Keep the event loop from its work, again and again, on the processor or asleep."""
    started = Generator.__init__

    def start(self: Generator, *args: Any, **kwargs: Any) -> None:
        started(self, *args, **kwargs)
        loop = asyncio.get_running_loop()

        def stop_the_loop() -> None:
            until = time.monotonic() + for_s
            if not busy:
                time.sleep(for_s)
            while time.monotonic() < until:
                pass
            loop.call_later(every_s - for_s, stop_the_loop)

        loop.call_later(every_s, stop_the_loop)

    Generator.__init__ = start  # type: ignore[method-assign] # the planted fault


def stand_still(after_s: float, for_s: float) -> None:
    """Be stopped from outside, once."""
    me = os.getpid()
    steps = f"sleep {after_s}; kill -STOP {me}; sleep {for_s}; kill -CONT {me}"
    subprocess.Popen(["/bin/sh", "-c", steps], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def slow_names(takes_s: float, *, fails_first: bool) -> None:
    """A name service that takes its time, and may fail at first."""
    asked = socket.getaddrinfo
    calls: list[int] = []

    def ask(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        time.sleep(takes_s)
        if fails_first and len(calls) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return asked(*args, **kwargs)

    socket.getaddrinfo = ask


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """The worker's own work, with the fault."""
    fault = plan["fault"]
    if "processors" in fault:
        os.sched_setaffinity(0, fault["processors"])
    if "stand_still" in fault:
        stand_still(**fault["stand_still"])
    if "block" in fault:
        block(**fault["block"])
    if "names" in fault:
        slow_names(**fault["names"])
    return http_worker.work(plan, tell)


if __name__ == "__main__":
    serve(work)
