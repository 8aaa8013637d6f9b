"""Whom a watch tells: the Prefect server, or the notification channels themselves, by outboxes that try again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from storage.errors import UsageError

if TYPE_CHECKING:
    from tasks.monitoring.watch.memory import Memory
    from tasks.monitoring.watch.spool import Spool

_NO_CHANNEL = "--notify needs a channel: set one of the HASIVU_NOTIFY_… variables (docs/notifications.md)"

Tell = Callable[[Any], None]
"""Takes an event of a database, or an alert."""


def check_prefect() -> None:
    """`UsageError` where no Prefect server is named."""
    if not os.environ.get("PREFECT_API_URL"):
        raise UsageError("--prefect needs PREFECT_API_URL: set it to the address of a Prefect server")


def to_prefect(stack: ExitStack, memory: Memory | None = None) -> Tell:
    """Everything to the server of PREFECT_API_URL; `UsageError` where it is not named."""
    check_prefect()
    from tasks.monitoring.notify import saw
    from tasks.monitoring.watch.outbox import Outbox

    outbox = Outbox(saw, "the Prefect server", _spool(memory, "prefect"))
    stack.callback(outbox.close, 5.0)
    return outbox


def check_channels() -> None:
    """`UsageError` where no variable can name a channel; which ones do is known only to Prefect's blocks."""
    if not any(value for name, value in os.environ.items() if name.startswith("HASIVU_NOTIFY_")):
        raise UsageError(_NO_CHANNEL)


def to_channels(stack: ExitStack, memory: Memory | None = None) -> list[Tell]:
    """Each channel with an outbox of its own: one that is away holds no other up."""
    from deployments.channels import PRIVATE, notification_blocks
    from tasks.monitoring.notify import tell
    from tasks.monitoring.watch.outbox import Outbox

    private = os.environ.get(PRIVATE, "").lower() == "true"
    found: list[Tell] = []
    for channel, block in notification_blocks().items():
        outbox = Outbox(partial(tell, block, private=private), channel, _spool(memory, channel))
        stack.callback(outbox.close, 5.0)
        found.append(_alerts_alone(outbox))
    if not found:
        raise UsageError(_NO_CHANNEL)
    return found


def _spool(memory: Memory | None, receiver: str) -> Spool | None:
    from tasks.monitoring.watch.spool import Spool

    path = memory.beside(receiver) if memory is not None else None
    return Spool(path) if path is not None else None


def _alerts_alone(send: Tell) -> Tell:
    from tasks.monitoring.watch.alarm import Alert

    return lambda told: send(told) if isinstance(told, Alert) else None
