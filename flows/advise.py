"""`hasivu-perf advise --dsn DSN`: index advice with evidence; it changes nothing and needs no Prefect."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from storage.errors import ExitCode, NotMeasuredError, UsageError

if TYPE_CHECKING:
    from tasks.components.database.advisor.evidence import Advice, Recommendation

_MB = 1_000_000


def advise(
    *,
    dsn: Annotated[str, Parameter(help="postgresql://user:password@host:port/dbname; read-only rights are enough.")],
    budget_mb: Annotated[
        float | None, Parameter(help="Most megabytes of new indexes; a quarter of the tables.")
    ] = None,
    max_indexes: Annotated[int | None, Parameter(help="Most new indexes.")] = None,
    max_wal_growth: Annotated[
        float, Parameter(help="Share by which all new indexes together may make the WAL grow; 0.1 is a tenth.")
    ] = 0.1,
    workload: Annotated[
        Path | None, Parameter(help="SQL statements separated by semicolons, instead of pg_stat_statements.")
    ] = None,
    rehearse: Annotated[
        Literal["auto", "always", "never"],
        Parameter(
            help="Prove the advice by run time on a copy of the rows on this machine; auto: only where the server "
            "runs on this machine."
        ),
    ] = "auto",
    json: Annotated[
        bool, Parameter(name="--json", help="Print the advice as JSON, alone, on standard output.")
    ] = False,
) -> ExitCode:
    """Say which indexes a database should have, with evidence; nothing is changed.

    Exit codes: 0 done, also where nothing is to be advised; 2 wrong usage; 3 the statements, the statistics or the
    planner could not be had: the message says which right or extension is missing.
    """
    from tasks.components.database.advisor.recommend import Options, recommend
    from tasks.components.database.advisor.workload import of_file
    from tasks.load.database.session import parse

    if budget_mb is not None and budget_mb <= 0:
        raise UsageError("--budget-mb must be above 0")
    if max_indexes is not None and max_indexes < 1:
        raise UsageError("--max-indexes must be at least 1")
    if max_wal_growth < 0:
        raise UsageError("--max-wal-growth must not be negative")
    options = Options(
        budget_bytes=None if budget_mb is None else round(budget_mb * _MB),
        most=max_indexes,
        rehearse=rehearse,
        wal_growth=max_wal_growth,
        statements=None if workload is None else of_file(workload),
    )
    try:
        server = parse(dsn, "--dsn")
    except NotMeasuredError as error:
        raise UsageError(str(error)) from None
    advice = recommend(server, options)
    sys.stdout.write(json_module.dumps(advice.to_json(), indent=2) + "\n" if json else _text(advice))
    return ExitCode.PASS


def _text(advice: Advice) -> str:
    head = f"{len(advice.recommendations)} recommendation(s) from {advice.statements} statements"
    lines = [f"{head}, {advice.planned} planned ({advice.how or 'nothing was asked'})"]
    for number, one in enumerate(advice.recommendations, 1):
        lines += ["", *_lines(number, one)]
    for drop in advice.redundant:
        lines += [
            "",
            f"redundant: {drop.reason} ({drop.bytes / _MB:.1f} MB)",
            f"   {drop.sql};",
            f"   undo: {drop.undo};",
        ]
    for what, why in advice.not_kept.items():
        lines += ["", f"not kept: {what}: {why}"]
    for what, why in advice.not_planned.items():
        lines += ["", f"not planned: {what}: {why}"]
    lines += ["", *(f"note: {note}" for note in advice.notes)] if advice.notes else []
    return "\n".join(lines) + "\n"


def _lines(number: int, one: Recommendation) -> list[str]:
    evidence = one.evidence
    price = f"{evidence.bytes / _MB:.1f} MB ({evidence.size_is}), WAL {evidence.wal_growth:+.1%}"
    sure = f"{evidence.tested}, confidence {evidence.confidence}"
    statements = one.sql.replace("\n", "\n   ")
    lines = [f"{number}. {statements};", f"   {evidence.reason}; {price}, {sure}"]
    for effect in evidence.helps[:3]:
        timed = (
            f"{effect.measured_before_ms:,.2f} → {effect.measured_after_ms:,.2f} ms"
            if effect.measured_before_ms is not None and effect.measured_after_ms is not None
            else f"cost {effect.cost_before:,.0f} → {effect.cost_after:,.0f}"
        )
        lines.append(f"   helps ({timed}, {effect.calls:,.0f} calls): {effect.text}")
    lines += [
        f"   hurts (× {1 / effect.factor:.2f}): {effect.text}" for effect in evidence.hurts if effect.factor < 1
    ]
    return [*lines, f"   undo: {one.drop};"]
