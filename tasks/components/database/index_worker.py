"""Asks for index advice in a process of its own, at low priority: whatever it does, its owner's deadline ends it.

A guardian removes the scratch server and its files when this process is killed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from storage.errors import LocalPlatformError, NotMeasuredError
from tasks.components.database.advisor.recommend import Options, recommend
from tasks.components.database.advisor.workload import Statement
from tasks.load.database.session import parse
from tasks.load.process import Progress, WorkerOutput, serve

NICENESS = 10
BEAT_S = 0.5
"""Seconds between signs of life, at each of which the owner may end this process."""


@contextmanager
def beating(tell: Progress) -> Iterator[None]:
    """Give signs of life within the block."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT_S):
            tell({})

    thread = threading.Thread(target=beat, name="index-advice-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """The advice as facts; `NotMeasuredError` says which right, extension or program is missing."""
    os.nice(NICENESS)
    options = Options(
        budget_bytes=plan["budget_bytes"],
        most=plan["most"],
        rehearse=plan["rehearse"],
        statements=[Statement(**one) for one in plan["statements"]],
    )
    try:
        with beating(tell):
            advice = recommend(parse(plan["url"], plan["variable"]), options)
    except LocalPlatformError as error:
        raise NotMeasuredError(f"the scratch server for the planner twin did not start: {error}") from None
    return WorkerOutput(tables={}, facts=advice.to_json())


if __name__ == "__main__":
    serve(work)
