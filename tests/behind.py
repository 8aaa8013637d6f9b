"""Applications that work beside what a test measures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]
Asking = Callable[[Connection, int], object]
"""What an application does with its connection the n-th time, from 1 on."""


@contextmanager
def behind(work: Callable[[threading.Event], object]) -> Iterator[None]:
    """`work` in a thread until the block ends, which sets the event that it got and waits for it."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def asking(url: str, ask: Asking, *, name: str = "meals", pause_s: float = 0.02) -> Iterator[None]:
    """An application named `name` that asks the database again and again, with a pause between."""

    def work(stop: threading.Event) -> None:
        with psycopg.connect(url, application_name=name, autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                ask(connection, number)
                stop.wait(pause_s)

    with behind(work):
        yield
