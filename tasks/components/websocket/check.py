"""What `doctor` says of the WebSocket: one handshake, no load."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError
from tasks.components.base import Check
from tasks.components.websocket.collect import plan_of, url_of
from tasks.load.socketio.codec import greeting
from tasks.load.socketio.target import path_of
from tasks.load.websocket.address import Address, parse, resolve
from tasks.load.websocket.plan import WebsocketPlan

_TIMEOUT_S = 5.0
_NAME = "WebSocket address"
_HANDSHAKE = "WebSocket handshake"


Step = Callable[[WebsocketPlan, Address], str | None]
"""Tries a handshake; what the server said instead of agreeing to it."""


def checks(config: RunConfig, target: Target) -> list[Check]:
    """Whether the address is set and readable, and whether it upgrades a connection, or greets by Socket.IO."""
    variable = config.environment.variables.ws_url
    try:
        url = url_of(config, target)
        address = resolve(parse(url.get_secret_value()))
    except NotMeasuredError as error:
        return [Check(_NAME, ok=False, detail=str(error), remedy=f"export {variable}=wss://host/path")]
    return [
        Check(_NAME, ok=True, detail=f"{variable} is {address.shown}"),
        handshake(plan_of(config.environment, url), address),
    ]


def handshake(plan: WebsocketPlan, address: Address) -> Check:
    """One handshake in the plan's own protocol, closed at once."""
    step: Step = _upgrade if plan.protocol == "websocket" else _greet if plan.transport == "websocket" else _poll
    where = address.shown
    started = time.monotonic()
    try:
        refused = step(plan, address)
    except InvalidStatus as error:
        refused = f"answered HTTP {error.response.status_code}"
    except (OSError, WebSocketException, httpx.HTTPError) as error:  # TimeoutError and ssl.SSLError are OSErrors
        return Check(
            _HANDSHAKE,
            ok=False,
            detail=f"{where} did not open: {type(error).__name__}",
            remedy="check that the server runs and that the address is right",
        )
    if refused is not None:
        return Check(_HANDSHAKE, ok=False, detail=f"{where} {refused}", remedy="check the path, and who may connect")
    return Check(_HANDSHAKE, ok=True, detail=f"{where} opened in {(time.monotonic() - started) * 1000:.0f} ms")


def _upgrade(plan: WebsocketPlan, _: Address) -> None:
    url = plan.url.get_secret_value()
    with connect(url, open_timeout=_TIMEOUT_S, close_timeout=_TIMEOUT_S, ping_interval=None, proxy=None):
        return


def _greet(plan: WebsocketPlan, address: Address) -> str | None:
    url = _socketio_url(plan, address, "websocket")
    with connect(url, open_timeout=_TIMEOUT_S, close_timeout=_TIMEOUT_S, ping_interval=None, proxy=None) as peer:
        text = peer.recv(_TIMEOUT_S)
        return _no_greeting(text.encode() if isinstance(text, str) else text)


def _poll(plan: WebsocketPlan, address: Address) -> str | None:
    url = _socketio_url(plan, address, "polling").replace("ws", "http", 1)
    answer = httpx.get(url, timeout=_TIMEOUT_S, trust_env=False)
    if answer.status_code != httpx.codes.OK:
        return f"answered HTTP {answer.status_code}"
    return _no_greeting(answer.content)


def _socketio_url(plan: WebsocketPlan, address: Address, transport: str) -> str:
    """The URL with its user and query, at the path and with the query of Socket.IO."""
    base = httpx.URL(plan.url.get_secret_value())
    url = base.copy_with(path=path_of(address))
    return str(url.copy_merge_params({"EIO": "4", "transport": transport}))


def _no_greeting(packet: bytes) -> str | None:
    try:
        greeting(packet)
    except ValueError:
        return "does not speak Socket.IO 4"
    return None
