"""What a suite of the benchmark is: how its database is made, its reads, and its mix of writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

Build = Callable[[str, str], None]
"""(URL of the superuser, URL of the application's role): fills an empty database and analyses it."""


def filled(schema: str) -> Build:
    """What fills a database by these statements and analyses it."""

    def build(_: str, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(schema.encode())
            connection.execute("VACUUM (ANALYZE)")

    return build


@dataclass(frozen=True, slots=True)
class Suite:
    """A schema with a workload; `weights` says how often a statement runs, once where it is not named."""

    name: str
    about: str
    build: Build
    statements: Mapping[str, str]
    weights: Mapping[str, int] = field(default_factory=dict)
    mix: Callable[[int], Sequence[str]] | None = None
    """The statements of the n-th transaction of the OLTP mix."""
    budget_mb: float | None = None
