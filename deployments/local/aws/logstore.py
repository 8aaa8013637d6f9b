"""The log groups: a timeline of events for each, whose text is made only when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.local.aws.corpus import (
    FAILED,
    INIT_TIMED_OUT,
    OUT_OF_MEMORY,
    PROVISIONED,
    TIMED_OUT,
    Corpus,
    Invocations,
)
from deployments.local.aws.environments import INIT_LIMIT_MS
from deployments.local.aws.functions import Function
from deployments.local.aws.lines import Line, Writer
from deployments.local.aws.names import log_group_arn

SPOOFING = frozenset({"orders-create", "rfid-verify-card", "menus-daily", "payments-verify"})
"""Keys of the functions whose handlers print lines that look like reports."""

SPOOF_ONE_IN = 90
START_END_ONE_IN = 50
APPLICATION_ONE_IN = 40
RETENTION_DAYS = 14

_Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event as FilterLogEvents answers it; times in epoch ms."""

    timestamp: int
    message: str
    stream: str
    ingestion: int
    event_id: str


class LogGroup:
    """The events of one function's log group, ordered by time."""

    def __init__(self, number: int, function: Function, invocations: Invocations, corpus: Corpus) -> None:
        self.name = function.log_group
        self.function = function
        self.invocations = invocations
        self.created_ms = corpus.start_ms - 200 * 86_400_000
        self._number = number
        self._writer = Writer(function, invocations)
        times, kinds, refs = _timeline(function, invocations)
        order = np.lexsort((refs, kinds, times))
        order = order[(times[order] >= corpus.start_ms) & (times[order] < corpus.end_ms)]
        self.times: npt.NDArray[np.int64] = times[order]
        self.kinds: npt.NDArray[np.uint8] = kinds[order]
        self.refs: npt.NDArray[np.int32] = refs[order].astype(np.int32)

    @property
    def arn(self) -> str:
        """The ARN, without `:*`."""
        return log_group_arn(self.name)

    def window(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """The half-open range of positions of the events with `start_ms <= timestamp <= end_ms`."""
        return (
            int(np.searchsorted(self.times, start_ms, side="left")),
            int(np.searchsorted(self.times, end_ms, side="right")),
        )

    def message(self, position: int) -> str:
        """The text of the event at `position`."""
        at = int(self.times[position])
        return self._writer.message(Line(int(self.kinds[position])), int(self.refs[position]), at)

    def stream(self, position: int) -> str:
        """The log stream of the event at `position`."""
        return self._writer.stream(int(self.refs[position]))

    def ingested(self, positions: int | npt.NDArray[np.int64]) -> Any:
        """When the events at `positions` arrived, epoch ms: up to 5 s after they were written."""
        return self.times[positions] + 800 + self.refs[positions].astype(np.int64) * 37 % 4200

    def event(self, position: int, message: str | None = None) -> LogEvent:
        """The event at `position`, whole; `message` where the caller has made it already."""
        at = int(self.times[position])
        return LogEvent(
            timestamp=at,
            message=self.message(position) if message is None else message,
            stream=self.stream(position),
            ingestion=int(self.ingested(position)),
            event_id=f"{at + 10**14:020d}{self._number:06d}{position:030d}",
        )

    def messages(self, start: int, stop: int) -> Iterator[str]:
        """The texts of the events in `[start, stop)`."""
        return (self.message(position) for position in range(start, stop))

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The running sum of the sizes of the messages in bytes, from 0: the bytes of `[a, b)` are `s[b] - s[a]`."""
        sizes = np.fromiter((len(text.encode()) for text in self.messages(0, len(self.times))), np.int64)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    def request_id(self, position: int) -> str:
        """The request id of the invocation that the event at `position` belongs to."""
        return self._writer.request_id(int(self.refs[position]))


def groups(corpus: Corpus) -> dict[str, LogGroup]:
    """The log groups of the corpus, by name in alphabetical order."""
    each = (
        LogGroup(number, function, corpus.invocations[function.key], corpus)
        for number, function in enumerate(corpus.functions)
    )
    return {group.name: group for group in sorted(each, key=lambda group: group.name)}


def _timeline(function: Function, it: Invocations) -> tuple[_Indices, npt.NDArray[np.uint8], _Indices]:
    """When which line about which invocation was written: three arrays of one length."""
    ended = it.reported
    everyone: _Indices = np.arange(len(it.start), dtype=np.int64)
    sampled = everyone[everyone % START_END_ONE_IN == 0]
    cold = np.flatnonzero(it.cold | it.has(INIT_TIMED_OUT))
    init_timed_out = np.flatnonzero(it.has(INIT_TIMED_OUT))
    failed = np.flatnonzero(it.has(FAILED | TIMED_OUT | OUT_OF_MEMORY))
    spoofed = everyone[everyone % SPOOF_ONE_IN == 7] if function.key in SPOOFING else everyone[:0]  # noqa: PLR2004
    provisioned = np.flatnonzero(it.has(PROVISIONED))
    init_ms = np.ceil(np.nan_to_num(it.init)).astype(np.int64)
    parts = [
        (Line.REPORT, everyone, ended),
        (Line.INIT_START, cold, it.start[cold]),
        (Line.INIT_REPORT, init_timed_out, it.start[init_timed_out] + int(INIT_LIMIT_MS)),
        (Line.START, sampled, it.start[sampled] + init_ms[sampled]),
        (Line.END, sampled, ended[sampled]),
        (Line.FAILURE, failed, ended[failed]),
        (Line.APPLICATION, everyone[everyone % APPLICATION_ONE_IN == 3], None),  # noqa: PLR2004
        (Line.SPOOF, spoofed, None),
        (Line.PROVISIONED_INIT, provisioned, it.start[provisioned] - 90_000),
    ]
    times = [ended[refs] - 1 if at is None else at for _, refs, at in parts]
    kinds = [np.full(len(refs), int(line), dtype=np.uint8) for line, refs, _ in parts]
    return np.concatenate(times), np.concatenate(kinds), np.concatenate([refs for _, refs, _ in parts])
