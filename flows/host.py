"""What stands around a run of the command line: the guardian, the embedded platform, a Prefect server, signals."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deployments.config import RunConfig, missing_variables
from storage.errors import ConfigurationError

QUIET = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "DO_NOT_TRACK": "1",
}
"""Prefect's own words stay out of the terminal: the live view and the verdict say what a person needs."""


def needs_platform(config: RunConfig, variables: Mapping[str, str] = os.environ) -> bool:
    """Whether the embedded platform stands in for the environment.

    It does with `--local`, and where the environment's file allows it and none of its addresses is set. A variable
    that is missing beside others that are set is an error, not a reason to measure something else.
    """
    if config.local:
        return True
    missing = missing_variables(config, variables)
    if not missing:
        return False
    names = config.environment.variables.model_dump().values()
    if config.environment.embedded and not any(variables.get(name) for name in names):
        return True
    raise ConfigurationError([f"{name} is not set; set it, or use --local" for name in missing])


@contextmanager
def hosted(config: RunConfig, say: Callable[[str], None], *, prefect: bool = True) -> Iterator[bool]:
    """Within the block, the environment's variables name a live target and PREFECT_API_URL a live server.

    Yields whether the embedded platform is the target. Whatever was started ends with the block, or with this
    process.
    """
    embedded = needs_platform(config)
    server = prefect and not os.environ.get("PREFECT_API_URL")
    with ExitStack() as stack:
        if embedded or server:
            _start(stack, config, say, embedded=embedded, server=server)
        if prefect:
            os.environ.update(QUIET)
        yield embedded


def _start(stack: ExitStack, config: RunConfig, say: Callable[[str], None], *, embedded: bool, server: bool) -> None:
    from deployments.local.guardian import Guardian  # noqa: PLC0415 - not needed against a real environment
    from deployments.local.orchestrator import start_server  # noqa: PLC0415
    from deployments.local.platform import platform  # noqa: PLC0415

    pool = stack.enter_context(ThreadPoolExecutor(max_workers=2))
    pending = None
    if server:
        folder = Path(tempfile.mkdtemp(prefix="hasivu-perf-"))
        guardian = stack.enter_context(Guardian(folder))
        own = {
            "PREFECT_HOME": str(folder / "client"),
            "PREFECT_LOCAL_STORAGE_PATH": str(folder / "results"),
            "PREFECT_LOGGING_TO_API_ENABLED": "false",  # nobody can read the logs of a server that ends with the run
        }
        stack.enter_context(variables(own))
        pending = pool.submit(start_server, guardian)
    if embedded:
        say("starting the embedded platform (the first time takes longer: its data is made)")
        running = stack.enter_context(platform())
        stack.enter_context(variables(platform_variables(config, running.environment)))
    if pending is not None:
        stack.enter_context(variables({"PREFECT_API_URL": pending.result()}))


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
