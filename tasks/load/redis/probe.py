"""What two ways of asking a cache have in common: a call, what became of it, and who carries it out.

`redis_raw.RawProber` goes over sockets of our own and tells what the server does, `redis_client.ClientProber` through
redis-py and tells what the application sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.load.redis.commands import Command
from tasks.load.redis.wire import ReplyError, code_of

HIT, MISS, WRONG_TYPE, REFUSED, CLUSTER_DOWN, DONE = 1, 2, 3, 4, 5, 6
"""Statuses of a call's answer: a value; nil; a key of another type (found, so a hit for the counters); another error
of the server, which refused before it looked; no part of the cluster serves the key; a key of our own was written."""

REFUSALS = (REFUSED, CLUSTER_DOWN)
"""Statuses of answers for which no key was looked up."""


@dataclass(slots=True, eq=False)
class Call:
    """One command, when it was due, and what became of it: a status or one of `samples.ERRORS`; times monotonic ns.

    `code` is the first word of the error that the server answered, `first_ns` when it was first sent where it was
    redirected. Over sockets of our own it is an `Exchange`, and tells its `owner`.
    """

    command: Command
    endpoint: int = 0
    phase: int = 0
    intended_ns: int = 0
    taken_ns: int = 0
    first_ns: int = 0
    sent_ns: int = 0
    received_ns: int = 0
    seen_ns: int = 0
    status: int = 0
    error: str | None = None
    size: int = 0
    code: str = ""
    hops: int = 0
    owner: Owner | None = None

    def replied(self, reply: Any, stamp_ns: int, seen_ns: int) -> None:
        """See `redis_channel.Exchange`."""
        if self.owner is not None:
            self.owner.replied(self, reply, stamp_ns, seen_ns)

    def failed(self, error: str, at_ns: int) -> None:
        """See `redis_channel.Exchange`."""
        if self.owner is not None:
            self.owner.failed(self, error, at_ns)


class Owner(Protocol):
    """Who is told of a call's reply."""

    def replied(self, call: Call, reply: Any, stamp_ns: int, seen_ns: int) -> None:
        """The reply, an error of the server included."""

    def failed(self, call: Call, error: str, at_ns: int) -> None:
        """No reply will come."""


Ended = Callable[[Call], None]
"""Told once of each call, when it has its status or its error."""


class Prober(Protocol):
    """A way to ask. `events` counts what happened besides answers: redirections, lost connections, new maps."""

    events: Counter[str]

    async def open(self) -> bool:
        """Connect before anything is measured; whether the server promised to leave access times alone."""

    def ask(self, call: Call) -> None:
        """Send a call now; it ends once, with an answer or an error."""

    def tick(self, now_ns: int) -> None:
        """Give up on what has waited too long; to be called about every 20 ms."""

    async def close(self) -> None:
        """Disconnect; what is in flight ends with `aborted`."""


def settle(call: Call, reply: object) -> None:
    """Note a reply, or the error that the server answered, in its call."""
    if isinstance(reply, ReplyError):
        call.code = code_of(reply)
        call.status = {"WRONGTYPE": WRONG_TYPE, "CLUSTERDOWN": CLUSTER_DOWN}.get(call.code, REFUSED)
    elif call.command.words[0] == b"GET":
        call.status = MISS if reply is None else HIT
        call.size = len(reply) if isinstance(reply, bytes) else 0
    else:
        call.status = DONE
