"""EXPLAIN without execution: one statement in, a Plan out, and errors that show no value of the statement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString

import psycopg

from tasks.components.database.advisor.records import Plan, PlanError

PARAMETER = re.compile(r"\$[0-9]+")
"""A placeholder as pg_stat_statements writes it."""

_PREPARED = "hasivu_perf_types"
_TYPES: LiteralString = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = %s"
_DATA_EXCEPTION = "22"
_LINE = 200


def explain(connection: psycopg.Connection[tuple[Any, ...]], text: str) -> Plan:
    """Plan a statement on a server of version 16 or newer; raises PlanError.

    Texts with `$n` go by the simple protocol, where a semicolon could begin a second statement: those with one are
    refused. All others go by the extended protocol, which takes one statement only.
    """
    body = text.rstrip("; \n\t")
    generic = PARAMETER.search(body) is not None
    if generic and ";" in body:
        raise PlanError("its text holds a semicolon")
    options = "GENERIC_PLAN, VERBOSE, FORMAT JSON" if generic else "VERBOSE, FORMAT JSON"
    try:
        row = connection.execute(f"EXPLAIN ({options}) {body}".encode(), prepare=False, binary=not generic).fetchone()
    except psycopg.Error as error:
        raise PlanError(reason(error)) from None
    if row is None:
        raise PlanError("EXPLAIN answered nothing")
    return plan_of(row[0][0]["Plan"])


def parameter_types(connection: psycopg.Connection[tuple[Any, ...]], text: str) -> list[str]:
    """The types that the server finds for a statement's `$n`, by number; raises PlanError."""
    body = text.rstrip("; \n\t")
    if ";" in body:
        raise PlanError("its text holds a semicolon")
    try:
        connection.execute(f"PREPARE {_PREPARED} AS {body}".encode(), prepare=False)
        row = connection.execute(_TYPES, (_PREPARED,)).fetchone()
        connection.execute(f"DEALLOCATE {_PREPARED}".encode())
    except psycopg.Error as error:
        raise PlanError(reason(error)) from None
    return list(row[0]) if row is not None else []


def reason(error: psycopg.Error) -> str:
    """Why the server refused, in one line; of bad values only the kind is told, since a value may be personal."""
    if (error.sqlstate or "").startswith(_DATA_EXCEPTION):
        return f"a value does not fit ({type(error).__name__}, SQLSTATE {error.sqlstate})"
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())[:_LINE]


def plan_of(root: Mapping[str, Any]) -> Plan:
    """The Plan of EXPLAIN's tree."""
    names = frozenset(str(node["Index Name"]) for node in nodes(root) if "Index Name" in node)
    return Plan(float(root["Total Cost"]), root, names)


def nodes(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every node of EXPLAIN's tree, parents first."""
    yield root
    for child in root.get("Plans", ()):
        yield from nodes(child)
