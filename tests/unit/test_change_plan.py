"""What a plan may hold, and who may approve it."""

from __future__ import annotations

import json
import os
import pty
from typing import Any

import pytest

from flows import approval
from storage.errors import ConfigurationError, UsageError
from tasks.components.database.change import plan as plans
from tasks.components.database.change.records import ChangePlan, Kind

ALLOWED = plans.Allowed({"public.orders", "shop.Odd"}, most=2)
CREATE = "CREATE INDEX CONCURRENTLY hasivu_perf_x ON public.orders USING btree (customer)"
ONLY = "CREATE INDEX hasivu_perf_x ON ONLY public.orders USING btree (customer)"
JOIN = "ALTER INDEX public.hasivu_perf_x ATTACH PARTITION public.i"
DROP = "DROP INDEX CONCURRENTLY public.hasivu_perf_x"


def read(*rows: Any, allowed: plans.Allowed = ALLOWED, **more: Any) -> ChangePlan:
    return plans.read(json.dumps({"recommendations": rows, **more}), "plan.json", allowed)


def row(sql: str = CREATE, drop: str = DROP) -> dict[str, Any]:
    return {"sql": sql, "drop": drop, "evidence": {"anything": [1, 2]}}


def test_of_a_partitioned_table_the_whole_is_taken_and_the_rest_follows() -> None:
    made = read(row(f"{ONLY};\n{CREATE.replace('hasivu_perf_x', 'i')};\n{JOIN};\n"))
    (step,) = made.steps
    assert (step.sql, step.partitioned) == (ONLY, True)
    assert step.undo == "DROP INDEX IF EXISTS public.hasivu_perf_x"
    assert "for each partition" in plans.shown(made)
    assert read(row(step.sql, step.undo)) == made


def test_what_runs_is_written_anew_and_concurrently() -> None:
    (step,) = read(row("create  index hasivu_perf_x on public.orders(lower(note), b desc) -- for lunch")).steps
    assert step.kind is Kind.CREATE
    assert step.sql == ("CREATE INDEX CONCURRENTLY hasivu_perf_x ON public.orders USING btree (lower(note), b DESC)")
    assert step.undo == "DROP INDEX CONCURRENTLY IF EXISTS public.hasivu_perf_x"
    assert (step.columns, step.expression) == (("b",), True)


def test_names_that_need_quotation_marks_keep_them() -> None:
    (step,) = read(
        row('CREATE INDEX "hasivu_perf_O""dd" ON shop."Odd" ("Ä")', 'DROP INDEX shop."hasivu_perf_O""dd"')
    ).steps
    assert step.sql == 'CREATE INDEX CONCURRENTLY "hasivu_perf_O""dd" ON shop."Odd" USING btree ("Ä")'
    assert step.undo == 'DROP INDEX CONCURRENTLY IF EXISTS shop."hasivu_perf_O""dd"'


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("", "0 statements"),
        ("CREATE INDX", "syntax error"),
        (f"{CREATE}; DROP TABLE orders", "2 statements"),
        ("DROP TABLE public.orders", "only CREATE INDEX and DROP INDEX"),
        ("ALTER TABLE public.orders ADD x integer", "only CREATE INDEX and DROP INDEX"),
        ("REINDEX INDEX public.hasivu_perf_x", "only CREATE INDEX and DROP INDEX"),
        ("CREATE UNIQUE INDEX hasivu_perf_x ON public.orders (customer)", "UNIQUE"),
        ("CREATE INDEX IF NOT EXISTS hasivu_perf_x ON public.orders (customer)", "IF NOT EXISTS"),
        ("CREATE INDEX hasivu_perf_x ON public.orders (customer) TABLESPACE fast", "TABLESPACE"),
        (f"{ONLY};\n{CREATE};\n{JOIN}", "stands in recommendations[0]"),
        (f"{CREATE};\n{CREATE}", "2 statements that are not one index of a partitioned table"),
        (f"{ONLY};\n{CREATE.replace('customer', 'total')}", "2 statements that are not one index"),
        (f"{ONLY};\nDROP TABLE public.orders", "beside CREATE INDEX only ALTER INDEX … ATTACH PARTITION is taken"),
        (f"{ONLY};\nALTER INDEX public.i RENAME TO j", "beside CREATE INDEX only ALTER INDEX"),
        ("CREATE INDEX hasivu_perf_x ON orders (customer)", "without its schema"),
        ("CREATE INDEX hasivu_perf_x ON public.users (customer)", "public.users may not be changed"),
        ("CREATE INDEX orders_x ON public.orders (customer)", "is not ours"),
        ("CREATE INDEX ON public.orders (customer)", "without a name is not ours"),
        ("CREATE INDEX hasivu_perf_x ON public.orders USING bloom (customer)", "access method bloom"),
        ("CREATE INDEX hasivu_perf_x ON public.orders (customer) WITH (evil = 1)", "storage parameter evil"),
        (DROP, "both drop"),
        (f"{CREATE}\0; DROP TABLE public.orders", "a NUL"),
        (CREATE.replace("_x", "_\ud800"), "half a surrogate pair"),
        (CREATE.replace("hasivu_perf_x", '"hasivu_perf_x\x1b[31m"'), "cannot be shown"),
        (CREATE.replace("customer", "(" + "+".join("1" * 1900) + ")"), "nested too deeply"),
        (CREATE.replace("customer", "(" + "+".join("1" * 50_000) + ")"), "4000 are taken"),
    ],
)
def test_everything_else_is_refused_with_its_place(sql: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(row(), row(sql, DROP))
    (problem,) = [text for text in caught.value.problems if "recommendations[1]" in text]
    assert problem.startswith("plan.json: recommendations[1]")
    assert words in problem
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "drop",
    [
        "DROP INDEX public.hasivu_perf_y",
        "DROP INDEX shop.hasivu_perf_x",
        "DROP INDEX public.hasivu_perf_x, public.pk",
        "DROP INDEX public.hasivu_perf_x CASCADE",
        "DROP TABLE public.hasivu_perf_x",
        "DROP INDEX a.public.hasivu_perf_x",
        CREATE,
    ],
)
def test_what_does_not_take_it_back_is_refused(drop: str) -> None:
    with pytest.raises(ConfigurationError, match=r"recommendations\[0\]\.drop"):
        read(row(drop=drop))


