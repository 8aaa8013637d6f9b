"""What the watch of a database tells: one record per event, the same in a callback, as a JSON line and in Prefect.

No event holds a value of the application: statements are told with `$n` in the place of their constants, without
comments, or not at all. Durations in ms or s as the name says, moments in UTC.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage.errors import UsageError
from storage.records import Count, Finite, Ratio, Record, Utc

Kind = Literal["slow_query", "blocked", "idle_in_transaction", "connections_near_limit", "lost", "back"]


class Observation(Record):
    """What all events have: when, and which database (host:port/name)."""

    event: Kind
    at: Utc
    database: str


class SlowQuery(Observation):
    """A statement above the limit; `basis` says which figure of it `duration_ms` is.

    `running` it runs right now and has for so long · `mean` of the `calls` that ended within `period_s` ·
    `slowest` the longest call that ended within `period_s`. A figure that is not known is None: pg_stat_statements
    tells calls and mean from the second poll on in which it lists the statement as one that was ever slow.
    """

    event: Literal["slow_query"] = "slow_query"
    basis: Literal["running", "mean", "slowest"]
    statement: str
    queryid: str | None
    duration_ms: Finite
    limit_ms: Finite
    calls: Count | None = None
    mean_ms: Finite | None = None
    slowest_ms: Finite | None = None
    period_s: Finite | None = None
    user: str | None = None
    application: str | None = None
    pid: int | None = None


class Blocked(Observation):
    """A session that has waited `waited_s` or longer for a lock that the sessions `blocked_by` hold or want."""

    event: Literal["blocked"] = "blocked"
    statement: str
    queryid: str | None
    waited_s: Finite
    pid: int
    user: str
    application: str
    blocked_by: tuple[int, ...]
    blockers: tuple[str, ...] = Field(description="each blocker in words: pid, role, application, state")


class IdleInTransaction(Observation):
    """A session that does nothing within an open transaction; `statement` is the last one that it ran."""

    event: Literal["idle_in_transaction"] = "idle_in_transaction"
    statement: str
    queryid: str | None
    idle_s: Finite
    transaction_s: Finite
    pid: int
    user: str
    application: str


class ConnectionsNearLimit(Observation):
    """Open connections of clients, and how many ordinary roles may open (max_connections − reserved ones)."""

    event: Literal["connections_near_limit"] = "connections_near_limit"
    connections: Count
    slots: Count
    share: Finite
    limit: Ratio


class Lost(Observation):
    """The database does not answer any more, or has not yet; the watch goes on trying."""

    event: Literal["lost"] = "lost"
    reason: str


class Back(Observation):
    """It answers again; `restarted` is whether the server was started anew (None: it was never seen before)."""

    event: Literal["back"] = "back"
    outage_s: Finite
    restarted: bool | None


Event = Annotated[
    SlowQuery | Blocked | IdleInTransaction | ConnectionsNearLimit | Lost | Back, Field(discriminator="event")
]
KINDS: tuple[Kind, ...] = (
    "slow_query",
    "blocked",
    "idle_in_transaction",
    "connections_near_limit",
    "lost",
    "back",
)


def kind_of(name: str) -> Kind:
    """The kind that a caller means, written with hyphens or underscores; `UsageError` names those there are."""
    for kind in KINDS:
        if kind == name.replace("-", "_"):
            return kind
    known = ", ".join(kind.replace("_", "-") for kind in KINDS)
    raise UsageError(f"no event {name!r}: events are {known}")


def words(event: Event) -> str:
    """One line for a person."""
    match event:
        case SlowQuery():
            return f"slow query, {_duration(event)} (limit {event.limit_ms:g} ms): {event.statement}"
        case Blocked():
            who = "; ".join(event.blockers) or "unknown"
            return f"blocked for {event.waited_s:.1f} s: pid {event.pid} waits for {who}: {event.statement}"
        case IdleInTransaction():
            who = f"pid {event.pid} ({event.user}, {event.application or 'no application name'})"
            return f"idle in transaction for {event.idle_s:.1f} s: {who}, last statement: {event.statement}"
        case ConnectionsNearLimit():
            return f"{event.connections} of {event.slots} connections are open (limit {event.limit:.0%})"
        case Lost():
            return f"lost: {event.reason}"
        case Back():
            again = ", the server was restarted" if event.restarted else ""
            return f"back after {event.outage_s:.1f} s{again}"


def _duration(event: SlowQuery) -> str:
    took = f"{event.duration_ms:,.0f} ms"
    if event.basis == "running":
        return f"running for {took}"
    calls = "" if event.calls is None else f" ({event.calls} calls in {event.period_s:.0f} s)"
    return f"{took} on average{calls}" if event.basis == "mean" else f"a call of {took}{calls}"
