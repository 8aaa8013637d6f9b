"""One load plan shared by several generator processes: how it is split, and how their results become one. Pure.

Share k of N sends arrivals k, k + N, k + 2N … of the plan's own schedule, so that all together send exactly the plan:
the same moments, the same number, and never more than the plan's rate. What is drawn for a request (endpoint, values)
comes from a generator of each share's own. All shares start each stage at one agreed moment of the coordinator's
clock. A capacity search is decided step by step by one process: share 0 runs it alone.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from storage.clock import Clock, current_clock
from storage.errors import NotMeasuredError
from tasks.load.process import WorkerOutput

GAP_S = 1.0
"""Pause before each further stage of a shared plan: every share has its answers by then, and starts on time."""

_MS = 1_000_000


@dataclass(frozen=True)
class Share:
    """The part of a plan that one process sends, and when; without arguments the whole of it, at once.

    `start_at_ns` is UTC by the coordinator's clock, `clock_offset_ns` how far the clock here is ahead of that one;
    a share that comes `late_ms` after the start, or later, does not begin.
    """

    number: int = 0
    of: int = 1
    start_at_ns: int = 0
    clock_offset_ns: int = 0
    late_ms: float = 0.0

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"shard {self.number + 1} of {self.of}"

    def clock(self) -> Clock:
        """The mapping of this process from its monotonic clock to the coordinator's UTC."""
        return Clock(current_clock().offset_ns - self.clock_offset_ns)

    def start_ns(self, clock: Clock, from_s: float = 0.0) -> int:
        """The agreed moment `from_s` seconds after the start, monotonic; 0 where nothing was agreed.

        `NotMeasuredError` where the start itself has passed by more than was agreed.
        """
        if not self.start_at_ns:
            return 0
        start = self.start_at_ns - clock.offset_ns
        late_ms = (time.monotonic_ns() - start) / _MS
        if from_s == 0.0 and late_ms > self.late_ms:
            raise NotMeasuredError(
                f"{self.name} on {socket.gethostname()} came {late_ms:.0f} ms after the agreed start "
                f"(limit {self.late_ms:g} ms): it needs an idle processor, or use fewer shards"
            )
        return start + round(from_s * 1e9)

    def told(self) -> dict[str, Any]:
        """What the results say of it."""
        offset_ms = self.clock_offset_ns / _MS
        return {
            "number": self.number,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "owner": os.getppid(),
            "clock_offset_ms": offset_ms,
        }


def shares(of: int, start_at_ns: int, late_ms: float, clock_offsets_ns: Sequence[int]) -> list[Share]:
    """All shares of a plan; `clock_offsets_ns` in their order."""
    return [Share(number, of, start_at_ns, offset, late_ms) for number, offset in enumerate(clock_offsets_ns)]


def split(plan: Mapping[str, Any], share: Share) -> dict[str, Any]:
    """The plan of one share: its stages with their agreed moments, and its part of the connections.

    The search of share 0 needs all connections, so its load before the search may use them too.
    """
    stages = _timed(plan["stages"])
    searches = any(stage["kind"] == "search" for stage in stages)
    if share.number:
        stages = [stage for stage in stages if stage["kind"] == "schedule"]
    whole = int(plan["max_connections"])
    connections = whole if searches and not share.number else math.ceil(whole / share.of)
    return {**plan, "stages": stages, "max_connections": connections, "share": asdict(share)}


def gaps_s(stages: Sequence[Mapping[str, Any]]) -> float:
    """How much longer a plan takes when it is shared."""
    return GAP_S * max(0, len(stages) - 1)


def _timed(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    timed = []
    from_s = 0.0
    for number, stage in enumerate(stages):
        moved = {"until_s": stage["until_s"] + number * GAP_S} if "until_s" in stage else {}
        timed.append({**stage, **moved, "from_s": from_s})
        from_s += float(stage["duration_s"]) + GAP_S
    return timed


def merge(outputs: Sequence[WorkerOutput]) -> WorkerOutput:
    """The results of all shares as if one process had sent the plan; each row and run tells its share in `worker`.

    Counts are sums; of what can only hold for all (a precise timer) or is bad for one (the target on the same
    machine, a stopped load) the worst is kept.
    """
    facts = [output.facts for output in outputs]
    samples = pa.concat_tables([output.tables["samples"] for output in outputs]).unify_dictionaries()
    ends = [list(one["ends"]) for one in facts]
    merged = {
        "planned": sum(one["planned"] for one in facts),
        "runs": [run for one in facts for run in one["runs"]],
        "steps": [step for one in facts for step in one["steps"]],
        "search_ended": facts[0]["search_ended"],
        "stopped": _stopped(facts),
        "connects": sum(one["connects"] for one in facts),
        "ends": next((pair for pair in ends if pair[0] and pair[0] == pair[1]), ends[0]),
        "precise_timer": all(one["precise_timer"] for one in facts),
        "head": next((one["head"] for one in facts if one["head"]), ""),
        "probe": facts[0]["probe"],
        "shares": [share for one in facts for share in one["shares"]],
    }
    return WorkerOutput({"samples": samples}, merged)


def _stopped(facts: Sequence[Mapping[str, Any]]) -> str | None:
    reasons = {one["shares"][0]["number"]: one["stopped"] for one in facts if one["stopped"] is not None}
    if not reasons:
        return None
    first = next(iter(reasons.values()))
    if len(reasons) == len(facts):
        return str(first)
    which = " and ".join(str(number + 1) for number in reasons)
    return f"{first} (in shard {which} of {len(facts)})"


def starts_apart_ms(runs: Sequence[Mapping[str, Any]]) -> float:
    """How far apart the shares started the same stage, at worst, in ms of the coordinator's clock."""
    starts: dict[tuple[str, ...], list[int]] = {}
    for run in runs:
        starts.setdefault(tuple(run["phases"]), []).append(run["start_ns"])
    return max(((max(moments) - min(moments)) / _MS for moments in starts.values()), default=0.0)


def combined(latest: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """One sign of life made of each share's latest: rates and failures added, the worst of latency and lateness."""
    worst = {
        name: max((one[name] for one in latest.values() if one.get(name) is not None), default=None)
        for name in ("p50_ms", "p95_ms", "late_ms")
    }
    return {
        "elapsed_s": max(one["elapsed_s"] for one in latest.values()),
        "rate": sum(one["rate"] for one in latest.values()),
        **worst,
        "failed": sum(one["failed"] for one in latest.values()),
        "stage": next(iter(latest.values()))["stage"],
    }
