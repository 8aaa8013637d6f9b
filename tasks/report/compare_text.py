"""A comparison of runs as people and programs read it in a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.judge.compare import Comparison
from tasks.report.figures import figure
from tasks.report.text import ascii_text, one_line, shorten

_WORDS = {
    "worse": "✗ worse",
    "better": "✓ better",
    "same": "= same",
    "inconclusive": "? inconclusive",
    "not_alike": "– not alike",
}
_ORDER = tuple(_WORDS)
_NAME = 40


def compare_lines(
    found: Sequence[Comparison],
    notes: Sequence[str],
    *,
    parts: bool = False,
    width: int = 120,
    ascii_only: bool = False,
) -> list[str]:
    """What became worse first, the largest changes first; parts of the platform only where they changed, or all."""
    chosen = [one for one in found if parts or not one.labels or one.verdict in ("worse", "better")]
    chosen.sort(key=lambda one: (_ORDER.index(one.verdict), bool(one.labels), -abs(one.change)))
    lines = [one_line(note) for note in notes]
    if chosen:
        heads = f"{'verdict':14}  {'figure':{_NAME}}  {'baseline':>10}  {'now':>10}  {'change':>9}"
        lines += ["", f"{heads}  {'interval':>20}  would see"]
    lines += [_row(one) for one in chosen]
    hidden = len(found) - len(chosen)
    if hidden:
        lines.append(f"{hidden} parts without a change that is clear: --parts shows them")
    return [shorten_line(ascii_text(line) if ascii_only else line, width) for line in lines]


def shorten_line(line: str, width: int) -> str:
    """A row of a table, cut at the width of the terminal, its columns kept."""
    return line if len(line) <= max(width, 80) else line[: max(width, 80)].rstrip()


def _row(one: Comparison) -> str:
    name = " ".join((one.metric, *one.labels.values()))
    low, high = one.interval
    numbers = f"{figure(one.baseline, one.unit):>10}  {figure(one.value, one.unit):>10}  {_percent(one.change):>9}"
    interval = f"{_percent(low)} to {_percent(high)}"
    told = f"{interval:>20}  {one.smallest * 100:.1f} %"
    return f"{_WORDS[one.verdict]:14}  {shorten(name, _NAME):{_NAME}}  {numbers}  {told}"


def _percent(share: float) -> str:
    return f"{share * 100:+.1f} %"


def compare_json(
    run: str, baselines: Sequence[str], found: Sequence[Comparison], notes: Sequence[str]
) -> dict[str, Any]:
    """All of it for a program; changes are relative, +0.10 is ten per cent more."""
    return {
        "run": run,
        "baselines": list(baselines),
        "notes": list(notes),
        "comparisons": [
            {
                "metric": one.metric,
                "labels": dict(one.labels),
                "unit": one.unit.value,
                "value": one.value,
                "baseline": one.baseline,
                "baselines": one.baselines,
                "verdict": one.verdict,
                "change": one.change,
                "interval": list(one.interval),
                "smallest": one.smallest,
                "better": one.direction.value,
                "reason": one.reason,
            }
            for one in found
        ],
    }
