"""The embedded database: its rows, its roles and its planted defects, seen by the catalogs alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from deployments.local import identity, schema, seed
from deployments.local.defects import IDLE_APPLICATION, PLANTED, SEQUENCE, VACUUM_TABLE
from deployments.local.platform import Part, Platform, platform

Connection = psycopg.Connection[tuple[Any, ...]]

TABLE_OF = {
    kind: {"whatsapp_message": "whatsapp_messages"}.get(kind, f"{kind}s")
    for kind in identity.ROWS
    if kind not in {"user", "student", "delivery_verification"}
}


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    with platform(parts={Part.DATABASE, Part.CACHE}) as started:
        yield started


@pytest.fixture
def analysis(running: Platform) -> Iterator[Connection]:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        yield connection


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0]


def column(connection: Connection, query: str, *values: Any) -> set[Any]:
    return {row[0] for row in connection.execute(query.encode(), values)}


class TestRows:
    @pytest.mark.parametrize("kind", TABLE_OF)
    def test_each_kind_has_its_rows_under_its_keys(self, analysis: Connection, kind: str) -> None:
        rows = identity.ROWS[kind]
        query = f"SELECT count(*), min(id), max(id) FROM {TABLE_OF[kind]}"
        assert analysis.execute(query.encode()).fetchone() == (rows, identity.key(kind, 1), identity.key(kind, rows))

    def test_students_are_users(self, analysis: Connection) -> None:
        counts = analysis.execute(
            "SELECT role = 'student', count(*), max(id) FROM users GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert counts == [
            (False, 20_000, identity.key("user", 20_000)),
            (True, 40_000, identity.key("student", 40_000)),
        ]

    def test_the_verifications_are_all_there(self, analysis: Connection) -> None:
        assert one(analysis, "SELECT count(*) FROM delivery_verifications") == 150_000
        assert one(analysis, "SELECT max(id) FROM delivery_verifications") == identity.key(
            "delivery_verification", 150_000
        )

    def test_all_42_tables_hold_rows(self, analysis: Connection) -> None:
        counts = {t.name: one(analysis, f"SELECT count(*) FROM {t.name}") for t in schema.tables()}
        assert len(counts) == 42
        assert all(counts.values())
        assert sum(counts.values()) > 1_000_000
        assert len([name for name, rows in counts.items() if rows >= 10_000]) >= 10

    def test_statistics_agree_with_the_rows(self, analysis: Connection) -> None:
        live: dict[str, int] = dict(
            analysis.execute("SELECT relname, n_live_tup FROM pg_stat_user_tables").fetchall()
        )
        assert live["orders"] == 220_000
        assert live["order_items"] == 420_000
        assert live["users"] == 60_000

    def test_a_card_belongs_to_the_student_of_its_number(self, analysis: Connection) -> None:
        for number in (1, identity.TEST_CARDS, 40_000):
            card = analysis.execute(
                "SELECT id, student_id, is_active, expires_at > now() FROM rfid_cards WHERE card_number = %s",
                (identity.card_number(number),),
            ).fetchone()
            assert card == (identity.key("rfid_card", number), identity.key("student", number), True, True)

    def test_totals_of_orders_are_the_sums_of_their_items(self, analysis: Connection) -> None:
        query = """SELECT count(*) FROM orders o JOIN (SELECT order_id, sum(total_price) AS total FROM order_items
                   GROUP BY order_id) i ON i.order_id = o.id WHERE o.total_amount = i.total"""
        assert one(analysis, query) == 220_000

    def test_order_1_is_the_newest_and_todays_orders_are_open(self, analysis: Connection) -> None:
        assert one(analysis, "SELECT id FROM orders ORDER BY created_at DESC LIMIT 1") == identity.key("order", 1)
        states = """SELECT DISTINCT status FROM orders
                    WHERE delivery_date >= (SELECT date_trunc('day', max(delivery_date)) FROM orders)"""
        assert column(analysis, states) == {"pending", "confirmed", "preparing", "cancelled"}
        assert one(analysis, "SELECT avg((status = 'delivered')::int) FROM orders") > 0.9
        assert one(analysis, "SELECT max(created_at) < now() FROM orders")

    def test_the_day_is_skewed(self, analysis: Connection) -> None:
        at_lunch = "SELECT avg((created_at::time BETWEEN '06:00' AND '08:00')::int) FROM orders"  # 11:30 to 13:30 IST
        assert 0.43 < one(analysis, at_lunch) < 0.47
        assert column(analysis, "SELECT DISTINCT extract(isodow FROM delivery_date)::int FROM orders") == {
            1,
            2,
            3,
            4,
            5,
        }
        sizes = [
            row[0]
            for row in analysis.execute(
                "SELECT count(*) FROM users WHERE role = 'student' GROUP BY school_id ORDER BY 1 DESC"
            )
        ]
        assert len(sizes) == 60
        assert sizes[0] > 20 * sizes[-1]

    def test_the_seed_gives_the_same_rows_again(self, running: Platform) -> None:
        with psycopg.connect(running.admin_database_url, autocommit=True) as connection:
            newest = one(connection, "SELECT max(delivery_date)::date FROM orders")
            connection.execute(seed._functions(newest).encode())
            try:
                connection.execute((seed.HERE / "orders.sql").read_bytes())
                differing = """SELECT count(*) FROM seed.orders s FULL JOIN orders o ON o.id = seed.order_key(s.n)
                    WHERE (o.status, o.total_amount, o.created_at, o.delivery_date, o.student_id) IS DISTINCT FROM
                          (s.status, s.total, s.placed_at::timestamp(3), s.slot, seed.student_key(s.student))"""
                assert one(connection, differing) == 0
            finally:
                connection.execute("DROP SCHEMA seed CASCADE")


class TestSchema:
    def test_every_foreign_key_is_valid(self, analysis: Connection) -> None:
        query = "SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE contype = 'f'"
        assert analysis.execute(query).fetchone() == (61, True)

    def test_indexes_are_those_of_the_facts_and_the_planted_ones(self, analysis: Connection) -> None:
        made = column(analysis, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
        facts = json.loads(schema.FACTS.read_text())["schema"]
        expected = {i["name"] for t in facts for i in t["indexes"]} | {f"{t['table']}_pkey" for t in facts}
        assert made - expected == {
            "order_items_order_lookup_idx",
            "payments_user_id_created_at_idx",
            "order_items_reporting_idx",
        }
        assert expected - made == {"orders_user_id_idx"}


class TestDefects:
    def test_foreign_keys_without_index(self, analysis: Connection) -> None:
        found = column(
            analysis,
            """SELECT conname FROM pg_constraint c WHERE contype = 'f' AND NOT EXISTS (
                 SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indpred IS NULL
                    AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)""",
        )
        planted = {d.objects[1] for d in PLANTED if d.kind == "foreign key without index"}
        assert planted <= found
        assert len(found) == 28  # 27 of the facts and the one whose index was left out

    @pytest.mark.parametrize("table", [d.where for d in PLANTED if d.kind == "filter and sort without index"])
    def test_filter_and_sort_without_index_reads_the_whole_table(self, analysis: Connection, table: str) -> None:
        query = f"SELECT * FROM {table} WHERE user_id = %s ORDER BY created_at DESC LIMIT 50"
        values = (identity.key("user", 9000),)  # an ordinary one: the most frequent have plans of their own
        plan = one(analysis, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)[0]["Plan"]
        sort = plan["Plans"][0]
        assert (sort["Node Type"], sort["Plans"][0]["Node Type"]) == ("Sort", "Seq Scan")
        assert sort["Plans"][0]["Rows Removed by Filter"] > 20_000  # some 5 ms on the machine of 2 cores

    def test_duplicate_and_redundant_indexes(self, analysis: Connection) -> None:
        pairs = {
            (row[0], row[1], row[2])
            for row in analysis.execute(
                """SELECT a.indexrelid::regclass::text, b.indexrelid::regclass::text, a.indnatts = b.indnatts
                     FROM pg_index a JOIN pg_index b ON a.indrelid = b.indrelid AND a.indexrelid <> b.indexrelid
                    WHERE NOT a.indisunique AND b.indkey::text || ' ' LIKE a.indkey::text || ' %'"""
            )
        }
        assert ("order_items_order_lookup_idx", "order_items_order_id_idx", True) in pairs
        assert ("users_email_idx", "users_email_key", True) in pairs
        assert ("payments_user_id_idx", "payments_user_id_created_at_idx", False) in pairs
        assert ("student_parents_student_id_idx", "student_parents_student_id_parent_id_key", False) in pairs

    def test_the_unused_index_is_large_and_was_never_used(self, analysis: Connection) -> None:
        query = """SELECT idx_scan, pg_relation_size(indexrelid) FROM pg_stat_user_indexes
                   WHERE indexrelname = 'order_items_reporting_idx'"""
        row = analysis.execute(query).fetchone()
        assert row is not None
        assert row[0] == 0
        assert row[1] > 10_000_000

    def test_a_session_is_idle_in_transaction(self, analysis: Connection) -> None:
        query = """SELECT state, backend_xid IS NOT NULL, query LIKE '%%menu_plans%%' FROM pg_stat_activity
                   WHERE application_name = %s"""
        assert analysis.execute(query, (IDLE_APPLICATION,)).fetchall() == [("idle in transaction", True, True)]

    def test_a_table_needs_vacuum(self, analysis: Connection) -> None:
        query = """SELECT n_dead_tup::float / (n_dead_tup + n_live_tup), 'autovacuum_enabled=false' = ANY(reloptions)
                   FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid WHERE pg_class.relname = %s"""
        row = analysis.execute(query, (VACUUM_TABLE,)).fetchone()
        assert row is not None
        assert row[0] == pytest.approx(45 / 105, abs=0.01)
        assert row[1]
        others = "SELECT max(n_dead_tup) FROM pg_stat_user_tables WHERE relname <> %s"
        assert one(analysis, others, VACUUM_TABLE) < 1000

    def test_a_sequence_is_near_its_end(self, analysis: Connection) -> None:
        query = "SELECT last_value::float / max_value FROM pg_sequences WHERE sequencename = %s"
        assert 0.9 < one(analysis, query, SEQUENCE) < 1


class TestAccess:
    def test_the_analysis_reads_everything_and_writes_nothing(self, analysis: Connection) -> None:
        assert one(analysis, "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%%menu_plans%%'") > 0
        assert one(analysis, "SELECT dead_tuple_count FROM pgstattuple('roles')") == 0
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            analysis.execute("DELETE FROM roles")
        analysis.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analysis.execute("DELETE FROM roles")

    def test_the_application_owns_the_tables(self, running: Platform) -> None:
        with psycopg.connect(running.application_database_url) as connection:
            assert column(connection, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == {
                "hasivu_app"
            }
            assert one(connection, "SELECT nextval(%s)", SEQUENCE) > 2_000_000_000

    def test_a_wrong_password_is_refused(self, running: Platform) -> None:
        url = running.database_url.replace("@", "x@")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url)

    def test_it_listens_on_the_loopback_only_and_trusts_nobody(self, running: Platform) -> None:
        with psycopg.connect(running.admin_database_url) as connection:
            assert one(connection, "SHOW listen_addresses") == "127.0.0.1"
            assert one(connection, "SHOW unix_socket_directories") == ""
            assert column(connection, "SELECT auth_method FROM pg_hba_file_rules") == {"scram-sha-256"}

    def test_it_measures_what_an_analysis_needs(self, analysis: Connection) -> None:
        wanted = {"track_io_timing": "on", "pg_stat_statements.track_planning": "on", "max_connections": "60"}
        for name, value in wanted.items():
            assert one(analysis, f"SHOW {name}") == value
