"""Whether the components of a run were measured on one and the same target, whatever attempt each comes from.

A retry measures at another time. Where the target was deployed anew in between, a report would mix two builds and
could pass a gate that neither of them passes. So what each attempt found is held against what the last one found.

Same build: a fact that names code (`release`, `function_versions`) is known to both and equal, and no fact known to
both differs (`data_size` may by a tenth). Where no such fact is known to both, nobody knows, and that is no pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from storage.records import Attempt, ComponentResult, GateCheck, GateVerdict, MeasuredComponent, Unit

ONE_TARGET = "one_target"
"""Id of the gate's check."""
TITLE = "Components measured on another target"

_CODE = ("release", "function_versions")
_EXACT = (*_CODE, "schema_version")
_SIZE = "data_size"
_SIZE_TOLERANCE = 0.1

Identity = Mapping[str, str]


def differences(one: Identity, other: Identity) -> tuple[str, ...]:
    """What differs, as `release v1 → v2`; facts that only one of them knows do not count."""
    found = [f"{key.replace('_', ' ')} {one[key]} → {other[key]}" for key in _EXACT if _differ(one, other, key)]
    return tuple(found) + (("data size by more than a tenth",) if _resized(one, other) else ())


def same_code_known(one: Identity, other: Identity) -> bool:
    """Whether a fact that names code is known to both and equal."""
    return any(key in one and key in other and one[key] == other[key] for key in _CODE)


def one_target(results: Sequence[ComponentResult], attempts: Sequence[Attempt]) -> GateCheck | None:
    """The gate's row, or None where there is nothing to hold against each other.

    That is a run of one attempt whose target does not say which build it is: `unknown_target` then says so.
    """
    measured = [result for result in results if isinstance(result, MeasuredComponent)]
    taking_part = {result.attempt for result in results if result.status != "skipped"}
    known = {attempt.number: attempt for attempt in attempts if attempt.number in taking_part}
    last = max(known.values(), key=lambda attempt: attempt.number, default=None)
    if last is None or not measured:
        return None
    final = last.identity_after or last.identity
    if len({result.attempt for result in measured}) == 1 and not any(key in final for key in _CODE):
        return None
    why = {
        result.component.value: _why(known.get(result.attempt), final, own=result.attempt == last.number)
        for result in measured
    }
    return _check({component: reason for component, reason in why.items() if reason}, len(measured))


def unknown_target(check: GateCheck | None, attempts: Sequence[Attempt]) -> tuple[str, ...]:
    """A sentence where the run cannot tell whether its target stayed the same."""
    if check is not None or not attempts:
        return ()
    why = "; ".join(dict.fromkeys(chain.from_iterable(attempt.notes for attempt in attempts)))
    return (
        "The target does not say which build it is, so a deployment during the run would not be seen"
        + (f": {why}" if why else ""),
    )


def _differ(one: Identity, other: Identity, key: str) -> bool:
    return key in one and key in other and one[key] != other[key]


def _resized(one: Identity, other: Identity) -> bool:
    sizes = [identity.get(_SIZE, "") for identity in (one, other)]
    if not all(size.isdecimal() and int(size) for size in sizes):
        return False
    low, high = sorted(int(size) for size in sizes)
    return (high - low) / high > _SIZE_TOLERANCE


def _why(attempt: Attempt | None, final: Identity, *, own: bool) -> str:
    """Why a component does not belong to the last target; empty where it does."""
    if attempt is None:
        return "nothing is known of the target of its attempt"
    seen = [attempt.identity, *([attempt.identity_after] if attempt.identity_after is not None else [])]
    changed = tuple(dict.fromkeys(chain.from_iterable(differences(identity, final) for identity in seen)))
    if changed:
        return ", ".join(changed)
    if own or any(same_code_known(identity, final) for identity in seen):
        return ""
    return "no fact that names the build was known both then and last"


def _check(why: Mapping[str, str], measured: int) -> GateCheck:
    return GateCheck(
        id=ONE_TARGET,
        title=TITLE,
        value=None if why else 0,
        limit=0,
        unit=Unit.COUNT,
        comparison="==",
        verdict=GateVerdict.NO_DATA if why else GateVerdict.PASS,
        detail=_detail(why) if why else f"{measured} components, one target",
    )


def _detail(why: Mapping[str, str]) -> str:
    """Which components to measure again, and what changed, each change once."""
    reasons: dict[str, list[str]] = {}
    for component, reason in why.items():
        reasons.setdefault(reason, []).append(component)
    return f"measure {_list(why)} again: " + "; ".join(
        f"{_list(components)} not on the last target ({reason})" for reason, components in reasons.items()
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
