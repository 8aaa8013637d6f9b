"""How a capacity search goes from step to step, whatever its steps send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tasks.load.capacity import Step

_CONFIRMATIONS = 2


async def climb(
    rates: Sequence[float], make: Callable[[int, int, float], Awaitable[Step]], over: Callable[[], str | None]
) -> str:
    """Raise the rate step by step; a step that breaks is tried once more before it ends the search; why it ended.

    `make` runs a step: (number, attempt, rate). `over` says before each step why there must be none (`time`,
    `stopped`), or None. Otherwise a search ends by the `limit` that a step broke twice, or by its `ceiling`: every
    rate was sustained.
    """
    for number, rate in enumerate(rates, 1):
        for attempt in range(1, _CONFIRMATIONS + 1):
            if (why := over()) is not None:
                return why
            if (await make(number, attempt, rate)).sustained:
                break
        else:
            return "limit"
    return "ceiling"
