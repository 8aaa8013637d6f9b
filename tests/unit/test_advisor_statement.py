"""What statements ask of tables, which indexes that suggests, and values in the place of parameters."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tasks.components.database.advisor.evidence import redundant
from tasks.components.database.advisor.fill import Filled, completed, filled
from tasks.components.database.advisor.propose import candidates
from tasks.components.database.advisor.statement import Sort, UnparsableError, Use, parse
from tasks.components.database.advisor.typing_by_place import typed
from tasks.components.database.advisor.values import Values
from tasks.components.database.advisor.workload import shortened
from tests.advisor_catalog import catalog, existing

CATALOG = catalog()


def uses(text: str) -> dict[str, Use]:
    return {use.table.name: use for use in parse(text, CATALOG).uses}


def test_filters_order_and_limit() -> None:
    use = uses("SELECT id, status FROM orders WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2")["orders"]
    assert use.equal == {"user_id": None}
    assert use.sorts == (Sort("created_at", descending=True),)
    assert use.limited
    assert use.selected == {"id", "status", "user_id", "created_at"}


def test_joins_ranges_and_literals() -> None:
    found = uses(
        "SELECT o.id, sum(i.quantity * i.price) FROM orders o JOIN items i ON i.order_id = o.id "
        "WHERE o.created_at >= $1 AND o.created_at < $2 AND o.status = 'open' AND o.deleted_at IS NULL GROUP BY o.id"
    )
    assert found["orders"].joined == {"id"}
    assert found["orders"].ranged == {"created_at"}
    assert found["orders"].equal == {"status": "'open'"}
    assert found["orders"].nulls == {"deleted_at": "IS NULL"}
    assert found["items"].joined == {"order_id"}


def test_a_correlated_subquery_knows_the_outer_row() -> None:
    found = uses("SELECT * FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id AND o.total > $1)")
    assert found["orders"].equal == {"user_id": None}
    assert found["users"].star


def test_names_of_ctes_are_no_tables() -> None:
    found = parse("WITH orders AS (SELECT id FROM users WHERE city = $1) SELECT * FROM orders WHERE id = $2", CATALOG)
    assert [use.table.name for use in found.uses] == ["users"]


def test_expressions_containment_and_patterns() -> None:
    use = uses(
        "SELECT 1 FROM orders WHERE lower(email) = $1 AND data @> $2 AND data ->> 'kind' = $3 AND status LIKE 'a%' "
        "AND note LIKE '%x%'"
    )["orders"]
    assert use.expressions == {"lower(email)": "=", "data ->> 'kind'": "="}
    assert use.contains == {"data": "@>"}
    assert (use.prefixed, use.infixed) == ({"status"}, {"note"})


def test_an_or_is_not_taken_for_an_and() -> None:
    use = uses("SELECT 1 FROM orders WHERE user_id = $1 OR vendor_id = $2")["orders"]
    assert use.equal == {}
    assert use.either == {"user_id", "vendor_id"}


def test_writes_name_what_they_set() -> None:
    use = uses("UPDATE orders SET status = $1 WHERE id = $2")["orders"]
    assert (use.written, use.assigned, use.equal) == (True, {"status"}, {"id": None})


def test_comments_delete_no_predicates() -> None:
    text = "SELECT 1 FROM orders WHERE user_id IN ($1 /*, ... */) AND vendor_id = $2 AND total IN ($3 /*, ... */)"
    use = uses(text)["orders"]
    assert use.listed == {"user_id", "total"}
    assert use.equal == {"vendor_id": None}


@pytest.mark.parametrize("text", ["SELEC 1", "SELECT 1; SELECT 2", "SELECT ("])
def test_what_is_no_statement_is_refused(text: str) -> None:
    with pytest.raises(UnparsableError):
        parse(text, CATALOG)


def proposed(text: str) -> set[str]:
    return {one.definition("i") for one in candidates(parse(text, CATALOG).uses, CATALOG)}


def test_equality_then_order() -> None:
    found = proposed("SELECT * FROM orders WHERE user_id = $1 ORDER BY created_at DESC LIMIT 10")
    assert "CREATE INDEX i ON public.orders USING btree (user_id, created_at DESC)" in found


def test_equality_then_range_the_most_selective_first() -> None:
    found = proposed("SELECT * FROM orders WHERE vendor_id = $1 AND user_id = $2 AND created_at > $3")
    assert "CREATE INDEX i ON public.orders USING btree (user_id, vendor_id, created_at)" in found


def test_a_rare_literal_makes_a_partial_index() -> None:
    found = proposed("SELECT * FROM orders WHERE status = 'open' AND user_id = $1")
    assert "CREATE INDEX i ON public.orders USING btree (user_id) WHERE status = 'open'" in found


def test_json_gets_gin_and_expressions_a_btree() -> None:
    found = proposed("SELECT * FROM orders WHERE data @> $1 AND lower(email) = $2")
    assert "CREATE INDEX i ON public.orders USING gin (data jsonb_path_ops)" in found
    assert "CREATE INDEX i ON public.orders USING btree ((lower(email)))" in found


def test_nothing_is_proposed_that_is_there_or_cannot_be_a_key() -> None:
    assert proposed("SELECT * FROM orders WHERE id = $1") == set()
    assert not any("note" in one for one in proposed("SELECT * FROM orders WHERE note = $1"))


def test_values_are_typed_and_quoted() -> None:
    text = "SELECT 1 FROM orders WHERE status = $1 AND created_at >= $2 AND created_at < $3 LIMIT $4"
    parsed = parse(text, CATALOG)
    days = tuple(f"2025-01-{day:02d}" for day in range(1, 21))
    name = ("public", "orders")
    columns = {
        (name, "status"): Values("text", ("it's",), ()),
        (name, "created_at"): Values("timestamp with time zone", (), days),
    }
    one = filled(text, parsed, columns)[0]
    assert one.whole
    assert "'it''s'::text" in one.text
    low, high = (one.text.index(day) for day in ("2025-01-10", "2025-01-12"))
    assert low < high


def test_a_parameter_that_nobody_knows_stays() -> None:
    text = "SELECT $1 FROM orders WHERE total = $2"
    (one,) = filled(text, parse(text, CATALOG), {})
    assert not one.whole
    assert "$1" in one.text


def test_redundant_is_what_another_one_contains_and_no_constraint() -> None:
    table = CATALOG.tables["public", "items"]
    indexes = (
        existing("a_b", "order_id", "sku"),
        existing("a", "order_id"),
        existing("twin_1", "price"),
        existing("twin_2", "price"),
        existing("unique_a", "order_id", unique=True),
    )
    changed = replace(CATALOG, tables={table.full_name: replace(table, indexes=indexes)})
    found = {one.sql for one in redundant(changed)}
    assert found == {"DROP INDEX CONCURRENTLY public.a", "DROP INDEX CONCURRENTLY public.twin_2"}


def test_filters_on_a_view_a_subquery_and_a_cte_reach_the_table() -> None:
    viewed = replace(CATALOG, views={("public", "open"): "SELECT o.user_id AS who, o.* FROM orders o"})
    for text in (
        "SELECT 1 FROM open WHERE who = $1 AND total > $2",
        "SELECT 1 FROM (SELECT user_id AS who, total FROM orders) x WHERE x.who = $1 AND total > $2",
        "WITH x AS (SELECT user_id AS who, total FROM orders) SELECT 1 FROM x WHERE who = $1 AND total > $2",
    ):
        found = parse(text, viewed)
        (use,) = found.uses
        assert (use.equal, use.ranged) == ({"user_id": None}, {"total"}), text
        assert [one.column for one in found.parameters.values()] == ["user_id", "total"]


def test_an_array_of_values_a_pattern_and_what_the_server_knows_the_type_of() -> None:
    text = "SELECT $1 FROM orders WHERE vendor_id = ANY ($2) AND email LIKE $3"
    name = ("public", "orders")
    columns = {
        (name, "vendor_id"): Values("bigint", ("7", "8"), ()),
        (name, "email"): Values("text", ("some_one@example",), ()),
    }
    given = filled(text, parse(text, CATALOG), columns)
    assert "bigint[]" in given[0].text
    assert any("some\\_" not in one.text and "%'" in one.text for one in given)
    assert not given[0].whole
    assert all(one.whole for one in completed(given, lambda _: ["text"]))
    assert not completed(given, lambda _: ["no such type"])[0].whole


def test_parameters_that_are_left_are_numbered_without_gaps_when_their_types_are_asked_for() -> None:
    given = [Filled("SELECT $4 || '7', $2 + $4", whole=False)]
    asked: list[str] = []

    def types(text: str) -> list[str]:
        asked.append(text)
        return ["integer", "text"]

    (found,) = completed(given, types)
    assert asked == ["SELECT $2 || '7', $1 + $2"]
    assert found == Filled("SELECT 'a'::text || '7', '1'::int + 'a'::text", whole=True)
    (part,) = completed(given, lambda _: ["integer", "no such type"])
    assert part == Filled("SELECT $4 || '7', '1'::int + $4", whole=False)


def test_ranges_take_a_small_a_middle_and_a_large_share_each_beside_another_one() -> None:
    text = "SELECT id FROM orders WHERE created_at > $1 AND created_at <= $2 AND total < $3"
    quantiles = tuple(str(percent) for percent in range(101))
    days, total = Values("numeric", (), quantiles), Values("numeric", (), quantiles)
    columns = {(("public", "orders"), "created_at"): days, (("public", "orders"), "total"): total}
    found = [re.findall(r"'(\d+)'", one.text) for one in filled(text, parse(text, CATALOG), columns)]
    shares = [(int(end) - int(start), int(below)) for start, end, below in found]
    assert (
        sorted(days for days, _ in shares)
        == sorted(below for _, below in shares)
        == pytest.approx([2, 10, 40], abs=1)
    )
    assert all(abs(days - below) > 2 for days, below in shares)


def test_a_list_of_thousands_is_cut_to_its_first_values() -> None:
    many = ", ".join(f"${number}" for number in range(1, 5001))
    text = shortened(f"SELECT 1 FROM orders WHERE id IN ({many}) AND vendor_id = $5001")
    assert len(text) < 300
    assert set(parse(text, CATALOG).parameters) == {*range(1, 21), 5001}


@pytest.mark.parametrize("text", ["SELECT " + "+".join(["1"] * 5000), "SELECT " + "NOT " * 5000 + "true"])
def test_what_is_nested_too_deeply_is_refused_like_any_other_text(text: str) -> None:
    with pytest.raises(UnparsableError, match="nested too deeply"):
        parse(text, CATALOG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT id FROM orders WHERE total < $1 + $2", "total < ($1::int + $2::int)"),
        ("SELECT sum(CASE WHEN status = $1 THEN $2 ELSE $3 END) FROM orders", "THEN $2::int ELSE $3::int END"),
        ("SELECT total * CASE WHEN status = $1 THEN $2 ELSE $3 END FROM orders", "THEN $2::int ELSE $3::int END"),
        (
            "SELECT avg(coalesce($1, $2)), round($3, $4) FROM orders",
            "COALESCE($1::int, $2::int)), round($3::int, $4)",
        ),
        ("SELECT id FROM orders WHERE created_at < $1 + $2", "created_at < ($1::date + $2::int)"),
    ],
)
def test_parameters_of_which_the_server_cannot_tell_the_type_get_it_by_their_place(text: str, expected: str) -> None:
    known = {1: "date"} if "created_at" in text else {}
    assert expected in typed(text, known)


def test_what_the_server_can_tell_stays_as_it_is() -> None:
    text = (
        "SELECT sum(CASE WHEN status = $1 THEN total ELSE $2 END), coalesce(email, $3) FROM orders WHERE id + $4 > $5"
    )
    assert typed(text, {}) == text


def test_the_first_part_of_a_sum_is_a_value_of_the_column() -> None:
    text = "SELECT id FROM orders WHERE total BETWEEN $1 AND $2 + $3"
    assert {number: one.column for number, one in parse(text, CATALOG).parameters.items()} == {1: "total", 2: "total"}
    columns = {(("public", "orders"), "total"): Values("integer", (), tuple(str(one) for one in range(100)))}
    given = filled(text, parse(text, CATALOG), columns)
    assert all(one.whole for one in given), "the offset is a number, whatever is not known of it"


def test_a_statement_gives_as_many_rows_as_it_gave_and_a_part_of_it_a_page() -> None:
    text = "SELECT id FROM orders WHERE user_id IN (SELECT id FROM users LIMIT $1) ORDER BY id LIMIT $2 OFFSET $3"
    (one,) = filled(text, parse(text, CATALOG), {}, limit=500)
    assert re.findall(r"(LIMIT|OFFSET) \D*(\d+)", one.text) == [("LIMIT", "20"), ("LIMIT", "500"), ("OFFSET", "0")]


def test_in_one_guess_open_ranges_of_one_type_meet_at_the_same_value() -> None:
    text = "SELECT id FROM orders WHERE created_at > $1 AND total < $2 AND status >= $3 AND status < $4"
    days = {"created_at": range(101), "total": range(50, 151), "status": range(101)}
    columns = {
        (("public", "orders"), name): Values("numeric", (), tuple(map(str, quantiles)))
        for name, quantiles in days.items()
    }
    guesses = [re.findall(r"'(\d+)'", one.text) for one in filled(text, parse(text, CATALOG), columns, variants=9)]
    assert [one[:2] for one in guesses].count(["50", "50"]) == 1
    assert guesses[-1][:2] == ["50", "50"]
    assert guesses[-1][2] != guesses[-1][3]  # a range with two ends is none where they meet
