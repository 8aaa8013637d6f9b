"""What stands around a run of the command line: the guardian, the embedded platform, a Prefect server, signals."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from deployments.config import RunConfig, needs_platform
from deployments.hosting.folders import temporary_runtime
from deployments.hosting.guardian import Guardian
from deployments.local.orchestrator import SERVER, start_server
from deployments.local.platform import platform

QUIET = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # the run's own server, or the one that is named; never a third
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "DO_NOT_TRACK": "1",
}
"""Prefect's own words stay out of the terminal: the live view and the verdict say what a person needs."""


@dataclass(frozen=True)
class Host:
    """What stands around a run: whether the embedded platform is its target, and who owns what was started."""

    embedded: bool
    guardians: tuple[Guardian, ...] = ()
    serves: bool = False

    def let_go(self) -> None:
        """Begin to end the embedded platform, which nothing measures any more; the block waits until it is gone."""
        for guardian in self.guardians[1:]:
            threading.Thread(target=guardian.close, name="let-go", daemon=True).start()

    def check(self) -> None:
        """Raise `LocalPlatformError` where something that the run cannot do without has ended."""
        for guardian in self.guardians:
            guardian.alive()
        if self.serves:
            self.guardians[0].check(SERVER)


@contextmanager
def hosted(config: RunConfig, say: Callable[[str], None], *, prefect: bool = True) -> Iterator[Host]:
    """Within the block, the environment's variables name a live target and PREFECT_API_URL a live server.

    Whatever was started ends with the block, or with this process. Platform, server and the slow imports of the
    pipeline come up side by side.
    """
    embedded = needs_platform(config)
    server = prefect and not os.environ.get("PREFECT_API_URL")
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="host"))
        guardian = _guardian(stack)
        address = pool.submit(start_server, guardian) if server else None
        if server:
            stack.enter_context(variables(_server_variables(guardian.folder)))
        if prefect:
            os.environ.update(QUIET)
            imported = _imported_aside("flows.pipeline")
        guardians = [guardian]
        if embedded:
            say("starting the embedded platform (the first time takes longer: its data is made)")
            running = stack.enter_context(platform())
            guardians.append(running.guardian)
            stack.enter_context(variables(platform_variables(config, running.environment)))
        if address is not None:
            stack.enter_context(variables({"PREFECT_API_URL": address.result()}))
        if prefect:
            imported.result()  # two threads that import it at once meet half of it
        yield Host(embedded, tuple(guardians), serves=server)


def _imported_aside(module: str) -> Future[object]:
    """A module that a thread imports for which nobody waits: a start that is interrupted ends before that is done."""
    imported: Future[object] = Future()

    def work() -> None:
        try:
            imported.set_result(import_module(module))
        except BaseException as error:  # noqa: BLE001 - who asks for the module raises it
            imported.set_exception(error)

    threading.Thread(target=work, name="import", daemon=True).start()
    return imported


def _guardian(stack: ExitStack) -> Guardian:
    """Who owns what this run starts, and its folder: however the run ends, that folder and all in it goes.

    Prefect's client, its results and every temporary file lie there.
    """
    folder = temporary_runtime()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)  # a thread may have written after the guardian ended
    guardian = stack.enter_context(Guardian(folder))
    temporary = folder / "tmp"
    temporary.mkdir(mode=0o700)
    stack.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
    tempfile.tempdir = str(temporary)
    return guardian


def _server_variables(folder: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(folder / "client"),
        "PREFECT_LOCAL_STORAGE_PATH": str(folder / "results"),
        "PREFECT_LOGGING_TO_API_ENABLED": "false",  # nobody can read the logs of a server that ends with the run
    }


def platform_variables(config: RunConfig, of_platform: Mapping[str, str]) -> dict[str, str]:
    """The platform's addresses under the names that this environment's file asks for."""
    names = config.environment.variables
    renamed = {
        "DEVELOPMENT_API_URL": names.api_url,
        "DEVELOPMENT_WS_URL": names.ws_url,
        "DEVELOPMENT_REDIS_URL": names.redis_url,
        "DEVELOPMENT_DATABASE_URL": names.database_url,
    }
    return {renamed.get(name, name): value for name, value in of_platform.items()}


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables within the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
