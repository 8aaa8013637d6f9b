"""What `doctor` says of the WebSocket: one handshake, no load."""

from __future__ import annotations

import time

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError
from tasks.components.base import Check
from tasks.components.websocket.collect import url_of
from tasks.load.websocket_wire import parse, shown

_TIMEOUT_S = 5.0
_NAME = "WebSocket address"


def checks(config: RunConfig, target: Target) -> list[Check]:
    """Whether the address is set and readable, and whether it upgrades a connection."""
    variable = config.environment.variables.ws_url
    try:
        url = url_of(config, target).get_secret_value()
        where = shown(parse(url))
    except NotMeasuredError as error:
        return [Check(_NAME, ok=False, detail=str(error), remedy=f"export {variable}=wss://host/path")]
    return [Check(_NAME, ok=True, detail=f"{variable} is {where}"), _handshake(url, where)]


def _handshake(url: str, where: str) -> Check:
    name = "WebSocket handshake"
    started = time.monotonic()
    try:
        with connect(url, open_timeout=_TIMEOUT_S, close_timeout=_TIMEOUT_S, ping_interval=None, proxy=None):
            took = (time.monotonic() - started) * 1000
    except InvalidStatus as error:
        status = error.response.status_code
        return Check(
            name, ok=False, detail=f"{where} answered HTTP {status}", remedy="check the path, and who may connect"
        )
    except (OSError, WebSocketException) as error:  # TimeoutError and ssl.SSLError are kinds of OSError
        return Check(
            name,
            ok=False,
            detail=f"{where} did not open: {type(error).__name__}",
            remedy="check that the server runs and that the address is right",
        )
    return Check(name, ok=True, detail=f"{where} opened in {took:.0f} ms")
