"""Which functions serve lunch, with the evidence for it: what someone declared first, a function's name last.

In this order: the environment file's list, tags, what triggers it, its share of traffic in school hours (a route that
writes counts thrice: what fails there is lost), whether others depend on it, its name. Where the environment file has
a list, whoever wrote it has named them all: only a tag adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deployments.config import LambdaSettings
from tasks.components.lambda_functions.reports import FunctionStatistics
from tasks.components.lambda_functions.triggers import AUTHORIZER, ROUTE, SCHEDULE, method_of

CRITICAL_SHARE = 0.03
"""A function with this share of all invocations in school hours carries lunch (three times an even share of 80)."""

WRITE_SHARE = CRITICAL_SHARE / 3
"""The same for a function with a route that writes."""

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ENOUGH = 1000
_TAGS = ("criticality", "critical", "tier", "importance")
_YES = frozenset({"critical", "high", "true", "yes", "1", "tier1", "tier-1"})
_NO = frozenset({"low", "normal", "medium", "none", "non-critical", "noncritical", "false", "no", "2", "3"})
_NAMES = ("order", "payment", "rfid", "auth", "menu", "health")


class Evidence(StrEnum):
    """What says whether a function is critical, the strongest first."""

    CONFIGURED = "environment file"
    TAG = "tag"
    TRIGGER = "trigger"
    TRAFFIC = "traffic in school hours"
    DEPENDENCY = "dependency"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Criticality:
    """Whether a function is critical, by which evidence, and what was seen."""

    critical: bool
    evidence: Evidence
    detail: str


def classify(
    functions: Sequence[Mapping[str, Any]],
    statistics: Mapping[str, FunctionStatistics],
    settings: LambdaSettings,
    triggers: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, Criticality]:
    """Judge each function (rows of the inventory, `tags` and `sources` among them) by the strongest evidence.

    `triggers` are rows of `triggers.TRIGGERS` by function; none where they could not be read.
    """
    names = [row["function"] for row in functions]
    listed = configured(names, settings)
    excluded = configured(names, settings.model_copy(update={"critical": settings.not_critical}))
    shares = _school_shares(statistics, settings)
    known = triggers or {}
    return {
        row["function"]: _excluded(row["function"], excluded)
        or _declared(row, listed, settings)
        or _observed(row["function"], row["sources"], known.get(row["function"], ()), shares)
        for row in functions
    }


def configured(names: Sequence[str], settings: LambdaSettings) -> dict[str, str]:
    """Deployed names of the functions that the environment file lists, with the key that names each.

    A key names the function `key`, `prefix + key`, or `prefix + stage + "-" + key` where all functions share the
    stage, as the Serverless Framework deploys them.
    """
    rests = [name.removeprefix(settings.name_prefix) for name in names]
    stages = {rest.partition("-")[0] for rest in rests}
    stage = f"{stages.pop()}-" if len(stages) == 1 and all("-" in rest for rest in rests) else ""
    keys = set(settings.critical)
    found = {}
    for name, rest in zip(names, rests, strict=True):
        for form in (name, rest, rest.removeprefix(stage)):
            if form in keys:
                found[name] = form
                break
    return found


def _excluded(name: str, excluded: Mapping[str, str]) -> Criticality | None:
    if name not in excluded:
        return None
    return Criticality(
        critical=False, evidence=Evidence.CONFIGURED, detail=f"listed as not critical: {excluded[name]}"
    )


def _declared(row: Mapping[str, Any], listed: Mapping[str, str], settings: LambdaSettings) -> Criticality | None:
    """What a person said of it."""
    name = row["function"]
    if name in listed:
        return Criticality(critical=True, evidence=Evidence.CONFIGURED, detail=f"listed as {listed[name]}")
    if (tagged := _by_tag(dict(row["tags"]))) is not None:
        return tagged
    if settings.critical:
        return Criticality(critical=False, evidence=Evidence.CONFIGURED, detail="not among those listed")
    return None


def _observed(
    name: str, sources: Sequence[str], triggers: Sequence[Mapping[str, Any]], shares: Mapping[str, float]
) -> Criticality:
    """What was seen of it."""
    routes = [row["detail"] for row in triggers if row["kind"] == ROUTE]
    schedules = [row["detail"] for row in triggers if row["kind"] == SCHEDULE]
    if not routes and (sources or schedules):
        by = sources[0] if sources else schedules[0]
        return Criticality(critical=False, evidence=Evidence.TRIGGER, detail=f"fed by {by}: nobody waits")
    waits = any(row["kind"] == AUTHORIZER for row in triggers)
    writes = next((route for route in routes if method_of(route) in _WRITES), "")
    share = shares.get(name, 0.0)
    if shares and (share >= CRITICAL_SHARE or (writes and share >= WRITE_SHARE) or not waits):
        detail = f"{share:.1%} of invocations in school hours" + (f", writes by {writes}" if writes else "")
        return Criticality(share >= (WRITE_SHARE if writes else CRITICAL_SHARE), Evidence.TRAFFIC, detail)
    if waits:
        return Criticality(critical=True, evidence=Evidence.DEPENDENCY, detail="authorizes the calls of others")
    part = next((part for part in _NAMES if part in name), None)
    detail = f"its name holds {part!r}" if part else "its name says nothing"
    return Criticality(critical=part is not None, evidence=Evidence.NAME, detail=detail)


def _by_tag(tags: Mapping[str, str]) -> Criticality | None:
    for key, value in tags.items():
        if key.lower() in _TAGS and value.lower() in _YES | _NO:
            critical = value.lower() in _YES
            return Criticality(critical=critical, evidence=Evidence.TAG, detail=f"tagged {key}={value}")
    return None


def _school_shares(statistics: Mapping[str, FunctionStatistics], settings: LambdaSettings) -> dict[str, float]:
    """Each function's share of the invocations in school hours; empty where there are too few to tell."""
    first, end = settings.school_hours
    calls = {
        name: sum(hour.invocations for hour in each.by_hour.values() if first <= hour.hour < end)
        for name, each in statistics.items()
    }
    total = sum(calls.values())
    return {name: count / total for name, count in calls.items()} if total >= _ENOUGH else {}
