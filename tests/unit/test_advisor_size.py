"""The arithmetic of index sizes, against sizes that are known from PostgreSQL's own arithmetic."""

from __future__ import annotations

import pytest

from tasks.components.database.advisor import size
from tasks.components.database.advisor.size import PAGE, Column

INTEGER = Column(4, 4, distinct=1e6)
BIGINT = Column(8, 8, distinct=1e6)
UUID = Column(16, 1, distinct=1e6)
TEXT = Column(21, 1, fixed=False, distinct=1e6)


@pytest.mark.parametrize(
    ("keys", "width"),
    [
        ([INTEGER], 16),  # 8 of the header, 4, up to a multiple of 8
        ([BIGINT], 16),
        ([UUID], 24),
        ([INTEGER, BIGINT], 24),
        ([BIGINT, INTEGER], 24),
        ([Column(2, 2), Column(1, 1), INTEGER], 16),
        ([Column(4, 4, nulls=1.0)], 16),  # the bitmap of NULLs
        ([Column(4, 4, nulls=1.0), INTEGER], 24),
        ([TEXT], 8 + 21 + 3.5),
    ],
)
def test_a_tuple_is_aligned_as_postgresql_aligns_it(keys: list[Column], width: float) -> None:
    assert size.tuple_width(keys) == width


def test_a_million_different_integers_take_2745_pages() -> None:
    # 366 tuples of 20 bytes a leaf at fillfactor 90: what every PostgreSQL since 8.3 makes of this index
    found = size.btree(1e6, [INTEGER])
    assert found.pages == pytest.approx(2745, rel=0.01)
    assert found.level == 2
    assert found.bytes == found.pages * PAGE


def test_posting_lists_take_six_bytes_a_row() -> None:
    many = size.btree(1e6, [Column(4, 4, distinct=50)])
    assert many.bytes == pytest.approx(1e6 * 6 * 1.12, rel=0.05)  # a tenth of each page stays free
    assert many.bytes < size.btree(1e6, [INTEGER]).bytes / 3


def test_deduplication_ends_with_include_and_with_types_that_forbid_it() -> None:
    few = Column(4, 4, distinct=50)
    assert size.btree(1e6, [few], deduplicates=False).pages == size.btree(1e6, [INTEGER]).pages
    assert size.btree(1e6, [few], [Column(4, 4)]).pages == size.btree(1e6, [INTEGER]).pages  # 4 + 4 fill one word


def test_common_values_and_nulls_are_groups_of_their_own() -> None:
    mostly_null = Column(8, 8, nulls=0.9, distinct=1e5)
    assert size.btree(1e6, [mostly_null]).bytes == pytest.approx(9e5 * 6.7 + 1e5 * 20 / 0.9, rel=0.06)
    one_value = Column(8, 8, distinct=1e5, common=(0.9,))
    assert size.btree(1e6, [one_value]).bytes == pytest.approx(size.btree(1e6, [mostly_null]).bytes, rel=0.05)


def test_no_rows_are_one_page_and_nothing_grows_when_rows_shrink() -> None:
    assert size.btree(0, [INTEGER]).pages == 1
    pages = [size.btree(rows, [Column(4, 4, distinct=rows)]).pages for rows in (1, 10, 1e3, 1e5, 1e7)]
    assert pages == sorted(pages)
    assert pages[0] == 2  # the meta page and a leaf


def test_independent_columns_multiply_until_rows_are_fewer() -> None:
    ten, hundred = Column(4, 4, distinct=10), Column(4, 4, distinct=100)
    assert size.distinct_keys(1e6, [ten, hundred]) == pytest.approx(1000)
    assert size.distinct_keys(1000, [ten, hundred]) == pytest.approx(1000 * (1 - 2.718281828**-1), rel=1e-6)
    assert size.distinct_keys(500, [INTEGER, ten]) == 500
    assert size.distinct_keys(1e6, [Column(4, 4, nulls=0.5, distinct=10)]) == 11


def test_the_height_follows_the_number_of_leaves() -> None:
    levels = [size.btree(rows, [Column(4, 4, distinct=rows)]).level for rows in (100, 10_000, 1e6, 1e8)]
    assert levels == [0, 1, 2, 3]


def test_brin_is_a_tuple_for_128_pages_of_the_table() -> None:
    assert size.brin(100, [INTEGER]).pages == 3
    assert size.brin(1_000_000, [BIGINT]).pages == pytest.approx(1_000_000 / 128 * 28 / 8152, abs=8)


def test_hash_buckets_come_in_quarters_of_powers_of_two() -> None:
    rows = 1e6
    needed = rows * 20 / (8152 * 0.75)
    pages = size.hashed(rows).pages
    assert needed <= pages <= needed * 1.25 + 2


def test_gin_grows_with_elements_and_with_how_many_differ() -> None:
    few = size.gin(1e5, 1e3, Column(40, entries=3, elements=100)).pages
    more = size.gin(1e5, 1e3, Column(40, entries=6, elements=100)).pages
    differing = size.gin(1e5, 1e3, Column(40, entries=3, elements=100_000)).pages
    assert few < more < 3 * few
    assert few < differing
