"""The report of the benchmark as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from benchmarks.database.measure import NOISE_MS, Result, Variant, slower, speed_up

_NAMES = {
    "none": "(a) none",
    "ours": "hasivu-perf advise",
    "b": "(b) single columns that the planner uses",
    "c": "(c) planner's best of one and two columns",
    "half": "hasivu-perf advise, `--budget-mb` half of (b)'s",
}


def markdown(results: Sequence[Result]) -> str:
    """All suites: a table of totals, then each statement's milliseconds."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Sequence[Result]) -> Iterator[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield "# Index advice beside simpler advisors"
    yield ""
    yield (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {memory:.0f} GB, "
        f"{platform.system()} {platform.release()}; load average {os.getloadavg()[1]:.1f} over the last 5 minutes."
    )
    yield (
        "Made by `python -m benchmarks.database`. PostgreSQL 18, planner settings as shipped; medians of five warm runs "
        "(one, where a statement takes over a second) in the better of two rounds. Rivals see the statements' values, "
        "the advisor only what pg_stat_statements keeps."
    )
    for one in results:
        yield from _suite(one)


def _suite(one: Result) -> Iterator[str]:
    none = one.variants["none"]
    how = one.advice["how"]
    yield ""
    yield f"## {one.suite}: {one.about}"
    yield ""
    yield (
        f"{len(none.ms)} statements, {one.table_bytes / 1e6:.0f} MB of tables; advice in {one.advice_s:.0f} s ({how}); "
        f"{one.advice['planned']} of {one.advice['statements']} normalised statements planned."
    )
    yield ""
    yield "| indexes | number | MB | total ms | geometric mean of speed-ups | slower by > 20 % by another plan |"
    yield "|---|---|---|---|---|---|"
    for name, variant in one.variants.items():
        yield (
            f"| {_NAMES[name]} | {len(variant.indexes)} | {variant.bytes / 1e6:.1f} | {sum(variant.ms.values()):,.0f} "
            f"| {speed_up(variant, none):.2f} | {', '.join(slower(variant, none)) or '–'} |"
        )
    yield from _wal(one, none)
    yield ""
    yield f"| statement | {' | '.join(f'{name} ms' for name in one.variants)} |"
    yield f"|---|{'---|' * len(one.variants)}"
    for statement in none.ms:
        yield f"| {statement} | {' | '.join(f'{variant.ms[statement]:.2f}' for variant in one.variants.values())} |"
    yield ""
    worse = [name for name in none.ms if _worse(one, name)]
    yield f"More than half slower than the better rival, by over {NOISE_MS} ms: {', '.join(worse) or 'none'}."
    yield ""
    yield from (f"- `{sql}`" for sql in one.variants["ours"].indexes)


def _worse(one: Result, statement: str) -> bool:
    ours = one.variants["ours"].ms[statement]
    best = min(one.variants[name].ms[statement] for name in ("b", "c"))
    return ours > 1.5 * best and ours - best > NOISE_MS


def _wal(one: Result, none: Variant) -> Iterator[str]:
    if not none.wal:
        return
    yield ""
    yield "| WAL of the mix | without page images | with page images |"
    yield "|---|---|---|"
    for name, variant in one.variants.items():
        shown = [
            f"{variant.wal[way] / 1e3:,.0f} kB ({variant.wal[way] / none.wal[way] - 1:+.1%})" for way in ("off", "on")
        ]
        yield f"| {_NAMES[name]} | {' | '.join(shown)} |"
