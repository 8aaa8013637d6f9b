"""Journeys and checks → measurements, each with its evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Measurement, Unit, Window
from tasks.load.figures import wilson
from tasks.load.recording import samples

SOURCE = "journeys of the scenario, from the intended start to the end of the function"

SEPARATOR = " / "
"""Between the name of a journey and that of a group in it."""
_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def whole_journeys(table: pa.Table) -> pa.Table:
    """The rows of journeys, without those of groups within them."""
    names = pc.cast(table.column("endpoint"), pa.string())
    return table.filter(pc.invert(pc.match_substring(names, SEPARATOR)))


def journey_measurements(
    table: pa.Table, judged: Sequence[str], *, component: str = "api", why_none: str = ""
) -> list[Measurement]:
    """`<component>.journey.p50/p95/p99/errors` of all journeys, then of each one and each group by a label.

    The label is `journey`: the name of the scenario's function, ` / ` and the group's for a group.

    Times are of journeys that came to their end within the phases `judged`, those with a failed check included;
    `errors`, (failed + ended by an error) ÷ all, speaks of every phase. `why_none` is said where there was none.
    """
    whole = _figures(whole_journeys(table), judged, {}, component, why_none)
    names = samples.endpoints(table)
    return [
        *whole,
        *(
            one
            for name in names
            for one in _figures(samples.of_endpoint(table, name), judged, {"journey": name}, component, why_none)
        ),
    ]


def _figures(
    table: pa.Table, judged: Sequence[str], labels: Mapping[str, str], component: str, why_none: str
) -> list[Measurement]:
    rows = samples.of_phase(table, *judged)
    values = samples.latency_ms(rows.filter(pa.array(samples.column(rows, "items") == 1)))
    number = samples.counts(table)
    bad = number["failed"] + number["errors"]
    timed = [
        Measurement(
            metric=f"{component}.journey.{name}",
            value=samples.percentile(values, q),
            unit=Unit.MS,
            n=len(values),
            source=SOURCE,
            window=samples.window(rows),
            interval=samples.percentile_interval(values, q),
            labels=labels,
            note=_note(rows, len(values), why_none),
        )
        for name, q in _PERCENTILES.items()
    ]
    share = Measurement(
        metric=f"{component}.journey.errors",
        value=bad / number["sent"] if number["sent"] else None,
        unit=Unit.RATIO,
        n=number["sent"],
        source="journeys: (a check or the scenario's code failed + ended by an error) ÷ begun",
        window=samples.window(table),
        interval=wilson(bad, number["sent"]) if number["sent"] else None,
        labels=labels,
        note=_kinds(table) if number["sent"] else f"no data: {why_none or 'no journey came to its end'}",
    )
    return [*timed, share]


def _note(rows: pa.Table, whole: int, why_none: str) -> str:
    number = samples.counts(rows)
    broken, failed = number["sent"] - whole, number["failed"]
    if not number["sent"]:
        return f"no data: {why_none or 'no journey in the judged phases'}"
    if not whole:
        return f"no data: each of {broken} journeys was broken off ({_kinds(rows)})"
    checked = failed - (broken - number["errors"])
    told = [(broken, f"of {number['sent']} journeys were broken off and are not in it")]
    told.append((checked, "journeys with a failed check are in it"))
    return "; ".join(f"{count} {what}" for count, what in told if count)


def _kinds(rows: pa.Table) -> str:
    kinds = [f"{count} {kind}" for kind, count in samples.errors_by_kind(rows).items()]
    failed = samples.counts(rows)["failed"]
    return ", ".join([*([f"{failed} failed"] if failed else []), *kinds])


def check_measurements(checks: pa.Table, window: Window | None, *, component: str = "api") -> list[Measurement]:
    """`<component>.checks.failed`: failed ÷ all, whole and by labels `journey` and `check`; `window`: the load's."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row in checks.to_pylist():
        count = rows.setdefault((row["scenario"], row["name"]), [0, 0])
        count[0] += row["passed"]
        count[1] += row["failed"]
    total = [sum(count[place] for count in rows.values()) for place in (0, 1)]
    return [
        _check(total, {}, component, window),
        *(
            _check(count, {"journey": scenario, "check": name}, component, window)
            for (scenario, name), count in rows.items()
        ),
    ]


def _check(count: Sequence[int], labels: Mapping[str, str], component: str, window: Window | None) -> Measurement:
    passed, failed = count
    n = passed + failed
    return Measurement(
        metric=f"{component}.checks.failed",
        value=failed / n if n else None,
        unit=Unit.RATIO,
        n=n,
        source="checks of the scenario: failed ÷ all",
        window=window if n else None,
        interval=wilson(failed, n) if n else None,
        labels=labels,
        note="" if n else "no data: the scenario made no check",
    )
