"""Whether the load generators of a run believe their own figures: the gate's row. See docs/adr/0011.

Figures of a generator that does not trust itself are no data, whatever they say. Indicative ones (generator and
target on one machine, or a system without the kernel's stamps) are data where the environment's file says so, as
development's does, and for the embedded platform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.records import (
    ComponentResult,
    GateCheck,
    GateVerdict,
    LoadSummary,
    MeasuredComponent,
    Trust,
    Unit,
)

LOAD_TRUST = "load_trust"
"""Id of the gate's check."""
TITLE = "Components whose load cannot be trusted"

_WORDS = {Trust.INDICATIVE: "indicative only", Trust.NOT_TRUSTED: "not trusted"}


def refused(results: Sequence[ComponentResult], *, indicative: bool) -> frozenset[str]:
    """Names of the components whose load figures the gate does not take."""
    taken = {Trust.TRUSTED, Trust.INDICATIVE} if indicative else {Trust.TRUSTED}
    return frozenset(name for name, load in _loads(results).items() if load.trust not in taken)


def load_trust(results: Sequence[ComponentResult], *, indicative: bool) -> GateCheck | None:
    """The gate's row; None where no component has any load."""
    loads = _loads(results)
    if not loads:
        return None
    doubted = {name: load for name, load in loads.items() if load.trust is not Trust.TRUSTED}
    without = refused(results, indicative=indicative)
    return GateCheck(
        id=LOAD_TRUST,
        title=TITLE,
        value=None if without else 0,
        limit=0,
        unit=Unit.COUNT,
        comparison="==",
        verdict=GateVerdict.NO_DATA if without else GateVerdict.PASS,
        detail=_told(doubted) or f"{len(loads)} load generators, all trusted",
    )


def _loads(results: Sequence[ComponentResult]) -> dict[str, LoadSummary]:
    return {
        result.component.value: result.collected.load
        for result in results
        if isinstance(result, MeasuredComponent) and result.collected.load is not None
    }


def _told(doubted: Mapping[str, LoadSummary]) -> str:
    """The gravest first; components that are doubted for one and the same reason stand together."""
    together: dict[str, list[str]] = {}
    for name, load in sorted(doubted.items(), key=lambda item: item[1].trust is not Trust.NOT_TRUSTED):
        why = f": {load.reasons[0]}" if load.reasons else ""
        together.setdefault(f"{_WORDS[load.trust]}{why}", []).append(name)
    return "; ".join(f"{', '.join(names)} {what}" for what, names in together.items())
