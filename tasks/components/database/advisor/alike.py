"""Which values stand for a statement's parameters: those with which it works as it did on the server.

pg_stat_statements keeps no values, but it tells what the calls did with them: blocks that they looked at, rows that
they gave, milliseconds. Of several guesses those are taken whose run on a copy of the rows comes near to that. A
range that takes a tenth of the rows where the real one takes half makes an index look good that is not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from tasks.components.database.advisor.case import Case
from tasks.components.database.advisor.fill import Filled, completed
from tasks.components.database.advisor.records import PlanError
from tasks.components.database.advisor.rehearsal import Rehearsal
from tasks.components.database.advisor.values import GUESSES
from tasks.components.database.advisor.workload import Statement

TAKEN = 3
"""Guesses that are taken at most."""

NEAR = math.log(2)
"""How much farther from the record than the nearest guess another one may be, in logarithms."""

_BEYOND = math.log(4)
"""Where all guesses lie so far on one side of a figure, something else than the values made it: it is left out."""

_ALIKE = 0.25
"""A difference of distance that is noise."""

_TIMES, _LEAST_S = 4.0, 1.0
"""Time limit of a run: a multiple of the mean, and a least."""


@dataclass(frozen=True, slots=True)
class Work:
    """What an execution does: blocks that it looks at, rows that it gives, milliseconds."""

    blocks: float
    rows: float
    ms: float


_WEIGHTS = (1.0, 1.0, 0.5)
"""Of blocks, rows and milliseconds: another machine, or a busy one, takes another time for the same work."""

_UNITS = (1.0, 1.0, 0.05)
"""What is added to each figure, so that none and one are not far from each other."""


def nearest(guesses: Sequence[Work], record: Work) -> list[int]:
    """Places of the guesses that come nearest to the record, the nearest first; among alike ones the first."""
    distances = [0.0] * len(guesses)
    for number, (weight, unit) in enumerate(zip(_WEIGHTS, _UNITS, strict=True)):
        target = math.log(astuple(record)[number] + unit)
        apart = [math.log(astuple(one)[number] + unit) - target for one in guesses]
        if min(apart) < _BEYOND and max(apart) > -_BEYOND:
            distances = [known + weight * abs(one) for known, one in zip(distances, apart, strict=True)]
    near = [place for place, one in enumerate(distances) if one <= min(distances) + NEAR]
    return sorted(near, key=lambda place: (int((distances[place] - min(distances)) / _ALIKE), place))[:TAKEN]


def take_nearest(case: Case, copy: Rehearsal, seconds: float) -> None:
    """Give the reads of a workload the values that make them work as they were counted, as many as time allows.

    Statements that are quick come first, so that most are done when the time is over; slow ones have fewer guesses.
    """
    end = time.monotonic() + seconds
    counted = [one for one in case.relevant if one.calls and one.blocks and not one.writes and "$" in one.text]
    counted.sort(key=lambda one: (one.mean_ms, one.id))
    for done, one in enumerate(counted):
        mine_ms = 1e3 * (end - time.monotonic()) / (len(counted) - done)
        many = int(mine_ms / max(one.mean_ms, 1.0))
        guesses = _guesses(case, copy, one)[:many] if many > 1 else []
        if len(guesses) > 1:
            case.texts[one.id] = _nearest(copy, one, guesses)


def _guesses(case: Case, copy: Rehearsal, one: Statement) -> list[Filled]:
    """The texts with values that can be run."""
    given = case.filled(one, GUESSES)
    try:
        return [text for text in completed(given, copy.types) if text.whole]
    except PlanError:
        return []


def _nearest(copy: Rehearsal, one: Statement, guesses: list[Filled]) -> list[Filled]:
    """Those of the guesses that come near to what was counted; the first ones where none of them can be run."""
    ran: list[tuple[Filled, Work]] = []
    for text in guesses:
        limit_s = max(_LEAST_S, _TIMES * one.mean_ms / 1e3)
        try:
            run = copy.run(text.text, timeout_s=limit_s, repeat=1, warm=not ran)
        except PlanError:
            continue
        ran.append((text, Work(run.blocks, run.rows, run.least_ms)))
    if not ran:
        return guesses[:TAKEN]
    record = Work(one.blocks / one.calls, one.rows / one.calls, one.mean_ms)
    return [ran[place][0] for place in nearest([work for _, work in ran], record)]
