"""What is handed to the advisor, and what becomes of its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.config import ReadStatement, build_config
from storage.errors import NotMeasuredError
from tasks.components.database import index_advice

READ = ReadStatement(name="history", sql="SELECT id FROM orders WHERE user_id = %(user)s ORDER BY at LIMIT 20")


def row(queryid: str, text: str | None, **values: Any) -> dict[str, Any]:
    return {
        "queryid": queryid,
        "text": text,
        "own": False,
        "read": None,
        "calls": 2,
        "plans": 0,
        "total_ms": 10.0,
        "planning_ms": 1.0,
        "rows": 4,
        "wal_bytes": 0,
        **values,
    }


def test_timed_reads_are_known_by_their_fingerprint() -> None:
    mine = "SELECT /* hasivu-perf */ id FROM orders WHERE user_id = $1 ORDER BY at LIMIT $2"
    rows = [row("1", mine, own=True), row("2", "SELECT /* hasivu-perf */ now()", own=True), row("3", mine)]
    index_advice.named_reads(rows, [READ])
    assert [one["read"] for one in rows] == ["history", None, None]
    assert [one["id"] for one in index_advice.workload(rows)] == ["1", "3"]
    assert "hasivu-perf" not in index_advice.workload(rows)[0]["text"]


def test_the_workload_is_what_ran_in_the_window() -> None:
    rows = [
        row("1", "SELECT 1 FROM a", total_ms=3.0),
        row("1", "SELECT 1 FROM a", total_ms=5.0, calls=1),  # by another role
        row("2", "SELECT 2 FROM b", calls=0, plans=3, total_ms=0.0),  # cancelled each time
        row("3", "CREATE TABLE …"),
        row("4", None),
        row("5", "SELECT 5 FROM c", calls=0),
    ]
    found = {one["id"]: one for one in index_advice.workload(rows)}
    assert set(found) == {"1", "2"}
    assert (found["1"]["calls"], found["1"]["total_ms"]) == (3, 10.0)
    assert found["2"]["cancelled"] == 3


EVIDENCE = {
    "table": "sales.orders",
    "reason": "helps 1 statement(s)",
    "helps": [{"statement": "7", "text": "SELECT 1", "calls": 3}],
    "hurts": [],
    "plans": [],
}


def answer(**values: Any) -> dict[str, Any]:
    return {
        "how": "planner twin",
        "statements": 2,
        "planned": 1,
        "notes": [],
        "not_planned": {"SELECT wrong": "no such column"},
        "recommendations": [],
        **values,
    }


@pytest.mark.parametrize(
    ("sql", "columns", "whole"),
    [
        ('CREATE INDEX CONCURRENTLY i ON "Sales"."Order" USING btree (a, "B" DESC)', ["a", "B"], True),
        ("CREATE INDEX CONCURRENTLY i ON s.t USING btree (a) WHERE b = 1", ["a"], False),
        ("CREATE INDEX CONCURRENTLY i ON s.t USING gin (a)", ["a"], False),
        ("CREATE INDEX CONCURRENTLY i ON s.t USING btree ((lower(a)), c)", ["", "c"], True),
    ],
)
def test_an_index_is_read_from_its_statement(sql: str, columns: list[str], *, whole: bool) -> None:
    given = answer(recommendations=[{"sql": sql, "drop": "DROP INDEX i", "evidence": EVIDENCE}])
    (found,) = index_advice.answered(given, [], 1.0).rows
    assert (found["columns"], found["whole"], found["statements"]) == (columns, whole, ["7"])
    assert json.loads(found["evidence"]) == EVIDENCE


def test_what_was_not_judged_is_named() -> None:
    found = index_advice.answered(answer(), [{"id": "9", "text": "SELECT  wrong"}], 1.0)
    assert found.refused == [{"statement": "9", "reason": "no such column"}]
    assert any("1 of 1 statements were not judged" in note and "no such column" in note for note in found.notes)


def test_no_advice_is_a_problem_and_never_an_empty_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    config = build_config("development")
    assert "no statement" in index_advice.ask(config, "postgresql://x", [], local=False).facts["advice_problem"]

    def refuses(*_: Any, **__: Any) -> None:
        raise NotMeasuredError("role a may not read the statistics of t: GRANT pg_read_all_data TO a")

    monkeypatch.setattr(index_advice, "run_worker", refuses)
    found = index_advice.ask(config, "postgresql://x", [{"id": "1", "text": "SELECT 1"}], local=False)
    assert "GRANT pg_read_all_data" in found.facts["advice_problem"]
    assert found.rows == []


def test_rows_are_copied_only_where_the_target_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def remembers(_: str, plan: Any, **__: Any) -> None:
        asked.append(plan["rehearse"])
        raise NotMeasuredError("enough")

    monkeypatch.setattr(index_advice, "run_worker", remembers)
    config = build_config("development", overrides={"database.advice.rehearse": "auto"})
    for local in (True, False):
        index_advice.ask(config, "postgresql://x", [{"id": "1", "text": "SELECT 1"}], local=local)
    assert asked == ["auto", "never"]
