"""`/metrics`: what is on the board in Prometheus' text format; it asks no target, so no target can hold it up."""

from __future__ import annotations

import hmac
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from storage.errors import UsageError
from storage.records import Threshold
from tasks.monitoring.watch import names
from tasks.monitoring.watch.alarm import Alarm
from tasks.monitoring.watch.board import Board, Known

TOKEN = "HASIVU_WATCH_TOKEN"  # noqa: S105 - the name of a variable
"""Variable with the token that a reader of `/metrics` must show where it is not on the loopback alone."""

Values = Mapping[tuple[str, ...], float]
"""Values by those of the labels besides `environment`."""

_LOG = logging.getLogger("hasivu.watch")
_SHORTEST = 16
_TIMEOUT_S = 5.0


class BoardCollector(Collector):
    """The gauges of one environment, made anew for each reader."""

    def __init__(
        self, environment: str, version: str, board: Board, alarm: Alarm, thresholds: Mapping[str, Threshold]
    ) -> None:
        self._environment, self._version = environment, version
        self._board, self._alarm, self._thresholds = board, alarm, thresholds

    def collect(self) -> Iterable[Metric]:
        """Every family; one without a value has no series."""
        now = time.monotonic()
        known = self._board.known()
        yield from self._measured(known, now)
        yield from self._targets(now)
        firing = self._alarm.firing
        alerts: Values = {(rule.name, rule.severity): float(rule.name in firing) for rule in self._alarm.rules}
        yield self._family(names.FIRING, alerts)
        yield self._family(names.INFO, {(self._version,): 1.0})
        figures = self._board.figures()
        for family in names.OTHERS:
            if family.name in figures:
                yield self._family(family, figures[family.name])

    def _measured(self, known: Mapping[str, Known], now: float) -> Iterator[Metric]:
        """Each metric of the thresholds that is watched, and its evidence."""
        here = {metric: threshold for metric, threshold in self._thresholds.items() if metric in known}
        for metric, threshold in here.items():
            value, family = known[metric].measurement.value, names.of_thresholds([threshold])[0]
            given: Values = {} if value is None else {(): names.exported_value(value, threshold.unit)}
            yield self._family(family, given)
        has = {metric: known[metric].measurement for metric in here}
        yield self._family(
            names.MEASURED, {(metric,): float(one.value is not None) for metric, one in has.items() if not one.idle}
        )
        yield self._family(names.SAMPLES, {(metric,): float(one.n) for metric, one in has.items()})
        yield self._family(names.AGE, {(metric,): now - known[metric].at for metric in here})

    def _targets(self, now: float) -> Iterator[Metric]:
        targets = self._board.targets()
        answers = {name: target.answers(now) for name, target in targets.items()}
        yield self._family(names.UP, {(name,): float(up) for name, up in answers.items() if up is not None})
        yield self._family(names.OUTAGES, {(name,): float(one.outages) for name, one in targets.items()})

    def _family(self, family: names.Family, values: Values) -> Metric:
        labels = (names.ENVIRONMENT, *family.labels)
        made: CounterMetricFamily | GaugeMetricFamily
        make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        made = make(family.name, family.help, labels=labels)
        for given, value in values.items():
            made.add_metric((self._environment, *given), value)
        return made


def registry_of(*collectors: Collector) -> CollectorRegistry:
    """A registry of these collectors and of this process."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    for one in collectors:
        registry.register(one)
    return registry


def place_of(listen: str, token: str | None) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; `UsageError` where it is none, or is open to others without a token."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - ports have 16 bits
        raise UsageError(f"--listen {listen}: give it the form HOST:PORT, such as 127.0.0.1:9464")
    if not _is_loopback(host) and len(token or "") < _SHORTEST:
        raise UsageError(
            f"--listen {listen} is open to others: set {TOKEN} to a token of {_SHORTEST} characters or more"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Exporter:
    """A server of `/metrics` and `/-/healthy` in threads of its own; `port` is the one that it listens on."""

    def __init__(self, registry: CollectorRegistry, place: tuple[str, int], token: str | None) -> None:
        """Listen; `UsageError` where the address cannot be had."""
        handler = _handler(registry, token)
        try:
            self._server = _Server(place, handler)
        except OSError as error:
            raise UsageError(f"--listen {place[0]}:{place[1]} cannot be had: {error.strerror}") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.25}, name="watch-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell the log alone: the base class writes a traceback to the terminal where a reader goes away."""
        del request, client_address
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.WARNING
        _LOG.log(level, "an answer to a reader of /metrics failed: %s", type(error).__name__)


def _handler(registry: CollectorRegistry, token: str | None) -> Callable[..., BaseHTTPRequestHandler]:
    expected = None if token is None else f"Bearer {token}".encode()

    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S
        server_version = "hasivu-perf"
        sys_version = ""

        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "").encode("latin-1", "replace")
            if expected is not None and not hmac.compare_digest(given, expected):
                self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", b"a token is needed\n")
            elif self.path == "/-/healthy":
                self._answer(HTTPStatus.OK, "text/plain", b"ok\n")
            elif self.path.partition("?")[0] == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, kind, encode(registry))
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics\n")

        def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if status is HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
            """Nothing: a scrape every few seconds is no news."""

    return Handler
