"""`hasivu-perf watch`: observes a database for as long as one likes, and says what is slow, blocked or lost."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from deployments.parameters import Base
from storage.errors import ConfigurationError, ExitCode, NotMeasuredError, UsageError

if TYPE_CHECKING:
    from tasks.load.database.session import Server
    from tasks.monitoring.database_watch import DatabaseWatch


def watch(
    environment: Base | None = None,
    *,
    dsn: Annotated[
        str | None, Parameter(help="postgresql://user:password@host:port/dbname instead of an environment.")
    ] = None,
    slow_ms: Annotated[float, Parameter(help="Statements that take longer are told.")] = 100.0,
    repeat: Annotated[float, Parameter(help="Seconds in which a statement is told once.")] = 60.0,
    duration: Annotated[float | None, Parameter(help="Seconds to watch; without it until Ctrl-C.")] = None,
    json: Annotated[bool, Parameter(name="--json", help="One JSON object a line on standard output.")] = False,
    file: Annotated[Path | None, Parameter(help="Append the events to this file as JSON lines, too.")] = None,
    prefect: Annotated[bool, Parameter(help="Send the events to the server of PREFECT_API_URL, too.")] = False,
) -> ExitCode:
    """Watch a database at less than 0.2 % of a core; statements are told without their constants.

    Exit codes: 0 the duration is over, 2 wrong usage, 3 the database never answered, 130 interrupted.
    """
    from tasks.monitoring.database_watch import KINDS, DatabaseWatch, JsonLines, Limits

    if not slow_ms > 0 or not repeat >= 0 or (duration is not None and not duration > 0):
        raise UsageError("--slow-ms and --duration must be above 0, --repeat not below")
    server = _server(environment, dsn)
    told = [JsonLines(sys.stdout) if json else _say]
    if prefect:
        told.append(_to_prefect())
    with ExitStack() as stack:
        if file is not None:
            told.append(JsonLines(stack.enter_context(_opened(file))))
        watching = DatabaseWatch(server, Limits(slow_ms=slow_ms, repeat_s=repeat))
        for kind in KINDS:
            for listener in told:
                watching.listeners.add(kind, listener)
        stack.enter_context(watching)
        _hold(watching, duration)
    if not watching.status.looks:
        raise NotMeasuredError(f"database {server.shown} did not answer in {duration:g} s: nothing was watched")
    return ExitCode.PASS


def _server(environment: str | None, dsn: str | None) -> Server:
    """The database that is meant: exactly one of the two names it."""
    from deployments.config import load_environment
    from tasks.load.database.session import parse

    if (environment is None) == (dsn is None):
        raise UsageError("name either an environment or --dsn")
    variable = "--dsn"
    if environment is not None:
        variable = load_environment(environment).variables.database_url
        dsn = os.environ.get(variable)
    if not dsn:
        raise ConfigurationError([f"{variable} is not set: set it to postgresql://user:password@host:5432/dbname"])
    try:
        return parse(dsn, variable)
    except NotMeasuredError as error:
        raise UsageError(str(error)) from None


def _hold(watching: DatabaseWatch, duration: float | None) -> None:
    """Wait, and say once what the role or the server keeps from being seen."""
    head = 2.0 if duration is None else min(2.0, duration)
    watching.wait(head)
    for note in watching.status.notes:
        sys.stderr.write(f"note: {note}\n")
    watching.wait(None if duration is None else duration - head)


def _say(event: Any) -> None:
    from tasks.monitoring.database_watch import words
    from tasks.monitoring.live import to_terminal
    from tasks.report.text import one_line

    to_terminal(f"{event.at:%H:%M:%S} {one_line(words(event))}")


def _to_prefect() -> Any:
    if not os.environ.get("PREFECT_API_URL"):
        raise UsageError("--prefect needs PREFECT_API_URL: set it to the address of a Prefect server")
    from tasks.monitoring.notify import observed

    def send(event: Any) -> None:
        observed(f"hasivu.database.{event.event}", f"hasivu.database.{event.database}", event.model_dump(mode="json"))

    return send


def _opened(file: Path) -> Any:
    try:
        return file.open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
