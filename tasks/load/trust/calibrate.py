"""Calibration: the generator measures a server whose truth is known, by the same wire and pool as its target.

The server is a child process on this machine (`calibrate_server`), asleep during the load. What is measured is
received − sent; what is known is what the server took by its own clock; their difference is the generator's error.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from storage.errors import NotMeasuredError
from tasks.load.pacer import Pacer
from tasks.load.wire.http import Scanner
from tasks.load.wire.pool import Pending, Pool
from tasks.load.wire.wire import Place

REQUESTS = 50
DELAY_MS = 2.0
SHORTEST_S = 10.0
"""A load that is shorter is not calibrated: it would take as long as a tenth of the load."""

_FASTEST, _SLOWEST = 500.0, 100.0
_START_S = 3.0
_TAKES_NS = 2_000_000_000
_TIMEOUT_S = 0.5
_CONNECTIONS = 8
_SERVER = Path(__file__).with_name("calibrate_server.py")
_ASK = b"GET / HTTP/1.1\r\nHost: calibration\r\n\r\n"


@dataclass(frozen=True)
class Calibration:
    """|measured − known| over `n` answers, in ms."""

    n: int
    median_ms: float
    p90_ms: float


@asynccontextmanager
async def known_server() -> AsyncIterator[int]:
    """The port of a server whose truth is known; it ends with the block. `NotMeasuredError` where it cannot start."""
    command = [sys.executable, "-I", "-S", str(_SERVER), str(DELAY_MS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - forks
        try:
            yield await asyncio.wait_for(asyncio.to_thread(_port, process), _START_S)
        except TimeoutError:
            raise NotMeasuredError("the calibration's server did not start: is the machine overloaded?") from None
        finally:
            process.kill()


def _port(process: subprocess.Popen[str]) -> int:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line.strip().isdecimal():
        raise NotMeasuredError("the calibration's server did not start: is the machine out of ports or memory?")
    return int(line)


async def calibrate(port: int, rate: float) -> Calibration:
    """Ask a known server at a rate (kept between 100/s and 500/s), for half a second at most.

    `NotMeasuredError` where it does not answer in time.
    """
    loop = asyncio.get_running_loop()
    errors_ms: list[float] = []

    def ended(pending: Pending, at_ns: int, _seen: int, error: str | None, answer: Scanner | None) -> None:
        if error is None and answer is not None:
            errors_ms.append(abs((at_ns - pending.sent) - int(answer.body)) / 1e6)

    pool = Pool(Place("127.0.0.1", port), cap=_CONNECTIONS, timeout_s=_TIMEOUT_S, ended=ended)
    try:
        gap_ns = round(1e9 / min(_FASTEST, max(_SLOWEST, rate)))
        start = time.monotonic_ns() + gap_ns

        def due(number: int, intended: int) -> None:
            pool.submit(Pending(intended, time.monotonic_ns(), number, 0, _ASK, keep_body=True))

        await Pacer(loop, [start + number * gap_ns for number in range(REQUESTS)], due).finished
        until = loop.time() + _TIMEOUT_S
        while not pool.quiet and loop.time() < until:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(DELAY_MS / 1e3)
    finally:
        pool.close()
    if len(errors_ms) < REQUESTS:
        raise NotMeasuredError(f"{REQUESTS - len(errors_ms)} of {REQUESTS} requests of the calibration got no answer")
    ordered = sorted(errors_ms)
    return Calibration(REQUESTS, ordered[REQUESTS // 2], ordered[REQUESTS * 9 // 10])


class Calibrator:
    """Calibrates a load before and after; what is not possible is told (`why_not`), and no reason to fail.

    `seconds` is how long the load takes, `rate` what it asks for. The known server lives as long as the context.
    """

    def __init__(self, seconds: float, rate: float) -> None:
        self._rate = rate
        self._stack = AsyncExitStack()
        self._port: int | None = None
        self.found: list[Calibration] = []
        self.why_not = ""
        if seconds < SHORTEST_S:
            self.why_not = f"the load takes {seconds:g} s, less than {SHORTEST_S:g} s"

    async def __aenter__(self) -> Self:
        if not self.why_not:
            try:
                self._port = await self._stack.enter_async_context(known_server())
            except NotMeasuredError as error:
                self.why_not = str(error)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def take(self, before_ns: int = 0) -> None:
        """Calibrate now; not where a load starts too soon, at `before_ns` (monotonic; 0 for no such moment)."""
        if self._port is None or (before_ns and before_ns - time.monotonic_ns() < _TAKES_NS):
            return
        try:
            self.found.append(await calibrate(self._port, self._rate))
        except NotMeasuredError as error:
            self.why_not = str(error)

    def to_json(self) -> dict[str, Any]:
        """As a worker reports it: the worse of the calibrations."""
        return {
            "off_median_ms": max((one.median_ms for one in self.found), default=None),
            "off_p90_ms": max((one.p90_ms for one in self.found), default=None),
            "uncalibrated": self.why_not,
        }
