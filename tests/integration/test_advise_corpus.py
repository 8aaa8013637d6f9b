"""Advice where schema and statements are not simple: nothing aborts, 98 % are planned, what is said can be run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from tasks.components.database.advisor import recommend as recommending
from tasks.components.database.advisor.evidence import Advice
from tasks.components.database.advisor.recommend import Options, recommend
from tasks.load.database.session import parse
from tests.advisor_corpus import ABROAD, ORDER, SCHEMA, STATEMENTS
from tests.databases import DEBIAN_15, Database, database, needs_debian_15


def fill(found: Database) -> None:
    found.run("CREATE EXTENSION pg_stat_statements SCHEMA public")
    found.run(*SCHEMA, url=found.application)
    found.run(*ABROAD)
    found.run("SELECT public.pg_stat_statements_reset()")
    with psycopg.connect(found.application, autocommit=True) as connection:
        for text, values in STATEMENTS:
            psycopg.ClientCursor(connection).execute(text.encode(), values or None)  # the server takes constants out
            with suppress(psycopg.ProgrammingError):
                connection.execute(text.encode(), values or None, prepare=True)  # some cannot have parameters there


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("corpus")) as found:
        fill(found)
        yield found


@pytest.fixture(scope="module")
def advice(server: Database) -> Advice:
    return recommend(parse(server.analysis, "url"), Options(rehearse="never", budget_bytes=100_000_000))


def test_nearly_every_statement_is_planned(advice: Advice) -> None:
    assert advice.statements >= len(STATEMENTS) - 2
    assert advice.planned >= 0.98 * advice.statements, advice.not_planned


def test_tables_of_every_kind_are_advised(advice: Advice) -> None:
    tables = {one.evidence.table for one in advice.recommendations}
    assert {"public.readings", "Kitchen Ops.Order", "public.people"} <= tables


def test_where_there_are_too_many_pairs_to_rate_the_advice_hardly_differs(
    server: Database, advice: Advice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommending, "PAIRS", 0)
    found = recommend(parse(server.analysis, "url"), Options(rehearse="never", budget_bytes=100_000_000))
    usual, few = ({one.sql for one in each.recommendations} for each in (advice, found))
    assert len(usual & few) >= 0.8 * len(usual)


def test_a_table_with_a_foreign_partition_is_named_and_the_others_of_it_can_be_indexed(advice: Advice) -> None:
    assert "public.visits has foreign tables as partitions: no index of all of it is advised" in advice.notes
    tables = {one.evidence.table for one in advice.recommendations}
    assert "public.visits" not in tables
    assert "public.visits_here" in tables


def test_what_inherits_is_indexed_itself(advice: Advice) -> None:
    tables = {one.evidence.table for one in advice.recommendations}
    assert {"public.deliveries", "public.late_deliveries"} <= tables


def test_a_unit_of_time_is_no_reason_not_to_plan(advice: Advice) -> None:
    assert not [text for text in advice.not_planned if "extract" in text or "date_" in text]


def test_filters_on_a_view_reach_its_tables(server: Database) -> None:
    from tasks.components.database.advisor.workload import Statement  # noqa: PLC0415

    text = "SELECT note FROM current_orders WHERE user_id = $1"
    found = recommend(
        parse(server.analysis, "url"), Options(rehearse="never", statements=[Statement("1", text, 10, 100)])
    )
    assert [one.sql.split(" ON ")[1] for one in found.recommendations if '"userId"' in one.sql]


def test_what_is_advised_can_be_run_and_undone(server: Database, advice: Advice) -> None:
    for one in advice.recommendations:
        server.run(*one.sql.split(";\n"), url=server.application)
        server.run(one.drop, url=server.application)
    sequences = [one.sql.split(";\n") for one in advice.recommendations if "ATTACH PARTITION" in one.sql]
    assert sequences, "a partitioned table is to have an index"
    for whole, *parts in sequences:
        assert " ON ONLY " in whole
        pairs = zip(parts[::2], parts[1::2], strict=True)
        assert all("CREATE INDEX CONCURRENTLY " in build and "ATTACH" in join for build, join in pairs)


def test_a_rehearsal_of_it_works(server: Database) -> None:
    found = recommend(parse(server.analysis, "url"), Options(rehearse="always"))
    assert "rehearsed" in found.how, found.notes
    assert ORDER in " ".join(one.sql for one in found.recommendations)


@needs_debian_15
def test_postgresql_15(tmp_path_factory: pytest.TempPathFactory) -> None:
    with database(tmp_path_factory.mktemp("fifteen"), binaries=DEBIAN_15) as found:
        fill(found)
        told = recommend(parse(found.analysis, "url"), Options(rehearse="never"))
        assert told.planned >= 0.98 * told.statements, told.not_planned
