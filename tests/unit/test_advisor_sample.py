"""Queries that draw values which meet in the data, and what statements get of them."""

from __future__ import annotations

import pytest

from tasks.components.database.advisor.fill import filled
from tasks.components.database.advisor.sample import Draw, draws
from tasks.components.database.advisor.statement import parse
from tasks.components.database.advisor.values import Values
from tests.advisor_catalog import catalog


def of(text: str) -> list[Draw]:
    known = catalog()
    return draws(text, parse(text, known).parameters, known)


JOIN = (
    "SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id AND i.sku = $1 "
    "WHERE o.status = $2 AND o.total > 5 AND o.created_at > $3 ORDER BY o.id LIMIT $4"
)


def test_the_joins_stay_and_the_compared_columns_are_asked_for() -> None:
    (draw,) = of(JOIN)
    assert sorted(draw.numbers) == [1, 2]  # a bound of a range and a limit are no values of a row
    assert "o JOIN items i ON i.order_id = o.id" in draw.whole
    assert "o.total > 5" in draw.whole
    assert "$" not in draw.whole
    assert "i.sku::text" in draw.whole
    assert "o.status::text" in draw.whole


def test_of_a_large_table_some_pages_are_asked() -> None:
    (draw,) = of(JOIN)
    assert [text.count("TABLESAMPLE") for text in (*draw.samples, draw.whole)] == [1, 1, 0]
    assert "items i TABLESAMPLE system(0.5000)" in draw.samples[0]  # 20,000 of 4,000,000 rows


def test_a_subquery_is_asked_alone_without_what_is_outside() -> None:
    text = "SELECT * FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id AND o.status = $1)"
    (draw,) = of(text)
    assert draw.numbers == (1,)
    assert "FROM orders o)" in draw.whole


def test_what_cannot_be_asked_alone_is_left_out() -> None:
    assert of("SELECT * FROM (SELECT user_id FROM orders WHERE total > $1) x JOIN users u ON u.id = $2") == []
    assert of("SELECT 1") == []


STATUS = Values("text", ("done", "open", "sent"), ())
SKU = Values("text", (), tuple("abcdefgh"))
COLUMNS = {(("public", "orders"), "status"): STATUS, (("public", "items"), "sku"): SKU}


def test_values_of_one_row_go_together_and_the_last_variant_stays_rare() -> None:
    parsed = parse(JOIN, catalog())
    drawn = [{1: "s-1", 2: "lost"}, {1: "s-2", 2: "void"}]
    texts = [one.text for one in filled(JOIN, parsed, COLUMNS, drawn=drawn)]
    assert ["'s-1'" in texts[0], "'lost'" in texts[0]] == [True, True]
    assert ["'s-2'" in texts[1], "'void'" in texts[1]] == [True, True]
    assert not any(value in texts[2] for value in ("s-1", "s-2", "lost", "void"))


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("status IN ($1, $2)", ("'a'", "'b'")),
        ("status = ANY ($1::text[])", ('"a","b"',)),
        ("status LIKE $1", ("%",)),
    ],
)
def test_lists_get_several_values(condition: str, shown: tuple[str, ...]) -> None:
    text = f"SELECT id FROM orders WHERE {condition}"
    parsed = parse(text, catalog())
    drawn = [dict.fromkeys(parsed.parameters, value) for value in ("a", "b")]
    first = filled(text, parsed, COLUMNS, drawn=drawn)[0]
    assert first.whole
    assert all(part in first.text for part in shown)
