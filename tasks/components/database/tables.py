"""What was read becomes rows of the stored tables; what the window's end could not tell is null, not its start."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from deployments.config import DatabaseSettings
from tasks.components.database import catalog, index_advice, plans, statements, timing
from tasks.components.database.facts import Facts
from tasks.components.database.sampling import Seen
from tasks.load.database.session import QueryError, Session
from tasks.load.database.worker import draw

Rows = list[dict[str, Any]]


def of_server(first: catalog.Snapshot, last: catalog.Snapshot) -> dict[str, Rows]:
    """Counters and states of the whole server."""
    standing = last.standing
    return {
        "counters": [*catalog.counters(first.database, last.database), *catalog.server_counters(first, last)],
        "gauges": catalog.gauges(first, last),
        "replicas": standing.replicas if standing else [],
        "slots": standing.slots if standing else [],
        "prepared": standing.prepared if standing else [],
    }


def of_samples(seen: Seen) -> dict[str, Rows]:
    """What the samples within the window saw."""
    return {
        "activity": seen.activity,
        "sessions": seen.sessions,
        "running": seen.running,
        "locks": seen.locks,
        "pools": seen.pools,
    }


def of_catalog(
    session: Session | None, first: catalog.Snapshot, last: catalog.Snapshot, notes: list[str]
) -> dict[str, Rows]:
    """Tables, indexes, columns, keys, partitions and sequences."""
    tables = catalog.tables(first, last)
    if catalog.was_reset(first.database, last.database):
        notes.append("the database's statistics were reset within the window: its counters are lower bounds")
    return {
        "tables": tables,
        "indexes": catalog.with_deltas(first.indexes, last.indexes, ("scans", "blocks_hit", "blocks_read")),
        "columns": catalog.columns(session, tables, notes) if session else [],
        "foreign_keys": catalog.foreign_keys(session, notes) if session else [],
        "partitions": catalog.partitions_of(session, notes) if session else [],
        "sequences": catalog.sequences(session, notes) if session else [],
    }


def of_statements(
    session: Session | None, known: Facts, settings: DatabaseSettings, seen: Seen, notes: list[str]
) -> Rows:
    """What each statement added, with its text and the timed read that it is."""
    if known.extension is None or session is None or not seen.deltas.gained:
        return []
    try:
        texts = statements.texts(session, known, seen.deltas.gained)
    except QueryError as error:
        notes.append(f"texts of statements could not be read: {error}")
        texts = {}
    rows = statements.rows(seen.deltas, texts)
    index_advice.named_reads(rows, settings.statements)
    return rows


def of_plans(session: Session, rows: Rows, settings: DatabaseSettings, notes: list[str]) -> Rows:
    """Plans of the most expensive statements of the application, then of the timed reads."""
    found = []
    foreign = [row for row in rows if not row["own"]][: settings.top]
    for row in foreign:
        name = statements.label(row["queryid"], row["text"])
        found.append(plans.of_statement(session, row["queryid"], row["text"], name))
    values = draw(settings.values, random.Random(timing.SEED))  # noqa: S311 - a load plan, not a secret
    found += [plans.of_read(session, item.name, item.sql, values) for item in settings.statements]
    refused = [row for row in found if row.get("error") not in (None, "it is not a read")]
    if refused:
        notes.append(
            f"{len(refused)} of {len(found)} statements could not be planned, the first: "
            f"{refused[0]['name']}: {refused[0]['error']}"
        )
    return found


def of_facts(known: Facts, last: catalog.Snapshot, seen: Seen, more: Mapping[str, str]) -> Rows:
    """Rows of `facts`: the server's, the collection's, and more."""
    reset: datetime | None = catalog.since(last.database)
    values = {
        **known.values,
        "statistics_since": reset.isoformat() if reset else "",
        "reads_all_stats": str(known.reads_all_stats).lower(),
        "statements_problem": known.extension_problem,
        "reads_problem": seen.reads_problem,
        "samples_taken": str(seen.samples),
        "samples_missed": str(seen.missed),
        **more,
    }
    return [{"name": name, "value": value} for name, value in values.items()]
