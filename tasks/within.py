"""Work that knows no time limit of its own, within one: in a thread that is left behind where it takes too long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from typing import TypeVar

T = TypeVar("T")
GivenUp = Callable[[], bool]
"""Whether nobody waits for the work any more, so that it may end early."""


class TookTooLongError(Exception):
    """The work was not done in time; what it raises itself, a `TimeoutError` too, is another error."""


def _nothing(_: object) -> None:
    pass


def within(
    seconds: float, work: Callable[[GivenUp], T], *, name: str, discard: Callable[[T], object] = _nothing
) -> T:
    """What `work` returns or raises, or `TookTooLongError` after so long; then a late result goes to `discard`.

    A daemon thread of that name does the work: it holds nobody up who wants to end.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            result = work(answer.cancelled)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, which raises it
            _hand_over(answer.set_exception, error, _nothing)
        else:
            _hand_over(answer.set_result, result, discard)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        wait([answer], seconds)
    finally:
        late = answer.cancel()  # not where it was answered a moment ago
    if late:
        raise TookTooLongError
    return answer.result()


def _hand_over(give: Callable[[T], object], what: T, discard: Callable[[T], object]) -> None:
    try:
        give(what)
    except InvalidStateError:  # nobody waits any more
        discard(what)
