"""The sources of the seed: complete, reproducible, and on a school day."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from deployments.local import identity, schema, seed


@pytest.mark.parametrize(
    ("today", "newest"),
    [
        (date(2026, 11, 16), date(2026, 11, 16)),  # a Monday
        (date(2026, 11, 20), date(2026, 11, 20)),  # a Friday
        (date(2026, 11, 21), date(2026, 11, 20)),
        (date(2026, 11, 22), date(2026, 11, 20)),
    ],
)
def test_the_newest_school_day_is_no_weekend(today: date, newest: date) -> None:
    assert seed.school_day(today) == newest


def test_every_table_has_its_rows() -> None:
    files = {path.stem for path in (seed.HERE / "tables").glob("*.sql")}
    assert files == {table.name for table in schema.tables()}


@pytest.mark.parametrize("path", sorted(seed.HERE.rglob("*.sql")), ids=lambda path: path.stem)
def test_nothing_in_the_seed_depends_on_chance_or_on_the_clock(path: Path) -> None:
    code = re.sub(r"--.*", "", path.read_text())
    assert not re.search(
        r"\brandom\s*\(|\bnow\s*\(|\bcurrent_|clock_timestamp|gen_random|localtime", code, re.IGNORECASE
    )


def test_the_kinds_of_the_seed_do_not_meet_those_of_the_load_plans() -> None:
    assert not set(seed.OTHER_ROWS) & set(identity.ROWS)
    assert set(identity.ROWS) == set(identity.KINDS)


def test_at_least_a_million_rows_lie_in_at_least_ten_tables() -> None:
    large = [rows for rows in identity.ROWS.values() if rows >= 10_000]
    assert len(large) >= 10
    assert sum(large) >= 1_000_000
