"""Tables in need of vacuum or analyze, autovacuum switched off, and transaction ids that run out.

A table is due when its dead rows pass `threshold + scale_factor × rows` (PostgreSQL's own rule, storage parameters of
the table first), capped by autovacuum_vacuum_max_threshold where the server has it (18).
"""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding, qualified, relation

DEAD_RATIO = 0.20
"""Share of dead rows from which a table that is due is worth a finding."""

LAGS = 2.0
"""An autovacuum that is on may be on its way: only twice its threshold is a lag."""

STALE_ROWS, STALE_SHARE = 10_000, 0.5
WRAP_WARNING, WRAP_CRITICAL = 500_000_000, 1_500_000_000
"""Of 2,147,483,648 transaction ids; the server refuses writes three million before the end."""


def options(row: Row) -> dict[str, str]:
    """Storage parameters of a table."""
    return dict(option.partition("=")[::2] for option in row["options"] or ())


def due(case: Case, row: Row) -> float:
    """Dead rows from which autovacuum would start on this table."""

    def setting(name: str, default: float) -> float:
        own = options(row).get(name)
        given = float(own) if own is not None else case.data.number(f"setting.{name}")
        return default if given is None else given

    base, scale = setting("autovacuum_vacuum_threshold", 50), setting("autovacuum_vacuum_scale_factor", 0.2)
    rows = max(float(row["estimated_rows"] or 0), 0.0)
    most = setting("autovacuum_vacuum_max_threshold", -1)
    return min(base + scale * rows, most) if most >= 0 else base + scale * rows


def is_off(case: Case, row: Row) -> bool:
    """Whether autovacuum leaves this table alone."""
    own = options(row).get("autovacuum_enabled", "true").lower()
    return own in {"false", "off", "no", "0"} or case.data.facts.get("setting.autovacuum") == "off"


def check(case: Case) -> list[Finding]:
    """Dead rows, stale statistics, wraparound."""
    tables = [row for row in case.tables.values() if row["kind"] in {"r", "m"}]
    found = [_dead(case, row) for row in tables if _is_due(case, row)]
    found += [_stale(case, row) for row in tables if _is_stale(row)]
    return found + [_wraparound(case, row) for row in tables if (row["frozen_age"] or 0) >= WRAP_WARNING]


def _ratio(row: Row) -> float:
    total = (row["live"] or 0) + (row["dead"] or 0)
    return (row["dead"] or 0) / total if total else 0.0


def _is_due(case: Case, row: Row) -> bool:
    limit = due(case, row) * (1.0 if is_off(case, row) else LAGS)
    return (row["dead"] or 0) > limit and _ratio(row) >= DEAD_RATIO


def _dead(case: Case, row: Row) -> Finding:
    where, off = qualified(row), is_off(case, row)
    name = relation(row["schema"], row["name"])
    own = options(row).get("autovacuum_enabled")
    lag = "autovacuum lags behind, or an old transaction holds it back"
    why = f"autovacuum is off there (autovacuum_enabled={own})" if own else "autovacuum is off on this server"
    last = row["last_vacuum"].strftime("%Y-%m-%d %H:%M UTC") if row["last_vacuum"] else "never"
    commands, rollback = [f"VACUUM (ANALYZE) {name};"], []
    if off and own:
        commands.append(f"ALTER TABLE {name} RESET (autovacuum_enabled);")
        rollback.append(f"ALTER TABLE {name} SET (autovacuum_enabled = {own});")
    elif off:
        commands += ["ALTER SYSTEM SET autovacuum = on;", "SELECT pg_reload_conf();"]
        rollback += ["ALTER SYSTEM RESET autovacuum;", "SELECT pg_reload_conf();"]
    else:
        commands.append(f"ALTER TABLE {name} SET (autovacuum_vacuum_scale_factor = 0.05);")
        rollback.append(f"ALTER TABLE {name} RESET (autovacuum_vacuum_scale_factor);")
    return finding(
        "vacuum",
        where,
        title=f"{where} needs a vacuum: {_ratio(row):.0%} of its rows are dead",
        detail=(
            f"{row['dead']} of {(row['live'] or 0) + row['dead']} rows are dead (autovacuum would start at "
            f"{due(case, row):.0f}); {why if off else lag}. "
            f"Last vacuum: {last}."
        ),
        severity=Severity.WARNING,
        impact=Level.MEDIUM,
        evidence=case.of_table(row),
        remedy=Remedy(
            summary="Vacuum it now, and let autovacuum keep it so.",
            commands=tuple(commands),
            rollback=tuple(rollback),
        ),
    )


def _is_stale(row: Row) -> bool:
    rows, changed = max(row["live"] or 0, 0), row["modified_since_analyze"] or 0
    return rows >= STALE_ROWS and changed > STALE_SHARE * rows


def _stale(case: Case, row: Row) -> Finding:
    where = qualified(row)
    last = row["last_analyze"].strftime("%Y-%m-%d %H:%M UTC") if row["last_analyze"] else "never"
    return finding(
        "stale_statistics",
        where,
        title=f"The planner's statistics of {where} are stale",
        detail=(
            f"{row['modified_since_analyze']} of {row['live']} rows changed since the last analyze ({last}): the "
            "planner estimates by what the table was."
        ),
        severity=Severity.INFO,
        impact=Level.LOW,
        evidence=case.of_table(row),
        remedy=Remedy(
            summary="Analyze it.", commands=(f"ANALYZE {relation(row['schema'], row['name'])};",), rollback=()
        ),
    )


def _wraparound(case: Case, row: Row) -> Finding:
    where, age = qualified(row), row["frozen_age"]
    return finding(
        "wraparound",
        where,
        title=f"{where} is {age / 2**31:.0%} of the way to transaction id wraparound",
        detail=(
            f"Its oldest row version is {age} transactions old (relfrozenxid); at 2,147 million the server refuses "
            "all writes. An old transaction, a replication slot or a prepared transaction may hold vacuum back."
        ),
        severity=Severity.CRITICAL if age >= WRAP_CRITICAL else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=case.of_table(row),
        remedy=Remedy(
            summary="Freeze it in a quiet hour.",
            commands=(f"VACUUM (FREEZE, VERBOSE) {relation(row['schema'], row['name'])};",),
        ),
    )
