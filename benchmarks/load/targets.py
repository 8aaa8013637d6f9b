"""What the figures are held against, and the report of a run as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load.truth import Compared, Spread, Stalled

Figure = float | str
"""A number, or why there is none."""


@dataclass(frozen=True)
class Target:
    """A line of the report: what was asked for, what was found, and whether it is met (None: not measured)."""

    what: str
    asked: str
    found: str
    met: bool | None


def within(what: str, one: Compared | str, limit_ms: float, fields: Sequence[str] = ("p50", "p99")) -> Target:
    """A tool's percentiles against the server's."""
    asked = f"{' and '.join(fields)} within {limit_ms:g} ms of the server"
    if isinstance(one, str):
        return Target(what, asked, one, None)
    off = [getattr(one.service, field) for field in fields]
    found = ", ".join(f"{field} {value:+.3f} ms" for field, value in zip(fields, off, strict=True))
    return Target(what, asked, found, all(abs(value) <= limit_ms for value in off))


def disturbed(what: str, one: Compared | str) -> Target:
    """A disturbed generator: still true, or it says that it is not to be trusted."""
    asked = "p50 within 0.5 ms and p95 within 3 ms, or the verdict says not trusted and why"
    if isinstance(one, str):
        return Target(what, asked, one, None)
    sent, latency = one.service, one.latency or one.service
    true = abs(latency.p50) <= 0.5 and abs(latency.p95) <= 3
    found = (
        f"from sending p50 {sent.p50:+.3f}, p95 {sent.p95:+.3f} ms; from the intended start "
        f"p50 {latency.p50:+.3f}, p95 {latency.p95:+.3f} ms; {one.trust}"
    )
    return Target(what, asked, found, true or one.trust.startswith("not_trusted"))


def cost(what: str, one: Compared | str, other: Compared | str, share: float) -> Target:
    """A tool's processor time against another's."""
    asked = f"at most {share:g} of k6's processor time"
    if isinstance(one, str) or isinstance(other, str):
        return Target(what, asked, one if isinstance(one, str) else str(other), None)
    ratio = one.cpu_s / other.cpu_s
    return Target(what, asked, f"{ratio:.2f} ({one.cpu_s:.2f} to {other.cpu_s:.2f} s for 10,000)", ratio <= share)


def ratio(what: str, rounds: Sequence[tuple[Figure, Figure]], least: float) -> Target:
    """The median over rounds of one figure divided by another of the same round."""
    asked = f"at least {least:g}"
    for pair in rounds:
        missing = [figure for figure in pair if isinstance(figure, str)]
        if missing:
            return Target(what, asked, missing[0], None)
    found = median(float(one) / float(other) for one, other in rounds)
    return Target(what, asked, f"{found:.2f}", found >= least)


def stall(one: Stalled) -> list[Target]:
    """The stall against its analytic truth."""
    off = {name: one.reported[name] - one.truth[name] for name in one.truth}
    shown = {name: f"{one.reported[name]:,.1f} ms, truth {one.truth[name]:,.1f} ms" for name in one.truth}
    tails = all(abs(off[name]) <= 0.01 * one.truth[name] for name in ("p95", "p99"))
    return [
        Target("stall of 2 s at 200/s", "p95 and p99 within 1 %", f"p95 {shown['p95']}; p99 {shown['p99']}", tails),
        Target("stall of 2 s at 200/s", "p50 within 1 ms", shown["p50"], abs(off["p50"]) <= 1),
        Target("stall of 2 s at 200/s", "no arrival dropped", f"{one.dropped} dropped", one.dropped == 0),
    ]


def lateness(one_ms: float) -> Target:
    """How late requests are sent."""
    return Target("sending at 500/s", "median lateness at most 0.1 ms", f"{one_ms:.3f} ms", one_ms <= 0.1)


_WORDS = {True: "pass", False: "**fail**", None: "not measured"}


def target_table(targets: Sequence[Target]) -> str:
    """The targets, one a line."""
    lines = ["| | asked | found | |", "|---|---|---|---|"]
    lines += [f"| {one.what} | {one.asked} | {one.found} | {_WORDS[one.met]} |" for one in targets]
    return "\n".join(lines)


def truth_table(rows: Sequence[tuple[str, Compared | str]]) -> str:
    """What each tool reported minus what the server knew."""
    lines = [
        "| situation | tool | p50, p95, p99 from sending | from the intended start | CPU s for 10,000 | verdict |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for situation, one in rows:
        if isinstance(one, str):
            lines.append(f"| {situation} | {one} | | | | |")
            continue
        latency = _three(one.latency) if one.latency else "–"
        figures = f"{_three(one.service)} | {latency} | {one.cpu_s:.2f}"
        lines.append(f"| {situation} | {one.tool} | {figures} | {one.trust} |")
    return "\n".join(lines)


def _three(one: Spread) -> str:
    return f"{one.p50:+.3f}, {one.p95:+.3f}, {one.p99:+.3f}"


def throughput_table(rounds: Sequence[dict[str, Figure]]) -> str:
    """Medians over rounds, and the share of wrk."""
    names = list(rounds[0])
    found = {name: _middle([one[name] for one in rounds]) for name in names}
    best = found.get("wrk")
    lines = ["| client | requests per CPU-second | of wrk | rounds |", "|---|---|---|---|"]
    for name, figure in found.items():
        if isinstance(figure, str):
            lines.append(f"| {name} | {figure} | | |")
            continue
        share = f"{figure / best:.3f}" if isinstance(best, float) else "–"
        shown = " · ".join(f"{one[name]:,.0f}" for one in rounds)
        lines.append(f"| {name} | {figure:,.0f} | {share} | {shown} |")
    return "\n".join(lines)


def _middle(figures: Sequence[Figure]) -> Figure:
    missing = [figure for figure in figures if isinstance(figure, str)]
    return missing[0] if missing else float(median(float(figure) for figure in figures))
