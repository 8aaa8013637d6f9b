"""The Python API of the database on a real server: the document's example, the busiest table, events, approval."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from storage.errors import UsageError
from tasks.components.database.change.records import State
from tasks.database_service import Approval, DatabasePerformanceService
from tests.changing import GOOD, OF_CUSTOMER, OF_TAGS, advice, busy, indexes, write_environments
from tests.databases import Database

DOCUMENT = Path(__file__).parents[2] / "docs" / "database-api.md"


@pytest.fixture(autouse=True)
def environment(shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Environments of our own, whose database is the shop."""
    write_environments(tmp_path)
    monkeypatch.setenv("HASIVU_PERF_ENVIRONMENTS", str(tmp_path))
    for name in ("OWNER_URL", "DEVELOPMENT_DATABASE_URL", "PRODUCTION_DATABASE_URL"):
        monkeypatch.setenv(name, shop.application)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    shop.run(*(f"DROP INDEX {name}" for name in indexes(shop)))


def test_the_example_of_the_document_runs(shop: Database, capsys: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    names: dict[str, Any] = {}
    with busy(shop.application, OF_CUSTOMER, OF_TAGS, OF_TAGS):
        exec(compile(example, str(DOCUMENT), "exec"), names)  # noqa: S102 - our own document
    metrics, outcome = names["metrics"], names["outcome"]
    assert metrics.table_metrics[0].name == "tags"  # two of three statements
    assert [one.name for one in metrics.table_metrics[:2]] == ["tags", "orders"]
    orders = metrics.table_metrics[1]
    assert 1.8 < metrics.table_metrics[0].queries / orders.queries < 2.2
    assert orders.time_ms > metrics.table_metrics[0].time_ms
    assert metrics.value("database.query.p95") > 0
    assert any("customer" in entry.step.sql and entry.state is State.KEPT for entry in outcome.entries)
    assert "p95 of the timed reads" in capsys.readouterr().out


def test_a_slow_query_is_told(shop: Database) -> None:
    told, heard = threading.Event(), []

    def listener(event: Any) -> None:
        heard.append(event)
        told.set()

    with DatabasePerformanceService("development") as service:
        service.on("slow-query", listener)
        with pytest.raises(UsageError, match="events are slow-query"):
            service.on("slow-querry", listener)
        with psycopg.connect(shop.application, autocommit=True, application_name="shop") as connection:
            while not told.is_set():
                connection.execute("SELECT pg_sleep(1.5)")
    assert heard[0].duration_ms > 100
    assert "pg_sleep" in heard[0].statement


def test_production_is_never_changed_without_an_approved_plan(shop: Database) -> None:
    service = DatabasePerformanceService("production")
    made = advice(*GOOD)
    with pytest.raises(UsageError, match="changed by an approved plan alone"):
        service.apply_automatic_optimizations(made)
    with pytest.raises(UsageError, match="was not approved"):
        service.apply_automatic_optimizations(made, approval=Approval("000000000000", "Asha"))
    assert indexes(shop) == {}
    approval = Approval(service.plan(made).short, "Asha")
    outcome = service.apply_automatic_optimizations(made, approval=approval)
    assert outcome.approved_by == "Asha in a program"
    assert indexes(shop) == {"hasivu_perf_customer": True}


def test_only_what_the_file_allows_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    service = DatabasePerformanceService("development", say=said.append)
    assert service.plan(advice("hasivu_perf_t", "public.tags (name)")).steps == ()
    assert said[0].startswith("left out, for public.tags is not in [database.changes] tables")
    monkeypatch.delenv("HASIVU_PERF_ENVIRONMENTS")
    with pytest.raises(UsageError, match="staging allows no changes of its database"):
        DatabasePerformanceService("staging").apply_automatic_optimizations(advice(*GOOD))
