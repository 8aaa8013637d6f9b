"""Keeps which remedies were carried out, and the ledger of what they did, beside an environment's runs.

    performance-analysis-results/<environment>/applied-<run>-<hash>.json       one for each remedy that was applied
    performance-analysis-results/<environment>/verified-<run>-<hash>.json      what the first run after it measured

Each is a file of its own, written whole and never changed, so that two writers lose nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from storage.errors import DamagedFileError, UsageError
from storage.parquet import Store
from storage.records import (
    Applied,
    AppliedChange,
    Finding,
    MeasuredComponent,
    Measurement,
    Record,
    Report,
    RunInfo,
    Verification,
)
from storage.runs import ANALYSIS, RunFolder
from tasks.judge.verify import Place, advised, applied_changes, kind_of, place, verified
from tasks.judge.whatif import chosen_findings

MOST = 1000
"""How many entries of the ledger, the newest, calibrate."""

LATEST = 10
"""Among how many runs, the newest, the advice behind a change is looked for."""

_FILE = re.compile(r"^(applied|verified)-.+-[0-9a-f]{12}\.json$")
_Kept = TypeVar("_Kept", bound=Record)


def advised_by(
    store: Store, environment: str, matches: Callable[[Finding], bool]
) -> tuple[RunFolder, Finding] | None:
    """The newest of the last `LATEST` judged runs with a finding that matches and predicts what was measured."""
    for run in sorted(store.folders(f"{ANALYSIS}/{environment}"), reverse=True)[:LATEST]:
        folder = RunFolder(store, environment, run)
        if not store.exists(folder.orchestration("report.json")):
            continue
        report = folder.report()
        for finding in report.findings:
            if matches(finding) and applied_changes(finding, _measured(report)):
                return folder, finding
    return None


def mark_applied(folder: RunFolder, do: Sequence[str], by: str, now: datetime | None = None) -> tuple[Applied, ...]:
    """Note that the remedies of some findings were carried out; a second time nothing is noted.

    Raises `UsageError` for findings that the run does not have, or that predict nothing measurable.
    """
    report = folder.report()
    figures = _measured(report)
    made = []
    for finding in chosen_findings(report, do):
        changes = applied_changes(finding, figures)
        if not changes:
            raise UsageError(f"{finding.id} predicts nothing that was measured, so nothing can be verified later")
        one = Applied(
            run=folder.run,
            finding=finding.id,
            kind=kind_of(finding),
            by=by,
            at=now or datetime.now(UTC),
            changes=changes,
            settings=report.info.settings,
            local=report.info.local,
        )
        folder.store.create(_name(folder, "applied", folder.run, finding.id), one.model_dump_json(indent=2).encode())
        made.append(one)
    return tuple(made)


def ledger(
    store: Store, environment: str, *, before: datetime | None = None, problems: list[str] | None = None
) -> tuple[Verification, ...]:
    """What was verified, the oldest first; with `before` only by runs that started before that moment.

    A damaged entry is left out and named in `problems`.
    """
    found = _all(store, environment, "verified", Verification, problems)
    kept = [one for one in found if before is None or one.at < before]
    return tuple(sorted(kept, key=lambda one: one.at))[-MOST:]


def verify(
    folder: RunFolder,
    info: RunInfo,
    measurements: Sequence[Measurement],
    known: Sequence[Verification],
    problems: list[str] | None = None,
) -> tuple[Verification, ...]:
    """Actual beside predicted for remedies that none of the `known` verifications is of."""
    done = {(place(one.metric, one.labels), name) for one in known for name in one.advised}
    applied = [
        one.model_copy(update={"changes": tuple(c for c in one.changes if (_place(c), advised(one)) not in done)})
        for one in _all(folder.store, folder.environment, "applied", Applied, problems)
    ]
    return verified(info, measurements, applied)


def keep(folder: RunFolder, found: Sequence[Verification]) -> None:
    """Take verifications up into the ledger; those of runs that are not like with like wait for one that is."""
    for one in found:
        if not one.unlike:
            what = f"{one.metric} {sorted(one.labels.items())} {one.advised}"
            folder.store.create(
                _name(folder, "verified", one.run_after, what), one.model_dump_json(indent=2).encode()
            )


def _place(change: AppliedChange) -> Place:
    return place(change.metric, change.labels)


def _measured(report: Report) -> list[Measurement]:
    return [one for part in report.components if isinstance(part, MeasuredComponent) for one in part.measurements]


def _name(folder: RunFolder, kind: str, run: str, what: str) -> str:
    digest = hashlib.sha256(what.encode()).hexdigest()[:12]
    return f"{ANALYSIS}/{folder.environment}/{kind}-{run}-{digest}.json"


def _all(store: Store, environment: str, kind: str, record: type[_Kept], problems: list[str] | None) -> list[_Kept]:
    folder = f"{ANALYSIS}/{environment}"
    names = [name for name in store.names(folder) if (match := _FILE.match(name)) and match[1] == kind]
    found = []
    for name in names[-MOST:]:
        try:
            found.append(record.model_validate_json(store.read(f"{folder}/{name}")))
        except (ValidationError, DamagedFileError) as error:
            if problems is not None:
                why = f"{error.error_count()} problems" if isinstance(error, ValidationError) else str(error)
                problems.append(f"{store.path(f'{folder}/{name}')} is no entry of the ledger and left out: {why}")
    return found
