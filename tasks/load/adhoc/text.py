"""An ad-hoc load test for a person: live rows, and the summary with its limits first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {"p50": "p50", "p95": "p95", "p99": "p99", "p99_9": "p99.9"}
_WORDS = {"trusted": "trusted", "indicative": "indicative only", "not_trusted": "not trusted"}
_SMALL = 10


def live_row(progress: Mapping[str, Any]) -> str:
    """One second of load in a line; what a worker does not tell is left out."""
    words = [f"{progress['elapsed_s']:5.0f} s"]
    if progress.get("rate") is not None:
        words.append(f"{progress['rate']:,.0f}/s")
    words += [
        f"{label} {ms(progress[key])}"
        for key, label in (("p50_ms", "p50"), ("p95_ms", "p95"))
        if progress.get(key) is not None
    ]
    if progress.get("failed") is not None:
        words.append(f"{progress['failed']:,} errors")
    if progress.get("late_ms") is not None:
        words.append(f"late {ms(progress['late_ms'])}")
    return "  ".join(words)


def summary(found: Mapping[str, Any]) -> str:
    """The whole result: verdict, limits (broken ones on top), latency, counts, trust."""
    blocks = [
        [headline(found)],
        _search_lines(found["search"]),
        _limit_lines(found["limits"]),
        [f"ended     {found['stopped']}"] if found["stopped"] else [],
        [_load_line(found)],
        _latency_lines(found),
        _count_lines(found),
        _caveat_lines(found),
        _trust_lines(found["trust"]),
    ]
    return "\n".join(line for block in blocks for line in block)


def headline(found: Mapping[str, Any]) -> str:
    """The verdict in a sentence."""
    what = f"{found['method']} {found['url']}"
    limits = found["limits"]
    if found["search"] is not None and found["answered"]:
        return f"{_search_words(found)}: {what}"
    broken = sum(limit["verdict"] == "broken" for limit in limits)
    if broken:
        return f"FAIL  {broken} of {len(limits)} limits broken: {what}"
    if not found["answered"]:
        return f"NO ANSWER  {found['sent']:,} requests sent, none answered: {what}"
    if found["exit_code"]:
        return f"INCOMPLETE  {_why_incomplete(found)}: {what}"
    if limits:
        return f"PASS  {len(limits)} of {len(limits)} limits met: {what}"
    return f"DONE  no limits asked for: {what}"


def _search_words(found: Mapping[str, Any]) -> str:
    search = found["search"]
    if search["sustained_rate"] is None:
        return "NOT SUSTAINED  not even the first step"
    words = f"{search['sustained_rate']:g}/s, {search['achieved']:,.1f} good answers a second"
    return f"{'INCOMPLETE, sustained at least' if found['exit_code'] else 'SUSTAINED'}  {words}"


def _search_lines(search: Mapping[str, Any] | None) -> list[str]:
    """Every step in its order, and what the search means."""
    if search is None:
        return []
    return [*(_step_line(step) for step in search["steps"]), f"search    {search['note']}"]


def _step_line(step: Mapping[str, Any]) -> str:
    p95 = "no answer" if step["p95_ms"] is None else f"p95 {ms(step['p95_ms'])}"
    word, why = ("sustained", "") if step["sustained"] else ("broken", f": {step['why']}")
    return f"  {word:<12} {step['rate']:g}/s, {p95}, errors {_share(step['error_ratio'])}{why}"


def _why_incomplete(found: Mapping[str, Any]) -> str:
    if found["stopped"]:
        return "the load was stopped"
    if any(limit["verdict"] == "not measured" for limit in found["limits"]):
        return "a limit was not measured"
    return "limits are met, but the generator does not trust its figures"


def _limit_lines(limits: Sequence[Mapping[str, Any]]) -> list[str]:
    order = {"broken": 0, "not measured": 1, "pass": 2}
    return [_limit_line(limit) for limit in sorted(limits, key=lambda limit: order[limit["verdict"]])]


def _limit_line(limit: Mapping[str, Any]) -> str:
    show = ms if limit["name"] == "p95_ms" else _share
    name = "p95" if limit["name"] == "p95_ms" else "errors"
    value = "none" if limit["value"] is None else show(limit["value"])
    note = f" ({limit['note']})" if limit["note"] else ""
    return f"  {limit['verdict']:<12} {name} {value}, limit {show(limit['limit'])}, n {limit['n']:,}{note}"


def _load_line(found: Mapping[str, Any]) -> str:
    rate = found["rate"]
    if found["model"] == "closed":
        asked = f"{found['connections']['asked']:,} connections, closed model"
        got = f"{rate['achieved']:,.1f} answers/s"
    else:
        asked = f"{rate['target']:g}/s, open model"
        got = f"{rate['achieved']:,.1f}/s sent"
    seconds, stamps = found["window"]["seconds"], found["stamps"]
    stamped = f"; times by the {stamps}'s stamps" if stamps else ""
    return f"load      {asked}: {got} over {seconds:.1f} s, {found['client_cpu_seconds']:.2f} s of CPU here{stamped}"


def _latency_lines(found: Mapping[str, Any]) -> list[str]:
    """In a closed model both are one."""
    if found["model"] == "closed":
        return _spread_lines("latency from sending", found["service_ms"])
    latency = _spread_lines("latency from the intended start", found["latency_ms"])
    return [*latency, *_spread_lines("service time, from sending", found["service_ms"])]


def _spread_lines(title: str, spread: Mapping[str, Any]) -> list[str]:
    if not spread["n"]:
        return [f"{title}: not measured, no answers"]
    lines = [f"{title} (n {spread['n']:,})"]
    for key, label in _NAMES.items():
        interval = spread["interval"][key]
        around = (
            f"   95 % interval {ms(interval[0])} to {ms(interval[1])}" if interval else "   too few for an interval"
        )
        lines.append(f"  {label:<6}{ms(spread[key]):>12}{around}")
    return [*lines, f"  {'max':<6}{ms(spread['max']):>12}"]


def _count_lines(found: Mapping[str, Any]) -> list[str]:
    counts = f"requests  {found['sent']:,} sent, {found['answered']:,} answered"
    if found["unsent"]:
        counts += f", {found['unsent']:,} of {found['planned']:,} planned never sent"
    statuses = ", ".join(f"{count:,} × {status}" for status, count in found["statuses"].items())
    errors = found["errors"]
    kinds = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in errors["by_kind"].items())
    lines = [counts, f"statuses  {statuses or 'none'}"]
    share = "" if errors["ratio"] is None else f" ({_share(errors['ratio'])})"
    return [*lines, f"errors    {errors['total']:,}{share}{f': {kinds}' if kinds else ''}"]


def _caveat_lines(found: Mapping[str, Any]) -> list[str]:
    lines = [f"caveat    {found['caveat']}"] if found["caveat"] else []
    if found["stall"]:
        hidden = found["stall"]["hidden"]
        more = "" if hidden is None else f", in which about {hidden:,.0f} requests are missing"
        lines.append(f"stall     no answer at all for {ms(found['stall']['longest_ms'])}{more}")
    return lines


def _trust_lines(trust: Mapping[str, Any]) -> list[str]:
    reasons = trust["reasons"]
    return [f"trust     {_WORDS[trust['level']]}", *(f"  {reason}" for reason in reasons)]


def interrupted_text(found: Mapping[str, Any]) -> str:
    """What is known of a load that was broken off; without its rows, what the live view showed."""
    what = f"{found['method']} {found['url']}"
    counts = f"{found['requests']:,} requests ended, {found['errors']['total']:,} without the expected answer"
    lines = [f"INTERRUPTED  after {found['elapsed_s']:.0f} s, {counts}: {what}"]
    if "latency_ms" in found:
        lines += _latency_lines(found)
        lines.append("of the requests that ended in time; there is no verdict on the generator")
    else:
        worst = "" if found["worst_p95_ms"] is None else f"; p95 of the worst second {ms(found['worst_p95_ms'])}"
        lines.append(f"  from the live rows alone: no percentiles of the whole{worst}")
    return "\n".join(lines)


def ms(value: float) -> str:
    """A time for the eye: three digits that matter."""
    return f"{value:.3f} ms" if value < _SMALL else f"{value:,.1f} ms"


def _share(value: float) -> str:
    return f"{value:.3%}" if value else "0 %"
