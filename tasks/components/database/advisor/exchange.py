"""The end of a choice within limits: what does not fit may be worth more than what took its room. Pure.

The greedy choice takes what is worth most for its size; where room is scarce, a few small indexes then stand in the
place of a large one that is worth more than they are, or the other way round. One such exchange after the other is
looked for, until none is worth more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.components.database.advisor.choose import Choice

Moves = Collection[frozenset[str]]

TRIED = 12
"""Moves that are tried of those that have no room: each asks the planner for many combinations."""


def exchanged(choice: Choice, chosen: Sequence[str], moves: Moves, *, least: float) -> list[str] | None:
    """The best set that comes of one exchange; None where none is better by `least`, or nothing had to stay out."""
    best = choice.worth(chosen) + least
    found: list[str] | None = None
    kept_out = _kept_out(choice, chosen, moves)
    for opened, without in _openings(choice, chosen, kept_out):
        if not choice.patience():
            break
        kept = choice.regrown(opened, [move for move in kept_out if not move & without])
        if (worth := choice.worth(kept)) > best:
            best, found = worth, kept
    return found


def _kept_out(choice: Choice, chosen: Sequence[str], moves: Moves) -> list[frozenset[str]]:
    """Moves that would be worth something were it not for the limits, the most first."""
    gain, worth = choice.gain(chosen), choice.worth(chosen)
    found: list[tuple[float, list[str]]] = []
    for move in moves:
        new = sorted(move - set(chosen))
        together = [*chosen, *new]
        if (
            new
            and choice.full(together) > 1 >= choice.full(move)
            and choice.patience()
            and choice.gain(together) > gain
        ):
            found.append((choice.worth(together) - worth, sorted(move)))
    return [frozenset(move) for more, move in sorted(found, reverse=True)[:TRIED] if more > 0]


def _openings(choice: Choice, chosen: Sequence[str], kept_out: Moves) -> Iterator[tuple[list[str], frozenset[str]]]:
    """Sets that fit: with one move more and room made for it; with one index less, which then stays out."""
    for move in kept_out:
        yield _with_room_for(choice, [*chosen, *sorted(move - set(chosen))], move), frozenset()
    for out in chosen if kept_out else ():
        yield [one for one in chosen if one != out], frozenset({out})


def _with_room_for(choice: Choice, chosen: Sequence[str], new: Collection[str]) -> list[str]:
    """Leave out what is worth least for its room until the rest fits; what may stay after all stays."""
    kept: list[str] = list(chosen)
    gone: list[str] = []
    while choice.full(kept) > 1:
        whole = choice.worth(kept)
        old = [one for one in kept if one not in new and choice.full([one])]
        lost = {one: whole - choice.worth([other for other in kept if other != one]) for one in old}
        out = min(lost, key=lambda one: (lost[one] / choice.full([one]), one))
        kept.remove(out)
        gone.append(out)
    for one in gone[-2::-1]:
        if choice.full([*kept, one]) <= 1:
            kept.append(one)
    return kept
