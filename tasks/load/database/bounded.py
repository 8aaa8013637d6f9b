"""A connection of psycopg that takes a bounded time to come about, and answers of a bounded size.

libpq holds an answer whole, however many rows it has, and makes room for a field of any announced length. So what
the socket has received is counted while libpq reads: `TCP_INFO` tells it on Linux (tcp(7)), `tcpi_bytes_received` at
byte 128. Elsewhere, and on Unix sockets, where the server is this machine's own, answers are not bounded.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from tasks.within import GivenUp, TookTooLongError, within

MOST_BYTES = 16_000_000
"""Largest answer to one statement, as it comes over the network; in memory small rows take about four times that."""

_RECEIVED = struct.Struct("@Q")
_RECEIVED_AT = 128
_INTERVAL_S = 0.1
_BUFFER_BYTES = 1 << 17

Row = dict[str, Any]
T = TypeVar("T")


class AnswerTooLargeError(psycopg.OperationalError):
    """An answer of more than `MOST_BYTES`; the connection is gone with it."""

    def __str__(self) -> str:
        return f"an answer of more than {MOST_BYTES / 1e6:.0f} MB"


class BoundedConnection(psycopg.Connection[Row]):
    """Counts what each answer brings once it was told its socket; `AnswerTooLargeError` where that is too much."""

    counted: socket.socket | None = None
    _begun: int | None = None
    """What the socket had received when the exchange that goes on began."""

    @property
    def flooded(self) -> bool:
        """Whether the exchange that goes on has brought too much; another thread may ask, while libpq reads on."""
        begun = self._begun
        return begun is not None and _received(self.counted) - begun > MOST_BYTES

    def wait(self, gen: Any, interval: float = _INTERVAL_S, timeout: float | None = None) -> Any:
        """Wait for one exchange with the server, as psycopg does."""
        return super().wait(gen if self.counted is None else self._counting(gen), interval, timeout)

    def _counting(self, exchange: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """The same exchange, held against the bound before each reading of the socket."""
        self._begun = _received(self.counted)
        try:
            wanted = next(exchange)
            while True:
                ready = yield wanted
                if self.flooded:
                    self.pgconn.finish()
                    raise AnswerTooLargeError
                wanted = exchange.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # StopIteration does not know its generator's type
        finally:
            self._begun = None


def narrowed(counted: socket.socket) -> socket.socket:
    """The socket with a small buffer: libpq reads a large field for as long as more of it lies there.

    Until it finds the buffer empty only another thread can tell that it is too much (`BoundedConnection.flooded`).
    """
    counted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    return counted


def _received(counted: socket.socket | None) -> int:
    """Bytes that the socket has received so far; 0 where the system does not tell."""
    if counted is None or counted.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
        return 0
    with suppress(OSError):  # the connection is gone: libpq will say so
        told = counted.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + _RECEIVED.size)
        if len(told) == _RECEIVED_AT + _RECEIVED.size:
            return int(_RECEIVED.unpack_from(told, _RECEIVED_AT)[0])
    return 0


def connect(parameters: Mapping[str, str], seconds: float) -> BoundedConnection:
    """Connect within so long in all: the name service and a trickling handshake know no time-out of their own."""

    def work(_: GivenUp) -> BoundedConnection:
        return BoundedConnection.connect(
            make_conninfo("", **parameters), autocommit=True, row_factory=dict_row, prepare_threshold=None
        )

    try:
        return within(seconds, work, name="database-connect", discard=BoundedConnection.close)
    except TookTooLongError:
        raise errors.ConnectionTimeout(f"no connection within {seconds:.0f} s") from None
    except (OSError, UnicodeError) as error:
        raise psycopg.OperationalError(str(error)) from error
