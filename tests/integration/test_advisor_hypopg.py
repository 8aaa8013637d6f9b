"""What-if by HypoPG on PostgreSQL 15, where Debian's package is installed; nothing is written to the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tasks.components.database.advisor.hypopg import HypoPG
from tasks.components.database.advisor.records import PlanError
from tests.advisor_sales import SCHEMA, STATEMENTS, index, session
from tests.databases import DEBIAN_15, Database, database, needs_debian_15

INSTALLED = Path("/usr/share/postgresql/15/extension/hypopg.control").is_file()
pytestmark = [
    pytest.mark.system,
    needs_debian_15,
    pytest.mark.skipif(not INSTALLED, reason="Debian's postgresql-15-hypopg is not installed"),
]
ONE = index("orders", "customer_id")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg15"), binaries=DEBIAN_15) as started:
        started.run(*SCHEMA)
        yield started


@pytest.fixture
def hypopg(server: Database) -> Iterator[HypoPG]:
    server.run("CREATE EXTENSION IF NOT EXISTS hypopg")
    with session(server.analysis) as source:
        found = HypoPG.of(source)
        assert found is not None
        yield found


def test_without_the_extension_there_is_none(server: Database) -> None:
    server.run("DROP EXTENSION IF EXISTS hypopg")
    with session(server.analysis) as source:
        assert HypoPG.of(source) is None


@pytest.mark.parametrize("name", ["equal", "equal, any value"])
def test_an_added_index_is_used_hidden_and_removed(hypopg: HypoPG, server: Database, name: str) -> None:
    text = STATEMENTS[name]
    before = hypopg.plan(text)
    assert hypopg.add(ONE) > 1_000_000
    after = hypopg.plan(text)
    assert before.indexes == frozenset()
    assert after.indexes == {ONE.name}
    assert after.cost < before.cost / 20
    assert hypopg.plan(text, hidden=[ONE.name]).cost == before.cost
    assert hypopg.plan(text).indexes == {ONE.name}
    hypopg.remove(ONE)
    assert hypopg.plan(text).cost == before.cost
    with psycopg.connect(server.admin) as connection:
        found = connection.execute("SELECT count(*) FROM pg_class WHERE relname LIKE '%hasivu_perf%'").fetchone()
    assert found == (0,)


def test_what_it_cannot_do_is_an_error_and_it_goes_on(hypopg: HypoPG) -> None:
    with pytest.raises(PlanError, match="gin"):
        hypopg.add(index("products", "tags", method="gin"))
    with pytest.raises(PlanError, match="no_such"):
        hypopg.add(index("orders", "no_such"))
    with pytest.raises(PlanError, match="SQLSTATE 22P02") as caught:
        hypopg.plan("SELECT * FROM orders WHERE id = 'canary'")
    assert "canary" not in str(caught.value)
    with pytest.raises(PlanError, match="semicolon"):
        hypopg.plan("SELECT 1; SELECT 2")
    with pytest.raises(PlanError, match="permission denied"):
        hypopg.plan(STATEMENTS["write"])
    assert hypopg.plan("SELECT * FROM orders WHERE id = 5").indexes == {"orders_pkey"}
