"""The gate of a stored run, asked again: by another profile, and only as long as its evidence is still there."""

from __future__ import annotations

from deployments.config import load_gate
from storage.errors import DamagedFileError
from storage.records import GateCheck, GateVerdict, MeasuredComponent, Report, Unit
from storage.runs import RunFolder
from tasks.judge.gate import again

EVIDENCE = "evidence"
"""Id of the check that a stored run gets where files behind its figures are gone or altered."""


def regated(folder: RunFolder, profile: str | None = None) -> Report:
    """The stored report with its gate as it stands now.

    The checks keep their values; `profile` names another strictness. A component whose stored files are missing or
    altered since makes the gate one row longer, without data: its figures can no longer be proved.
    """
    report = folder.report()
    policy = load_gate(report.info.environment, named=profile) if profile else report.gate.policy
    return report.model_copy(update={"gate": again(report, policy, _evidence(folder, report))})


def _evidence(folder: RunFolder, report: Report) -> GateCheck | None:
    measured = [one for one in report.components if isinstance(one, MeasuredComponent)]
    lost = {one.component.value: why for one in measured if (why := _lost(folder, one))}
    if not lost:
        return None
    return GateCheck(
        id=EVIDENCE,
        title="Components whose stored evidence is damaged",
        value=None,
        limit=0,
        unit=Unit.COUNT,
        comparison="==",
        verdict=GateVerdict.NO_DATA,
        detail="; ".join(f"{component}: {why}" for component, why in lost.items()),
    )


def _lost(folder: RunFolder, result: MeasuredComponent) -> str:
    """Why the files behind a component's figures prove nothing any more; empty where they do."""
    files = folder.component(result.component)
    try:
        manifest = files.manifest()
        if manifest is None:
            return "its manifest is missing"
        if manifest.run != folder.run:
            return f"its manifest is that of run {manifest.run}"
        files.verify(manifest)
    except DamagedFileError as error:
        return str(error)
    return ""
