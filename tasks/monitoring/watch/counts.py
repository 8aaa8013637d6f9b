"""What only ever grows: requests by outcome, their times, events, outages; kept by prometheus_client."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from tasks.monitoring.watch import names

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 4.0, 10.0)
"""Seconds; the limits of api.latency.p95 (50, 200, 500, 1000, 4000 ms) are among them."""


class Counts:
    """The counters of one watch; safe to use from several threads."""

    def __init__(self, environment: str, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each one, of use to nobody here
        self._environment = environment
        self._probes = self._counter(names.PROBES, registry)
        self._events = self._counter(names.EVENTS, registry)
        self._duration = Histogram(
            names.DURATION.name,
            names.DURATION.help,
            (names.ENVIRONMENT, *names.DURATION.labels),
            buckets=BUCKETS,
            registry=registry,
        )

    @staticmethod
    def _counter(family: names.Family, registry: CollectorRegistry) -> Counter:
        return Counter(family.name, family.help, (names.ENVIRONMENT, *family.labels), registry=registry)

    def request(self, area: str, endpoint: str, outcome: str, seconds: float | None) -> None:
        """Count a request to the API; its time where it was answered as expected."""
        self._probes.labels(self._environment, area, endpoint, outcome).inc()
        if seconds is not None:
            self._duration.labels(self._environment, area).observe(seconds)

    def event(self, kind: str) -> None:
        """Count an event of the database."""
        self._events.labels(self._environment, kind).inc()
