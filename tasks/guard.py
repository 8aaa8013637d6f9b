"""Lets no login measure that may do more than measuring needs: asked before anything else is sent with it.

What an environment does about such rights is `Environment.on_excess`; docs/adr/0024 says why. The embedded platform
is ours: its logins are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import Environment, RunConfig, Target
from storage.errors import ExcessRightsError, NotMeasuredError
from tasks.components.base import Check, Component, Guarded, Right, Rights

_SHOWN = 5
_HOW = "or let it be by [guard] allow in the environment's file"


def notes_of(unit: Component, config: RunConfig, target: Target) -> tuple[str, ...]:
    """What a run should say of its login; `ExcessRightsError` where the environment refuses it.

    A target that does not answer the question is an error of the run like any other.
    """
    mode = config.environment.on_excess
    if mode == "ignore" or target.local or not isinstance(unit, Guarded):
        return ()
    return judge(unit.rights(config, target), config.environment)


def judge(rights: Rights, environment: Environment) -> tuple[str, ...]:
    """Pure: the notes of a run whose login has these rights, or `ExcessRightsError`."""
    beyond = _beyond(rights, environment)
    if beyond and environment.on_excess == "refuse":
        raise ExcessRightsError(f"refused: {words(rights.who, beyond)}; {_HOW}")
    warned = (f"{words(rights.who, beyond)}; {_HOW}",) if beyond else ()
    return (*warned, *(f"not verified of {rights.who}: {one}" for one in rights.unverified))


def warnings_of(unit: Component, config: RunConfig, target: Target) -> tuple[str, ...]:
    """What who only watches should say of its login: a watch that ends for a right would leave nobody awake.

    A target that does not answer is an alert of the watch, not one of the guard: it is "not verified".
    """
    environment = config.environment
    if environment.on_excess == "refuse":
        lenient = environment.guard.model_copy(update={"excess": "warn"})
        environment = environment.model_copy(update={"guard": lenient})
    try:
        return notes_of(unit, config.model_copy(update={"environment": environment}), target)
    except NotMeasuredError as error:
        return (f"not verified: the rights of {unit.id.value}'s login: {error}",)


def words(who: str, beyond: Sequence[Right]) -> str:
    """One sentence: the rights by name, and the statements that take them away."""
    statements = list(dict.fromkeys(right.remedy for right in beyond))
    named = _some([right.name for right in beyond])
    return f"{who} may do more than measuring needs: {named}; take it away: {_some(statements, '; ')}"


def _some(texts: Sequence[str], separator: str = ", ") -> str:
    more = f" … and {len(texts) - _SHOWN} more (hasivu-perf doctor lists all)" if len(texts) > _SHOWN else ""
    return separator.join(texts[:_SHOWN]) + more


def _beyond(rights: Rights, environment: Environment) -> list[Right]:
    return [right for right in rights.excess if not environment.guard.allows(right.name)]


def checks(unit: Component, config: RunConfig, target: Target) -> list[Check]:
    """What `doctor` says: a line for each excess right, and for what could not be found out."""
    if config.environment.on_excess == "ignore" or target.local or not isinstance(unit, Guarded):
        return []
    name = f"{unit.id.value}: rights"
    try:
        rights = unit.rights(config, target)
    except NotMeasuredError:
        return []  # the component's own check says what is wrong
    refused = config.environment.on_excess == "refuse"
    found = [
        Check(
            name,
            ok=not refused,
            detail=f"{rights.who} has {right.name}, which measuring does not need"
            f"{': a run is refused' if refused else f' ({right.remedy})'}",
            remedy=right.remedy,
        )
        for right in _beyond(rights, config.environment)
    ]
    if not found and not rights.unverified:
        found = [Check(name, ok=True, detail=f"{rights.who} has none beyond what measuring needs")]
    return found + [Check(name, ok=True, detail=f"not verified: {one}") for one in rights.unverified]
