"""`hasivu-perf watch`: observes an environment, or one database, as long as one likes, and tells what is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from deployments.parameters import Base
from flows.watch_tell import Tell, check_channels, check_prefect, to_channels, to_prefect
from storage.errors import ExitCode, NotMeasuredError, UsageError

if TYPE_CHECKING:
    from deployments.config import RunConfig, Target
    from tasks.monitoring.database_watch import DatabaseWatch, Limits
    from tasks.monitoring.watch.memory import Memory
    from tasks.monitoring.watch.view import View
    from tasks.monitoring.watch.watch import Watch


def watch(
    environment: Base | None = None,
    *,
    dsn: Annotated[
        str | None, Parameter(help="postgresql://user:password@host:port/dbname instead of an environment.")
    ] = None,
    components: Annotated[list[str] | None, Parameter(consume_multiple=1, help="Only these components.")] = None,
    listen: Annotated[
        str | None, Parameter(help="HOST:PORT of /metrics, such as 127.0.0.1:9464; another host needs a token.")
    ] = None,
    output: Annotated[str, Parameter(help="Folder or s3:// bucket of the runs whose figures are shown.")] = ".",
    slow_ms: Annotated[float, Parameter(help="Statements that take longer are told.")] = 100.0,
    repeat: Annotated[float, Parameter(help="Seconds in which a statement is told once.")] = 60.0,
    duration: Annotated[float | None, Parameter(help="Seconds to watch; without it until Ctrl-C.")] = None,
    local: Annotated[bool, Parameter(help="Let the embedded platform stand in for the environment.")] = False,
    json: Annotated[bool, Parameter(name="--json", help="One JSON object a line on standard output.")] = False,
    file: Annotated[Path | None, Parameter(help="Append events and alerts to this file as JSON lines, too.")] = None,
    state: Annotated[
        Path | None, Parameter(help="File that keeps what fires over a restart; by default one of this user.")
    ] = None,
    prefect: Annotated[
        bool, Parameter(help="Send events and alerts to the server of PREFECT_API_URL, which tells the channels.")
    ] = False,
    notify: Annotated[
        bool, Parameter(help="Tell alerts to the channels of HASIVU_NOTIFY_… without a server.")
    ] = False,
) -> ExitCode:
    """Watch an environment for less than 1 % of a core: database, cache, API, WebSocket and functions, and its runs.

    Alerts by deployments/thresholds.toml, each once when it begins and once when it ends; /metrics for Prometheus
    with --listen. With --dsn one database alone. Statements are told without their constants.

    Exit codes: 0 the duration is over, 2 wrong usage, 3 the database never answered, 130 interrupted.
    """
    from tasks.monitoring.database_watch import JsonLines, Limits

    if not slow_ms > 0 or not repeat >= 0 or (duration is not None and not duration > 0):
        raise UsageError("--slow-ms and --duration must be above 0, --repeat not below")
    if (environment is None) == (dsn is None):
        raise UsageError("name either an environment or --dsn")
    asked = _Asked(Limits(slow_ms=slow_ms, repeat_s=repeat), duration, listen, output, json)
    with ExitStack() as stack:
        told: list[Tell] = [JsonLines(sys.stdout)] if json else []
        if file is not None:
            told.append(JsonLines(stack.enter_context(_opened(file))))
        if prefect:
            check_prefect()  # before an address is asked for, like the channels
        if notify:
            check_channels()
        config = None if environment is None else _config(environment, components, local=local)
        memory = None if config is None else _memory(config, state)
        if memory is not None:
            stack.callback(memory.close)
        if prefect:
            told.append(to_prefect(stack, memory))
        if notify:
            told += to_channels(stack, memory)
        if config is None:
            _watch_database(dsn or "", told, asked)
        else:
            _watch_environment(config, _target(config, stack), told, asked, memory)
    return ExitCode.PASS


def _config(environment: str, components: list[str] | None, *, local: bool) -> RunConfig:
    from deployments.config import build_config

    return build_config(environment, components=tuple(components or ()), local=local)


def _target(config: RunConfig, stack: ExitStack) -> Target:
    """The addresses of the components that are watched, and no others."""
    from deployments.config import NEEDS, needs_platform, resolve_target
    from flows.host import hosted
    from storage.records import ComponentId

    if needs_platform(config):
        stack.enter_context(hosted(config, lambda text: print(text, file=sys.stderr), prefect=False))  # noqa: T201
    target = resolve_target(config)
    looked_at = [one for one in config.components if one is not ComponentId.RFID]  # its figures are the newest run's
    wanted = {need for component in looked_at for need in NEEDS[component]}
    unwanted = {"api_url", "ws_url", "redis_url", "database_url"} - wanted
    changes: dict[str, None] = dict.fromkeys(unwanted)
    if ComponentId.LAMBDA not in config.components:
        changes["aws_region"] = None
    return target.model_copy(update=changes)


@dataclass(frozen=True)
class _Asked:
    """What the command was asked for besides."""

    limits: Limits
    duration: float | None
    listen: str | None
    output: str
    json: bool


def _watch_environment(
    config: RunConfig, target: Target, told: list[Tell], asked: _Asked, memory: Memory | None
) -> None:
    from tasks.monitoring.watch.exporter import TOKEN, Exporter, place_of
    from tasks.monitoring.watch.view import View
    from tasks.monitoring.watch.watch import Watch

    token = os.environ.get(TOKEN) or None
    place = None if asked.listen is None else place_of(asked.listen, token)
    watching = Watch(config, target, output=asked.output, limits=asked.limits, memory=memory)
    view = View(watching.board, watching.alarm, config.thresholds)
    watching.listeners += told if asked.json else [_shown_by(view), *told]
    with ExitStack() as stack:
        if place is not None:
            exporter = Exporter(watching.registry, place, token)
            stack.callback(exporter.close)
            view.say(f"metrics: http://{place[0]}:{exporter.port}/metrics")
        stack.enter_context(view)
        stack.enter_context(watching)
        for note in _of_rights(config, target):
            view.say(f"note: {note}")
        _hold(watching, asked.duration, view.say)


def _of_rights(config: RunConfig, target: Target) -> Iterator[str]:
    """What the logins may do beyond measuring; asked while the watch is at work already, for a target may be slow."""
    from tasks import guard
    from tasks.components import COMPONENTS

    for component in config.components:
        yield from guard.warnings_of(COMPONENTS[component], config, target)


def _memory(config: RunConfig, state: Path | None) -> Memory | None:
    """Where alerts are kept over a restart; of an embedded platform, which ends with the watch, nowhere."""
    from deployments.config import needs_platform
    from tasks.monitoring.watch.memory import Memory, memory_file

    if state is None and needs_platform(config):
        return None
    name = config.environment.name
    return Memory(state or memory_file(name), name)


def _watch_database(dsn: str, told: list[Tell], asked: _Asked) -> None:
    from tasks.load.database.session import parse
    from tasks.monitoring.database_watch import KINDS, DatabaseWatch

    try:
        server = parse(dsn, "--dsn")
    except NotMeasuredError as error:
        raise UsageError(str(error)) from None
    watching = DatabaseWatch(server, asked.limits)
    for kind in KINDS:
        for listener in told if asked.json else [_say, *told]:
            watching.listeners.add(kind, listener)
    with watching:
        _hold(watching, asked.duration, lambda text: print(text, file=sys.stderr))  # noqa: T201
    if not watching.status.looks:
        raise NotMeasuredError(f"database {server.shown} did not answer in {asked.duration:g} s: nothing was watched")


def _hold(watching: DatabaseWatch | Watch, duration: float | None, say: Callable[[str], None]) -> None:
    """Wait, and say once what the role or the server keeps from being seen."""
    head = 2.0 if duration is None else min(2.0, duration)
    watching.wait(head)
    for note in watching.notes:
        say(f"note: {note}")
    watching.wait(None if duration is None else duration - head)


def _shown_by(view: View) -> Tell:
    """Alerts and events beside the table, or on standard output where nobody sees a table."""

    def show(told: Any) -> None:
        if view.live:
            view.say(_words(told), getattr(told, "severity", ""))
        else:
            _say(told)

    return show


def _say(told: Any) -> None:
    from tasks.monitoring.live import to_terminal
    from tasks.report.text import one_line

    to_terminal(f"{told.at:%H:%M:%S} {one_line(_words(told))}")


def _words(told: Any) -> str:
    from tasks.monitoring.database_watch import words
    from tasks.monitoring.watch.alarm import Alert

    if isinstance(told, Alert):
        return f"{told.severity if told.event == 'firing' else 'resolved'}: {told.words}"
    return words(told)


def _opened(file: Path) -> Any:
    try:
        return file.open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
