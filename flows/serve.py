"""`hasivu-perf serve` and `setup`: a Prefect server with everything of ours on it, here or where it runs already."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from deployments.hosting.folders import temporary_runtime
from deployments.hosting.guardian import Guardian
from deployments.local import held
from deployments.local.platform import answers, platform
from deployments.local.target import stand_in
from deployments.parameters import EMBEDDED
from flows.host import variables
from storage.errors import ExitCode, LocalPlatformError, UsageError
from tasks.monitoring.live import to_terminal

POOL = "hasivu-perf"
_CHECK_S = 0.5
_ONLINE_S = 60.0


def setup() -> ExitCode:
    """Set up the server that PREFECT_API_URL names; one line for each thing, a second time all of them unchanged."""
    from deployments.server import connected, set_up

    with connected() as client:
        for outcome in set_up(client):
            to_terminal(str(outcome))
    return ExitCode.PASS


def serve(*, local: bool, port: int) -> ExitCode:
    """Hold a server, its set-up and a worker until SIGINT or SIGTERM; with `local`, the embedded platform too."""
    kept = held.home()
    _refuse_taken(port)
    with held.locked(kept), ExitStack() as stack:
        guardian, target = _start(stack, kept, local=local, port=port)
        to_terminal(_words(kept, port, target))
        try:
            while True:
                time.sleep(_CHECK_S)
                guardian.check("prefect")
                guardian.check("worker")
        except KeyboardInterrupt:
            to_terminal("ending")
            return ExitCode.PASS


def _start(stack: ExitStack, kept: held.Home, *, local: bool, port: int) -> tuple[Guardian, Mapping[str, str]]:
    """Start everything, server and platform side by side; the worker comes last and ends first."""
    address = f"http://127.0.0.1:{port}/api"
    pool = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="serve"))
    guardian = stack.enter_context(_guardian())
    server = pool.submit(held.start_server, guardian, kept, port)
    stack.enter_context(variables({"PREFECT_API_URL": address, "PREFECT_HOME": str(kept.client), **held.QUIET}))
    _say("starting the Prefect server" + (" and the embedded platform" if local else ""))
    target = stand_in(stack.enter_context(platform())) if local else {}
    stack.callback(guardian.close)  # before the platform, which a run may be measuring
    from deployments import server as prefect_server  # while the server starts: it takes seconds too

    server.result()
    with prefect_server.connected() as client:
        for outcome in prefect_server.set_up(client):
            if outcome.what != "unchanged":
                _say(str(outcome))
        held.start_worker(guardian, kept, POOL, held.worker_variables(kept, address, target))
        until = time.monotonic() + _ONLINE_S
        while not prefect_server.worker_online(client, POOL):
            guardian.check("worker")
            if time.monotonic() > until:
                raise LocalPlatformError(f"the worker was not online within {_ONLINE_S:.0f} s: see {kept.logs}")
            time.sleep(_CHECK_S)
    return guardian, target


@contextmanager
def _guardian() -> Iterator[Guardian]:
    folder = temporary_runtime()
    try:
        with Guardian(folder) as guardian:
            yield guardian
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return
    who = "a Prefect server answers" if answers(port, "/api/health") else "another program listens"
    raise UsageError(f"{who} at http://127.0.0.1:{port} already: end it, or take another port by --port")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _words(kept: held.Home, port: int, target: Mapping[str, str]) -> str:
    address = f"http://127.0.0.1:{port}"
    embedded = target.get(EMBEDDED, "").replace(",", ", ")
    lines = [
        f"The Prefect UI is at {address}",
        f"  to start a run    {address}/deployments, choose one, Run > Custom run",
        f"  results           {kept.output}",
        f"  logs              {kept.logs}",
        *([f"  on the embedded platform: {embedded}"] if embedded else []),
        f"  in other shells   export PREFECT_API_URL={address}/api",
        "It runs until Ctrl-C.",
    ]
    return "\n".join(lines)
