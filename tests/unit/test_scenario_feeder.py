"""Feeders: in order, at random, each row once; shards never draw one row twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage.errors import NotMeasuredError
from tasks.load.scenario.feeder import Feeder, UsedUpError, from_csv, from_rows

ROWS = [{"card": f"RFID-{number}"} for number in range(7)]
RNG = random.Random(1)  # noqa: S311 - test data


def seeded() -> random.Random:
    return random.Random(5)  # noqa: S311 - test data


def all_of(feeder: Feeder) -> list[str]:
    drawn = []
    while True:
        try:
            drawn.append(feeder.draw(RNG)["card"])
        except UsedUpError:
            return drawn


def test_a_csv_file_gives_its_rows_in_order_and_again_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "cards.csv"
    path.write_text('\ufeffcard,child\nRFID-1,"Rao, Asha"\nRFID-2,Ben\n', encoding="utf-8")
    feeder = from_csv(path)
    assert [feeder.draw(RNG) for _ in range(3)] == [
        {"card": "RFID-1", "child": "Rao, Asha"},
        {"card": "RFID-2", "child": "Ben"},
        {"card": "RFID-1", "child": "Rao, Asha"},
    ]


def test_rows_that_serve_once_are_drawn_once_by_all_shards_together() -> None:
    drawn = []
    for number in range(3):
        feeder = from_rows(ROWS, "once")
        feeder.share(number, 3)
        drawn.append(all_of(feeder))
    assert sorted(card for share in drawn for card in share) == sorted(row["card"] for row in ROWS)
    assert len(drawn[0]) == 3


def test_shards_in_order_never_share_a_row_however_often_they_begin_again() -> None:
    seen = []
    for number in range(2):
        feeder = from_rows(ROWS, "sequential")
        feeder.share(number, 2)
        seen.append({feeder.draw(RNG)["card"] for _ in range(40)})
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1]) == 7


def test_random_rows_repeat_and_a_seed_repeats_them() -> None:
    feeder = from_rows(ROWS, "random")
    first, again = ([feeder.draw(rng)["card"] for _ in range(50)] for rng in (seeded(), seeded()))
    assert first == again
    assert len(set(first)) > 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("card,child\nRFID-1\n", "row 2 has not as many fields"),
        ("card\nRFID-1\nRFID-2,x\n", "row 3 has not as many fields"),
        ("card\n", "has no rows"),
        ('card\n"open', "cannot be read"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "cards.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(NotMeasuredError, match=words) as caught:
        from_csv(path)
    assert "cards.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_an_unknown_mode_and_too_many_shards() -> None:
    with pytest.raises(NotMeasuredError, match="cannot be read"):
        from_csv("/nowhere/cards.csv")
    with pytest.raises(NotMeasuredError, match="sequential, random, once"):
        from_rows(ROWS, "sometimes")  # type: ignore[arg-type]
    with pytest.raises(NotMeasuredError, match="7 rows for 8 shards"):
        from_rows(ROWS, "once").share(7, 8)
