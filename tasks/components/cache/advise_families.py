"""Findings about key families: which are hardly ever hit, written for nothing, kept for ever, or too big. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from storage.records import Finding, Level, PredictedChange, Remedy, Severity, Threshold
from tasks.components.cache.case import Case, Row, finding
from tasks.components.cache.estimate import Family
from tasks.components.cache.measure import lookups

_TOP = 5
_FAIR = 0.90
_MANY_MISSES = 0.25
_MIN_MISSES = 5
_MIN_SHARE = 0.02
_WRITES = 20
_UNREAD = 0.2
_NO_TTL_SHARE = 0.5
_NO_TTL_KEYS = 20
_BIG = 1 << 20
_LARGE = 100 << 10
_SHORT_MS = 60_000


_WARM = (
    "Its keys outlive this window, so that a longer run hits more often: measure longer. After deployments fill it "
    "before the first pupil asks."
)


def poor_hit_ratio(case: Case) -> Iterator[Finding]:
    """Families whose lookups mostly miss, the one with the most misses first."""
    limit = case.limit("cache.hits.ratio")
    fair = limit.fair if limit else _FAIR
    poor = [family for family in case.families if _misses_matter(family) and _is_poor(family, fair)]
    for family in sorted(poor, key=_badness)[:_TOP]:
        yield _poor(case, family, limit)


def _misses_matter(family: Family) -> bool:
    return family.misses >= _MIN_MISSES and (family.miss_share or 0.0) >= _MIN_SHARE


def _is_poor(family: Family, fair: float) -> bool:
    if family.ratio is not None:
        return family.ratio < fair
    short = family.lifetime_ms is not None and family.lifetime_ms < _SHORT_MS
    return short and (family.miss_share or 0.0) >= _MANY_MISSES


def _badness(family: Family) -> tuple[bool, float]:
    """Those that a longer run would not mend come first; then by misses, weighed by how few of the lookups hit."""
    return _is_cold(family), -family.misses * (1 - (family.ratio or 0.0))


def _is_cold(family: Family) -> bool:
    """Whether the misses may be first fills alone: keys outlive the window, and some of them are read again."""
    lasting = family.lifetime_ms is None or family.lifetime_ms > family.seconds * 1000 / 2
    unread = family.looks >= _WRITES and family.ratio is not None and family.ratio < _UNREAD
    return lasting and not unread


def _poor(case: Case, family: Family, limit: Threshold | None) -> Finding:
    ratio = family.ratio
    share = f"about {ratio:.0%} of its lookups hit (estimate)" if ratio is not None else "its keys expire at once"
    many = (family.miss_share or 0.0) >= _MANY_MISSES
    poor = ratio is None or limit is None or ratio < limit.poor
    cold = _is_cold(family)
    what = "is still being filled" if cold else "has a poor hit ratio"
    return finding(
        "cold" if cold else "hit_ratio",
        family.name,
        title=f"The key family {family.name} {what}: {share}",
        detail=_how_poor(case, family),
        severity=Severity.INFO if cold else Severity.WARNING,
        impact=Level.LOW if cold or not poor else Level.HIGH if many else Level.MEDIUM,
        effort=Level.LOW,
        evidence=case.of_family(family.name),
        remedy=Remedy(
            summary=_WARM if cold else _what_to_do(family),
            commands=(case.cli(f"--scan --pattern '{case.pattern(family.name)}' --count 200 | head -n 20"),),
            predicted=_predicted(case, family),
        ),
    )


def _how_poor(case: Case, family: Family) -> str:
    counts = f"about {family.misses:.0f} misses and {family.hits:.0f} hits in {family.seconds:.0f} s"
    share = f"{_interval(family)}n {family.n}), {family.miss_share or 0:.0%} of all misses"
    parts = [f"Keys {case.pattern(family.name)}: {counts} ({share}."]
    if family.lifetime_ms is not None:
        parts.append(f"Keys are given {_seconds(family.lifetime_ms)} to live.")
    if family.looks:
        parts.append(f"Of {family.looks} looks that could tell, {family.read} found a key that had been read.")
    return " ".join(parts)


def _interval(family: Family) -> str:
    return (
        f"95 % interval of the hit ratio {family.interval[0]:.0%} to {family.interval[1]:.0%}, "
        if family.interval
        else ""
    )


def _what_to_do(family: Family) -> str:
    short = family.lifetime_ms is not None and family.lifetime_ms < _SHORT_MS
    first = (
        f"Its keys live {_seconds(family.lifetime_ms or 0)}: let them outlive the time between two equal requests."
        if short
        else "See why its keys are not asked for again."
    )
    return (
        f"{first} Look whether the key holds a moment (a timestamp, a window's start) or anything else that differs "
        "from request to request, and round it. Where neither helps, do not cache it: each miss costs a lookup, the "
        "real query and a write."
    )


def _predicted(case: Case, family: Family) -> tuple[PredictedChange, ...]:
    found = lookups(case.info, case.samples.tables["samples"])
    total = found.hits + found.misses
    if not total:
        return ()
    return (
        PredictedChange(
            metric="cache.hits.ratio",
            value=min(1.0, (found.hits + min(family.misses, found.misses)) / total),
            how="upper bound: every estimated miss of the family becomes a hit",
        ),
    )


def _seconds(ms: float) -> str:
    return f"{ms / 1000:g} s"


def write_only(case: Case) -> Iterator[Finding]:
    """Families that are written and not read again within the window, although no lookup missed before."""
    for family in case.families:
        idle = family.looks >= _WRITES and family.read == 0 and family.fills_seen >= _WRITES
        if not idle or (family.miss_share or 0.0) >= _MIN_SHARE:
            continue
        life = "for ever" if family.lifetime_ms is None else f"for {_seconds(family.lifetime_ms)}"
        yield finding(
            "write_only",
            family.name,
            title=f"Keys of {family.name} are written and not read",
            detail=(
                f"{family.fills_seen} keys {case.pattern(family.name)} came within {family.seconds:.0f} s and are "
                f"kept {life}; none of {family.looks} looks found one that was read after it was written. Whether "
                "they are read later cannot be seen in this window."
            ),
            severity=Severity.INFO,
            impact=Level.LOW,
            effort=Level.LOW,
            evidence=case.of_family(family.name),
            remedy=Remedy(
                summary="Write them only where someone reads them, or give them a shorter life: they push others out."
            ),
        )


def without_expiry(case: Case) -> Iterator[Finding]:
    """Families whose keys never expire."""
    policy = str(case.info[-1]["policy"]) if case.info else ""
    for name, looks in _by_family(case.looks):
        lasting = [row for row in looks if row["ttl_ms"] == -1]
        alive = next((family.keys for family in case.families if family.name == name), 0.0)
        if len(lasting) < _NO_TTL_SHARE * len(looks) or alive < _NO_TTL_KEYS:
            continue
        safe = policy.startswith("allkeys")
        yield finding(
            "no_expiry",
            name,
            title=f"Keys of {name} never expire",
            detail=(
                f"{len(lasting)} of {len(looks)} looks at keys {case.pattern(name)} found no expiry; about "
                f"{alive:.0f} such keys are there. The eviction policy is {policy or 'not known'}."
            ),
            severity=Severity.INFO if safe else Severity.WARNING,
            impact=Level.LOW if safe else Level.MEDIUM,
            effort=Level.LOW,
            evidence=case.of_family(name),
            remedy=Remedy(summary="Give every key an expiry when it is written (SET … EX), a session too."),
        )


def big_keys(case: Case) -> Iterator[Finding]:
    """Families with keys that are slow to read, to send and to delete."""
    for name, looks in _by_family(case.looks):
        sizes = [(row["bytes"], row["type"]) for row in looks if row["bytes"] is not None]
        biggest, kind = max(sizes, default=(0, None), key=lambda pair: pair[0])
        if biggest < _LARGE:
            continue
        large = sum(size >= _LARGE for size, _ in sizes)
        yield finding(
            "big_keys",
            name,
            title=f"Keys of {name} are as big as {biggest / 1024:.0f} KiB",
            detail=f"{large} of {len(sizes)} keys that were looked at take 100 KiB or more; the biggest is a {kind}.",
            severity=Severity.WARNING if biggest >= _BIG else Severity.INFO,
            impact=Level.MEDIUM if biggest >= _BIG else Level.LOW,
            effort=Level.MEDIUM,
            evidence=case.of_family(name),
            remedy=Remedy(
                summary="Split the value, or compress it: while the server sends or frees it, every client waits.",
                commands=(case.cli("--memkeys"),),
            ),
        )


def _by_family(looks: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in looks:
        groups.setdefault(row["family"], []).append(row)
    return sorted(groups.items())


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (poor_hit_ratio, write_only, without_expiry, big_keys)
"""In the order of their use."""
