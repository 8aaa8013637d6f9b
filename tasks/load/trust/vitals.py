"""What a load generator sees of itself: the processor that it gets, the pauses that it takes, where its target is."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from array import array
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from storage.errors import NotMeasuredError
from tasks.load.wire.address import Address, resolve

Cause = Literal["", "blocked", "starved", "stood"]
"""Why a tick of the event loop came late: `blocked` its own work kept it, `starved` it waited for a processor,
`stood` neither (stopped by a signal, swapped out, asleep in a call)."""

CAUSES: tuple[Cause, ...] = ("", "blocked", "starved", "stood")
PAUSE_NS = 1_000_000
"""A tick later than this is a pause with a cause."""

_SECOND = 1_000_000_000
_SCHEDSTAT = Path("/proc/self/schedstat")
_RETRY_AFTER_S = 0.5


@dataclass(frozen=True)
class Resources:
    """What a process used up to a moment, or between two: elapsed, on a processor, waiting for one, robbed (s)."""

    elapsed_s: float
    cpu_s: float
    run_delay_s: float | None
    stolen_s: float | None = None

    @classmethod
    def read(cls) -> Resources:
        """Up to now; the wait for a processor is the main thread's, and known on Linux alone."""
        return cls(time.monotonic(), time.process_time(), _run_delay_s(), _stolen_s())

    def since(self, earlier: Resources) -> Resources:
        """What was used between two moments."""
        return Resources(
            self.elapsed_s - earlier.elapsed_s,
            self.cpu_s - earlier.cpu_s,
            _minus(self.run_delay_s, earlier.run_delay_s),
            _minus(self.stolen_s, earlier.stolen_s),
        )

    @property
    def cpu_share(self) -> float:
        """Processor time ÷ elapsed time."""
        return self.cpu_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """As a worker reports it."""
        return asdict(self)


def _minus(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def _run_delay_s() -> float | None:
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]) / _SECOND
    except (OSError, IndexError, ValueError):
        return None


def _stolen_s() -> float | None:
    """Seconds, per processor, that the hypervisor gave to others, and that the container's quota withheld."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
        stolen = int(line[8]) / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
    except (OSError, IndexError, ValueError):
        return None
    return stolen + _throttled_s()


def _throttled_s() -> float:
    """0 where there is no quota; version 2 of control groups tells µs, version 1 ns."""
    for path, key, unit in (
        ("/sys/fs/cgroup/cpu.stat", "throttled_usec", 1e6),
        ("/sys/fs/cgroup/cpu/cpu.stat", "throttled_time", 1e9),
    ):
        with suppress(OSError, KeyError, ValueError):
            rows = dict(line.split() for line in Path(path).read_text(encoding="ascii").splitlines())
            return int(rows[key]) / unit
    return 0.0


class Pauses:
    """How late each tick of an event loop came, and why; told by the loop itself, about every 20 ms."""

    def __init__(self) -> None:
        self._file = _SCHEDSTAT.open("rb", buffering=0) if _SCHEDSTAT.exists() else None
        self._cpu_ns, self._delay_ns = time.thread_time_ns(), self._run_delay_ns()
        self.lags_ns = array("q")
        self.causes = array("b")

    def tick(self, lag_ns: int) -> None:
        """Note a tick that came `lag_ns` after its moment."""
        cpu, delay = time.thread_time_ns(), self._run_delay_ns()
        self.lags_ns.append(lag_ns)
        self.causes.append(CAUSES.index(cause_of(lag_ns, cpu - self._cpu_ns, delay - self._delay_ns)))
        self._cpu_ns, self._delay_ns = cpu, delay

    def since(self, first: int) -> dict[str, Any]:
        """The ticks from number `first` on, as a worker reports them: p99, main cause, the longest with its own."""
        lags, causes = self.lags_ns[first:], self.causes[first:]
        if not lags:
            return {"lag_p99_ms": None, "pause_cause": "", "longest_pause_ms": 0.0, "longest_cause": ""}
        totals = dict.fromkeys(CAUSES[1:], 0)
        for lag, code in zip(lags, causes, strict=True):
            if code:
                totals[CAUSES[code]] += lag
        main = max(totals, key=lambda cause: totals[cause])
        longest = max(range(len(lags)), key=lambda number: lags[number])
        return {
            "lag_p99_ms": sorted(lags)[min(len(lags) - 1, int(0.99 * len(lags)))] / 1e6,
            "pause_cause": main if totals[main] else "",
            "longest_pause_ms": lags[longest] / 1e6,
            "longest_cause": CAUSES[causes[longest]],
        }

    def close(self) -> None:
        """Free what the system lent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _run_delay_ns(self) -> int:
        if self._file is None:
            return 0
        return int(os.pread(self._file.fileno(), 128, 0).split()[1])


def cause_of(lag_ns: int, cpu_ns: int, run_delay_ns: int) -> Cause:
    """Why a tick came late: the one of the two that took at least half of the time by which it was late."""
    if lag_ns < PAUSE_NS:
        return ""
    if 2 * max(cpu_ns, run_delay_ns) < lag_ns:
        return "stood"
    return "blocked" if cpu_ns > run_delay_ns else "starved"


def rss_mb() -> float:
    """The most memory that this process ever held, in MB.

    Linux's `ru_maxrss` begins at what the process that started this one held: the status file tells our own.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / (1 << 10)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20) if sys.platform == "darwin" else most / (1 << 10)


def is_own(ip: str) -> bool:
    """Whether an IP address is one of this machine's: only such a one can be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((ip, 0))
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Lookup:
    """What resolving a name took, in ms, and how often the name service had to be asked."""

    took_ms: float
    asked: int


def look_up(address: Address) -> Lookup:
    """Resolve the target's name, twice where the first answer is a failure; `NotMeasuredError` where both are."""
    begun = time.monotonic()
    try:
        resolve(address)
    except NotMeasuredError:
        time.sleep(_RETRY_AFTER_S)
        resolve(address)
        return Lookup((time.monotonic() - begun) * 1e3, 2)
    return Lookup((time.monotonic() - begun) * 1e3, 1)
