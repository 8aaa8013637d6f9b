"""START and END lines against REPORT lines: an environment serves one invocation at a time, and reports it after END.

So a report of another request between a START and its END was written by user code. Where a log holds its START or
END lines (a query may leave them out), each genuine report has one of its own; one without is not the platform's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tasks.components.lambda_functions.lines import Boundary

COMPLETE = 0.8
"""Share of a stream's reports that must have a START or END for the lines to be there on purpose."""

_ENOUGH = 5


@dataclass
class _Stream:
    """What one environment's log said of beginnings and ends."""

    starts: list[tuple[int, str]] = field(default_factory=list)
    ends: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    known: set[str] = field(default_factory=set)
    ordered: bool = False

    def running(self, timestamp: int) -> str | None:
        """The request that surely ran at a moment: begun before it and ended after it."""
        if not self.ordered:
            self.starts.sort()
            self.ordered = True
        at = bisect_left(self.starts, (timestamp, ""))
        if at == 0:
            return None
        began, request_id = self.starts[at - 1]
        ended = min((end for end in self.ends.get(request_id, ()) if end >= began), default=None)
        return request_id if ended is not None and ended > timestamp else None


class Boundaries:
    """Collects the START and END lines of all streams."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}

    def __bool__(self) -> bool:
        return bool(self._streams)

    def add(self, stream: int, timestamp: int, line: Boundary) -> None:
        """Take one line of a stream (by number)."""
        found = self._streams.setdefault(stream, _Stream())
        found.known.add(line.request_id)
        if line.begins:
            found.starts.append((timestamp, line.request_id))
        else:
            found.ends[line.request_id].append(timestamp)

    def foreign(self, reports: Iterable[tuple[int, int, int, str]]) -> set[int]:
        """Of reports (index, stream, epoch ms, request), those that the platform cannot have written, by index."""
        by_stream: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
        for index, stream, timestamp, request_id in reports:
            if stream in self._streams:
                by_stream[stream].append((index, timestamp, request_id))
        found: set[int] = set()
        for stream, rows in by_stream.items():
            found.update(_foreign(self._streams[stream], rows))
        return found


def _foreign(stream: _Stream, rows: list[tuple[int, int, str]]) -> Iterator[int]:
    own = sum(request_id in stream.known for _, _, request_id in rows)
    complete = own >= _ENOUGH and own >= COMPLETE * len(rows)
    for index, timestamp, request_id in rows:
        unannounced = complete and request_id not in stream.known
        if unannounced or stream.running(timestamp) not in {None, request_id}:
            yield index
