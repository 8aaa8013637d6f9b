"""Holds one WebSocket, sends it a ping at each look, and opens another one now and then.

Socket.IO is looked at by its handshake alone: its messages are the load's to measure.
"""

from __future__ import annotations

import json
import time
from collections import deque

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError, TargetUnreachableError
from storage.records import Measurement
from tasks.components.websocket.check import handshake
from tasks.components.websocket.collect import plan_of, url_of
from tasks.load.websocket.address import parse, resolve, shown
from tasks.monitoring.watch.probe import Looked, window
from tasks.monitoring.watch.window import Samples, share

TIMEOUT_S = 5.0
FRESH_S = 20.0
"""Seconds after which a connection is closed and another one opened."""

_LATENCY = "watch: from a ping message to its answer, 95th percentile of its window"
_CONNECTS = "watch: handshakes that succeeded ÷ all, over its window"


class WebsocketProbe:
    """See the module, and `tasks.monitoring.watch.probe.Probe`."""

    target = "websocket"
    limit_s = TIMEOUT_S * 2

    def __init__(
        self, config: RunConfig, target: Target, *, every_s: float, window_s: float, connects_s: float
    ) -> None:
        url = url_of(config, target)
        self.every_s = every_s
        self._plan = plan_of(config.environment, url)
        self._uri = parse(url.get_secret_value())
        self._connects_s = connects_s
        self._samples = Samples(window_s)
        self._attempts: deque[tuple[float, bool]] = deque(maxlen=1000)
        self._peer: ClientConnection | None = None
        self._opened = 0.0
        self._number = 0

    def look(self, now: float) -> Looked:
        """One message, after a handshake where it is time for one."""
        try:
            if self._peer is None or now - self._opened >= FRESH_S:
                self._connect(now)
            self._ping(now)
        except (OSError, WebSocketException) as error:  # TimeoutError and ssl.SSLError are OSErrors
            self.close()
            return self._seen(f"{shown(self._uri)} does not answer ({type(error).__name__})")
        except NotMeasuredError as error:
            return self._seen(str(error))
        return self._seen("")

    def _seen(self, problem: str) -> Looked:
        found = [self._connect_share()]
        if self._plan.protocol == "websocket":
            found.append(self._samples.p95("websocket.latency.p95", window(self._samples.spans), _LATENCY))
        return Looked(found, problem=problem)

    def _connect(self, now: float) -> None:
        self.close()
        self._opened = now
        self._attempts.append((now, False))
        if self._plan.protocol != "websocket":
            checked = handshake(self._plan, resolve(self._uri))
            if not checked.ok:
                raise TargetUnreachableError(checked.detail)
        else:
            url = self._plan.url.get_secret_value()
            self._peer = connect(
                url, open_timeout=TIMEOUT_S, close_timeout=0.5, ping_interval=None, proxy=None, max_queue=4
            )
        self._attempts[-1] = (now, True)

    def _ping(self, now: float) -> None:
        """A message and its answer; other messages of the server are passed over."""
        if self._peer is None:
            return
        self._number += 1
        begin = time.perf_counter()
        self._peer.send(
            json.dumps({"type": "ping", "timestamp": int(time.time() * 1000), "sequenceId": self._number})
        )
        while (left := TIMEOUT_S - (time.perf_counter() - begin)) > 0:
            if _answers(self._peer.recv(left), self._number):
                self._samples.add(now, (time.perf_counter() - begin) * 1000)
                return
        raise TimeoutError

    def _connect_share(self) -> Measurement:
        while self._attempts and self._attempts[0][0] < self._attempts[-1][0] - self._connects_s:
            self._attempts.popleft()
        good = sum(opened for _, opened in self._attempts)
        over = window(self._connects_s)
        return share(
            "websocket.connects.ratio",
            good,
            len(self._attempts),
            window=over,
            source=_CONNECTS,
            why_none="no handshake yet",
        )

    def back(self) -> None:
        """See `Probe.back`."""
        self._samples.clear()
        self._attempts.clear()

    def close(self) -> None:
        """See `Probe.close`."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()


def _answers(text: str | bytes, number: int) -> bool:
    try:
        message = json.loads(text)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("sequenceId") == number
