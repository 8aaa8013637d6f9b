"""Sequences near their end: at the end every insert fails. Limits as check_postgres has them: critical from 95 %."""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding, ident, relation
from tasks.components.database.measure import sequence_share

WARNING, CRITICAL = 0.80, 0.95


def check(case: Case) -> list[Finding]:
    """One finding per sequence of which more than 80 % is used; one that cycles has no end."""
    found = []
    for row in case.data.rows("sequences"):
        used = sequence_share(row)
        if used is not None and used > WARNING and not row["cycles"]:
            found.append((used, row))
    return [_finding(case, row, used) for used, row in sorted(found, key=lambda pair: -pair[0])]


def _finding(case: Case, row: Row, used: float) -> Finding:
    where = f"{row['schema']}.{row['name']}"
    feeds = f" It feeds {row['column']}." if row["column"] else ""
    left = abs(row["limit"] - row["last"]) / max(1, abs(row["increment"]))
    return finding(
        "sequence",
        where,
        title=f"Sequence {where} has used {used:.1%} of its {row['type']} range",
        detail=(
            f"Its last value is {row['last']:.0f} of {row['limit']:.0f} ({row['type']}): {left:.0f} values are left, "
            f"then every insert that needs one fails.{feeds}"
        ),
        severity=Severity.CRITICAL if used >= CRITICAL else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM if row["column"] else Level.LOW,
        evidence=case.evidence(("database.sequence.used",), sequence=where),
        remedy=_remedy(row),
    )


def _remedy(row: Row) -> Remedy:
    name = relation(row["schema"], row["name"])
    widen = f"ALTER SEQUENCE {name} AS bigint;"
    if not row["column"]:
        return Remedy(
            summary="Widen the sequence; whatever stores its values must be bigint as well.",
            commands=(widen,),
            rollback=(f"ALTER SEQUENCE {name} AS {row['type']};",),
        )
    schema, table, column = row["column"].split(".", 2)
    alter = f"ALTER TABLE {relation(schema, table)} ALTER COLUMN {ident(column)} TYPE"
    return Remedy(
        summary="Widen column and sequence. This rewrites the table under an exclusive lock: plan a window for it.",
        commands=(f"{alter} bigint;", widen),
        rollback=(f"ALTER SEQUENCE {name} AS {row['type']};", f"{alter} {row['type']};"),
    )