def test_an_index_is_removed_only_where_it_was_said_and_is_ours() -> None:
    with pytest.raises(ConfigurationError, match="--allow-drop"):
        read(row(DROP, CREATE))
    dropping = plans.Allowed(ALLOWED.tables, drop=True)
    assert read(row(DROP, CREATE), allowed=dropping).steps[0].kind is Kind.DROP
    with pytest.raises(ConfigurationError, match="orders_pkey is not ours"):
        read(row("DROP INDEX public.orders_pkey", CREATE), allowed=dropping)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"recommendations": 1}', "{", "[" * 200_000, " " * 10_000_001])
def test_what_is_no_plan_is_said_so(content: str) -> None:
    with pytest.raises(ConfigurationError, match=r"plan\.json"):
        plans.read(content, "plan.json", ALLOWED)


def test_too_many_changes_and_one_twice() -> None:
    other = row(CREATE.replace("_x", "_y"), DROP.replace("_x", "_y"))
    third = row(CREATE.replace("_x", "_z"), DROP.replace("_x", "_z"))
    with pytest.raises(ConfigurationError, match="3 changes, 2 a run are allowed"):
        read(row(), other, third)
    with pytest.raises(ConfigurationError, match=r"stands in recommendations\[0\] already"):
        read(row(), row())


def test_the_fingerprint_is_of_what_runs() -> None:
    first = read(row())
    assert read(row(f"  {CREATE};  "), title="other words").fingerprint == first.fingerprint
    assert read(row(CREATE.replace("customer", "total"))).fingerprint != first.fingerprint
    assert read(row(), fingerprint=first.fingerprint) == first
    with pytest.raises(ConfigurationError, match="was changed after it was named"):
        read(row(CREATE.replace("customer", "total")), fingerprint=first.fingerprint)


def test_the_advices_reason_is_shown_in_one_line_and_not_approved() -> None:
    plan = read({**row(), "evidence": {"reason": "a `read`\n becomes\x1b[2J faster"}})
    assert "   the plan says: a 'read' becomes[2J faster" in plans.shown(plan).splitlines()
    assert plan.fingerprint == read(row()).fingerprint


def test_the_same_index_has_the_same_shape() -> None:
    assert plans.shape("CREATE INDEX a ON public.orders USING btree (customer)") == plans.shape(CREATE)
    assert plans.shape("CREATE INDEX a ON public.orders USING btree (customer DESC)") != plans.shape(CREATE)


# --- approval ---


def test_nobody_approves_by_silence() -> None:
    with pytest.raises(UsageError, match="is not approved, nothing was changed"):
        approval.at_terminal(read(row()), "development", production=False, approve=False)


def test_development_is_approved_by_the_option() -> None:
    assert " at " in approval.at_terminal(read(row()), "development", production=False, approve=True)


def test_production_is_not_approved_by_a_pipe() -> None:
    with pytest.raises(UsageError, match="production is approved at a terminal"):
        approval.at_terminal(read(row()), "production", production=True, approve=True)


@pytest.mark.parametrize("right", [True, False])
def test_production_is_approved_by_the_plans_first_digits(
    right: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = read(row())
    master, slave = pty.openpty()
    with os.fdopen(slave) as terminal, os.fdopen(os.dup(slave), "w") as screen:
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("sys.stderr", screen)
        os.write(master, f"{plan.short if right else 'yes'}\n".encode())
        if right:
            assert " at " in approval.at_terminal(plan, "production", production=True, approve=True)
        else:
            with pytest.raises(UsageError, match="was not approved"):
                approval.at_terminal(plan, "production", production=True, approve=True)
        shown = ""
        while "type the first twelve digits" not in shown:  # behind the echo of what was typed
            shown += os.read(master, 4096).decode()
    os.close(master)
    assert plan.fingerprint in shown
    assert "CREATE INDEX CONCURRENTLY hasivu_perf_x" in shown
