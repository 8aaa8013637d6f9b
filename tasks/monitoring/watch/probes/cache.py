"""Asks the cache for a key that is not there, and for its counters; nothing is written, no key is touched."""

from __future__ import annotations

import time

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError
from storage.records import Measurement, Unit
from tasks.components.cache.info import Row, info_row, summed
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.topology import discover
from tasks.load.redis.wire import RedisConnection, ReplyError, parse_info
from tasks.monitoring.watch import names
from tasks.monitoring.watch.probe import Figures, Looked, window
from tasks.monitoring.watch.window import Counters, Samples, share

TIMEOUT_S = 3.0
LOOKUPS = 10.0
"""Lookups a second that a hit ratio needs: the watch's own requests to the API cause about one each second or two."""

_KEY = "hasivu-perf:watch"
_HITS = "INFO stats: keyspace hits ÷ (hits + misses) of all clients over the window, the watch's own lookups left out"
_LATENCY = "watch: client time of single GETs, 95th percentile of its window"


class CacheProbe:
    """See the module, and `tasks.monitoring.watch.probe.Probe`."""

    target = "cache"
    limit_s = TIMEOUT_S * 2

    def __init__(
        self, config: RunConfig, target: Target, *, every_s: float, window_s: float, counters_s: float
    ) -> None:
        if target.redis_url is None:
            raise NotMeasuredError(f"{config.environment.variables.redis_url} is not set: set it to redis[s]://host")
        self.every_s = every_s
        self._address = RedisAddress.parse(target.redis_url.get_secret_value())
        self._connections: list[RedisConnection] = []
        self._samples, self._counters = Samples(window_s), Counters(counters_s)
        self._own_misses = 0

    def look(self, now: float) -> Looked:
        """One GET of a key that is not there, and INFO of every primary."""
        try:
            if not self._connections:
                primaries = discover(self._address, timeout_s=TIMEOUT_S).nodes
                self._connections = [RedisConnection(node, timeout_s=TIMEOUT_S) for node in primaries]
            took = self._get()
            row = self._info()
        except NotMeasuredError:
            self.close()  # who is in charge is asked anew
            raise
        self._samples.add(now, took)
        over = window(self._samples.spans)
        found = [self._samples.p95("cache.latency.p95", over, _LATENCY)]
        if row is None:
            return Looked([*found, _refused(over.seconds)])
        found.append(self._hits(row, now))
        return Looked(found, _figures(row))

    def _get(self) -> float:
        """Time of a lookup in ms; a node of a cluster that does not serve the key's slot answers without one."""
        begin = time.perf_counter()
        reply = self._connections[0].pipeline([("GET", _KEY)])[0]
        took = (time.perf_counter() - begin) * 1000
        self._own_misses += not isinstance(reply, ReplyError)
        return took

    def _info(self) -> Row | None:
        """The counters of all primaries; None where one of them refuses INFO."""
        found = [connection.pipeline([("INFO",)])[0] for connection in self._connections]
        if any(isinstance(reply, ReplyError) for reply in found):
            return None
        at_ns, own = time.time_ns(), (0, self._own_misses)
        return summed([info_row(parse_info(reply), at_ns=at_ns, own=own) for reply in found])

    def _hits(self, row: Row, now: float) -> Measurement:
        hits, misses = row["hits"], row["misses"]
        if hits is None or misses is None:
            return _refused(self._counters.seconds)
        self._counters.add(now, {"hits": hits, "misses": misses, "own": self._own_misses})
        gained, own = self._counters.gained("hits"), self._counters.gained("own")
        whole = gained + max(0.0, self._counters.gained("misses") - own)
        over = window(self._counters.spans)
        needed = LOOKUPS * max(1.0, self._counters.spans)
        why = f"{whole:.0f} lookups within {self._counters.spans:.0f} s, {needed:.0f} are needed"
        enough = whole if whole >= needed else 0
        return share("cache.hits.ratio", gained, enough, window=over, source=_HITS, why_none=why)

    def back(self) -> None:
        """See `Probe.back`."""
        self._samples.clear()
        self._counters.clear()

    def close(self) -> None:
        """See `Probe.close`."""
        for connection in self._connections:
            connection.close()
        self._connections = []


def _refused(seconds: float) -> Measurement:
    return Measurement(
        metric="cache.hits.ratio",
        value=None,
        unit=Unit.RATIO,
        n=0,
        source=_HITS,
        window=window(seconds),
        note="no data: the server does not tell its counters; grant +info to its user",
    )


def _figures(row: Row) -> Figures:
    """Gauges of the row; what the server does not tell is left out, and so is the absence of a limit."""
    told = {
        names.CACHE_MEMORY.name: row["used_memory"],
        names.CACHE_LIMIT.name: row["maxmemory"] or None,
        names.CACHE_CLIENTS.name: row["clients"],
        names.CACHE_EVICTED.name: row["evicted"],
        names.CACHE_HITS.name: row["hits"],
        names.CACHE_MISSES.name: None if row["misses"] is None else max(0, row["misses"] - row["own_misses"]),
    }
    return {name: {} if value is None else {(): float(value)} for name, value in told.items()}
