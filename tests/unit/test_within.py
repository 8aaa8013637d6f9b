"""Work within a time limit: what it returns and raises, and what becomes of it where nobody waits any more."""

from __future__ import annotations

import queue
import threading

import pytest

from tasks.within import GivenUp, TookTooLongError, within

LONG_S = 30.0


def test_it_returns_what_the_work_returns_and_raises_what_it_raises() -> None:
    def failing(_: GivenUp) -> None:
        raise TimeoutError("the work's own")

    assert within(LONG_S, lambda _: 5, name="fine") == 5
    with pytest.raises(TimeoutError, match="the work's own"):
        within(LONG_S, failing, name="failing")


def test_work_that_takes_too_long_is_told_and_its_late_result_is_handed_over() -> None:
    let, discarded, told = threading.Event(), queue.SimpleQueue[str](), list[bool]()

    def work(given_up: GivenUp) -> str:
        told.append(given_up())
        let.wait(LONG_S)
        told.append(given_up())
        return "late"

    with pytest.raises(TookTooLongError):
        within(0.05, work, name="slow", discard=discarded.put)
    let.set()
    assert discarded.get(timeout=LONG_S) == "late"
    assert told == [False, True]


def test_a_late_error_is_nobodys() -> None:
    let = threading.Event()

    def work(_: GivenUp) -> None:
        let.wait(LONG_S)
        raise ValueError

    with pytest.raises(TookTooLongError):
        within(0.05, work, name="slow and failing")
    (thread,) = (one for one in threading.enumerate() if one.name == "slow and failing")
    let.set()
    thread.join(LONG_S)
    assert not thread.is_alive()
