"""The watch of one environment: a thread for each probe, one that evaluates the alerts, and those of `/metrics`.

    with Watch(config, target) as watch:
        watch.wait(None)

It ends within `STOP_S`. What a target does (an outage, a restart, an answer that trickles) is that target's alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from deployments.config import RunConfig, Target
from deployments.masking import describe, secrets_of
from storage.errors import HasivuError
from storage.version import code_version
from tasks.load.database.session import parse
from tasks.monitoring.database_watch import KINDS, DatabaseWatch, Event, Limits
from tasks.monitoring.database_watch.watchdog import LazyWatchdog
from tasks.monitoring.watch.alarm import Alarm, Alert
from tasks.monitoring.watch.board import Board
from tasks.monitoring.watch.counts import Counts
from tasks.monitoring.watch.exporter import BoardCollector, registry_of
from tasks.monitoring.watch.memory import Memory
from tasks.monitoring.watch.probe import Probe, Runner
from tasks.monitoring.watch.probes.api import ApiProbe
from tasks.monitoring.watch.probes.cache import CacheProbe
from tasks.monitoring.watch.probes.functions import FunctionsProbe
from tasks.monitoring.watch.probes.reads import ReadsProbe
from tasks.monitoring.watch.probes.runs import RunsProbe
from tasks.monitoring.watch.probes.sessions import Sessions
from tasks.monitoring.watch.probes.websocket import WebsocketProbe
from tasks.monitoring.watch.rules import DOWN_FOR_S, rules

STOP_S = 3.0
"""How long `stop` takes, at most."""

_LOG = logging.getLogger("hasivu.watch")


@dataclass(frozen=True)
class Pace:
    """How often is looked, and over how long a time a figure speaks; seconds.

    A window of two minutes is shorter than half of what an alert needs (`for_s`), so that one failure never fires.
    """

    probe_s: float = 2.0
    window_s: float = 120.0
    counters_s: float = 300.0
    connects_s: float = 300.0
    functions_s: float = 900.0
    functions_window_s: float = 3 * 3600.0
    runs_s: float = 30.0
    evaluate_s: float = 1.0
    down_for_s: float = DOWN_FOR_S


class Watch:
    """Watches what the target has an address for; `listeners` are called in threads of the watch."""

    def __init__(
        self,
        config: RunConfig,
        target: Target,
        *,
        output: str = ".",
        pace: Pace | None = None,
        limits: Limits | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Nothing is asked before `start`. `memory` has the alerts of the last watch, and is closed with this one."""
        self.config = config
        self.pace = pace or Pace()
        self._secrets = secrets_of(target)
        self.listeners: list[Callable[[Alert | Event], None]] = []
        self._watchdog = LazyWatchdog()
        environment = config.environment.name
        self._gathering = CollectorRegistry(auto_describe=False)
        self._counts = Counts(environment, self._gathering)
        probes = self._probes(target, output)
        self.board = Board([probe.target for probe in probes])
        self.alarm = Alarm(
            environment, rules(config.thresholds, [probe.target for probe in probes], down_for_s=self.pace.down_for_s)
        )
        self._memory = memory
        if memory is not None:
            self.alarm.restore(memory.firing)
        self._runners = [Runner(probe, self.board, self._described) for probe in probes]
        self._database = self._sessions(target, limits)
        thresholds = {one.metric: one for one in config.thresholds}
        shown = BoardCollector(environment, code_version(), self.board, self.alarm, thresholds)
        self.registry = registry_of(shown, self._gathering)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._evaluate, name="watch-alarm", daemon=True)
        self._error = ""
        self.failed = 0
        """How often a listener raised."""

    def _probes(self, target: Target, output: str) -> list[Probe]:
        config, pace, environment = self.config, self.pace, self.config.environment
        usual = {"every_s": pace.probe_s, "window_s": pace.window_s}
        found: list[Probe] = []
        if target.api_url is not None:
            found.append(ApiProbe(config, target, self._counts, **usual))
        if target.database_url is not None:
            server = parse(target.database_url.get_secret_value(), environment.variables.database_url)
            found.append(ReadsProbe(environment.database, server, self._watchdog, **usual))
        if target.redis_url is not None:
            found.append(CacheProbe(config, target, **usual, counters_s=pace.counters_s))
        if target.ws_url is not None:
            found.append(WebsocketProbe(config, target, **usual, connects_s=pace.connects_s))
        if target.aws_region is not None:
            settings = environment.lambda_functions
            found.append(FunctionsProbe(settings, target, every_s=pace.functions_s, window_s=pace.functions_window_s))
        return [*found, RunsProbe(environment.name, output, every_s=pace.runs_s)]

    def _sessions(self, target: Target, limits: Limits | None) -> DatabaseWatch | None:
        if target.database_url is None:
            return None
        server = parse(target.database_url.get_secret_value(), self.config.environment.variables.database_url)
        saw = Sessions(self.config.environment.database, self.board, window_s=self.pace.window_s)
        watch = DatabaseWatch(server, limits, saw=saw)
        for kind in KINDS:
            watch.listeners.add(kind, self._observed)
        return watch

    def start(self) -> None:
        """Begin to watch; returns at once."""
        for runner in self._runners:
            runner.start()
        if self._database is not None:
            self._database.start()
        self._thread.start()

    def stop(self) -> None:
        """End within `STOP_S`; a look that hangs is left behind."""
        until = time.monotonic() + STOP_S
        self._stop.set()
        for runner in self._runners:
            runner.stop()
        if self._database is not None:
            self._database.stop()
        for runner in self._runners:
            runner.join(max(0.0, until - time.monotonic()))
        self._watchdog.close()
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._memory is not None:
            self._memory.close()

    def wait(self, seconds: float | None) -> None:
        """Wait while it watches, for so long at most; a `HasivuError` where it broke by a mistake of its own."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._stop.is_set():
            left = 0.5 if until is None else min(0.5, until - time.monotonic())
            if left <= 0:
                return
            time.sleep(left)
            errors = [self._error, *(runner.error for runner in self._runners)]
            if broken := next(filter(None, errors), ""):
                raise HasivuError(broken)
            if self._database is not None:
                self._database.wait(0)

    @property
    def notes(self) -> Sequence[str]:
        """What the role or the server of the database keeps from being seen, and what became of the last alerts."""
        kept = (self._memory.note,) if self._memory is not None and self._memory.note else ()
        return (*kept, *(() if self._database is None else self._database.notes))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _described(self, error: BaseException) -> str:
        return describe(error, self._secrets)

    def _evaluate(self) -> None:
        try:
            while not self._stop.wait(self.pace.evaluate_s):
                now, at = time.monotonic(), datetime.now(UTC)
                changed = self.alarm.evaluate(self.board.targets(), self.board.known(), now, at)
                for alert in changed:
                    self._tell(alert)
                if changed and self._memory is not None:
                    self._memory.keep(self.alarm.since)
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to: `wait` does it
            self._error = self._described(error)

    def _observed(self, event: Event) -> None:
        self._counts.event(event.event)
        self._tell(event)

    def _tell(self, told: Alert | Event) -> None:
        for listener in self.listeners:
            try:
                listener(told)
            except Exception as error:  # noqa: BLE001 - whatever a listener raises, the others are called
                self.failed += 1
                _LOG.warning("a listener of the watch raised %s; it stays registered", type(error).__name__)
