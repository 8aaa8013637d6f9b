"""Every figure that a rendering shows is one of the report's JSON, or follows from it by a rule that stands here."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from storage.records import Report
from tasks.report.record import to_json
from tasks.report.renderings import RENDERERS
from tasks.report.terminal import summary_lines
from tests.report_example import changed_report, example_report, good_report

UNITS = {
    "ms": (1.0,),
    "s": (1.0, 1000.0),  # a length of time, or milliseconds of which there are many
    "/s": (1.0,),
    "%": (0.01,),
    "percentage points": (0.01,),
    "points": (1.0,),
    "point": (1.0,),
    "percentage point": (0.01,),
    "of 100": (1.0, 0.01),
    "of 1,000": (0.001,),
    "a minute": (1 / 60,),
    "B": (1.0,),
    "KiB": (1024.0,),
    "MiB": (1024.0**2,),
    "GiB": (1024.0**3,),
    "MB": (1.0,),
    "requests": (1.0,),
    "days": (86_400.0,),
}
"""How a unit is shown → what one of it is in the JSON."""

TOKEN = re.compile(
    r"(?<![\w.,#-])[−+-]?\$?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)\s?("
    + "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
    + r")(?![\w%])"
)
SHOWN = (*(name for name in RENDERERS if name not in ("report.json", "gate.json")), "terminal")


def shown(name: str, report: Report) -> str:
    """What a reader of a rendering sees."""
    if name == "terminal":
        return "\n".join(summary_lines(report))
    return text_of(name, RENDERERS[name](report).decode())


def text_of(name: str, content: str) -> str:
    """What a reader sees."""
    if name.endswith(".html"):
        content = re.sub(r"<(style|script)\b.*?</\1>", " ", content, flags=re.DOTALL)
        content = re.sub(r"<title[^>]*>|</title>|<[^>]+>", " ", content)
    return html.unescape(re.sub(r"\\([^\w\s])", r"\1", content)).replace("**", "")


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(leaves, value.values()))
        yield from value.keys()
    elif isinstance(value, list):
        yield len(value)
        yield from itertools.chain.from_iterable(map(leaves, value))
    else:
        yield value


def known(report: Report) -> tuple[list[float], str]:
    """The numbers of the JSON with what follows from them, and its texts."""
    data = json.loads(to_json(report))
    found = list(leaves(data))
    numbers = [float(one) for one in found if isinstance(one, int | float) and not isinstance(one, bool)]
    texts = "\n".join(html.unescape(one) for one in found if isinstance(one, str))
    return [*numbers, *derived(data)], texts


def derived(data: dict[str, Any]) -> Iterator[float]:
    """Margins to limits, the score's change and rest, sums and shares over time, lengths of windows."""
    for check in data["gate"]["checks"]:
        if check["value"] is not None:
            distance = abs(check["value"] - check["limit"])
            yield from (distance, distance / check["limit"] if check["limit"] else 0.0)
    score = data["score"]["value"]
    yield 100 - score
    yield from (abs(score - run["score"]) for run in data["earlier"][-1:])
    yield from (loss for part in data["score"]["components"] for loss in points(part))
    for line in data["timelines"]:
        sent = sum(line["sent"])
        yield from (sent, sum(line["bad"]), line["in_time"] / line["judged"], len(line["sent"]) * line["step_s"])
        yield from (count / sent for count in line["wrong"].values())
        yield from (at * line["step_s"] for at in range(len(line["sent"])))
    for window in windows(data):
        yield (datetime.fromisoformat(window["end"]) - datetime.fromisoformat(window["start"])).total_seconds()


def points(part: dict[str, Any]) -> Iterator[float]:
    weights = [one["threshold"]["weight"] for one in part["assessments"] if one["score"] is not None]
    for one in part["assessments"]:
        if one["score"] is not None:
            yield one["threshold"]["weight"] / sum(weights) * (100 - one["score"])


def windows(value: Any) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        if {"start", "end"} == value.keys():
            yield value
        yield from itertools.chain.from_iterable(map(windows, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(windows, value))


def unknown(text: str, report: Report) -> list[str]:
    """Figures of a text that the report does not hold: to half of the last digit shown, scores cut to one."""
    numbers, texts = known(report)
    missed = []
    for found in TOKEN.finditer(text):
        value, unit = float(found[1].replace(",", "")), found[2]
        last = 10.0 ** -len(found[1].partition(".")[2])
        cut = unit in ("of 100", "points")
        near = any(
            value - last * 0.5000001 <= number / scale <= value + last * (1 if cut else 0.5000001)
            for scale in UNITS[unit]
            for number in numbers
        )
        if not near and found[0].strip() not in texts:
            missed.append(f"{text[max(0, found.start() - 40) : found.end() + 10]!r}")
    return missed


@pytest.mark.parametrize("report", [changed_report(), good_report()], ids=["example", "good"])
@pytest.mark.parametrize("name", SHOWN)
def test_every_figure_is_in_the_json(name: str, report: Report) -> None:
    text = shown(name, report)
    assert len(TOKEN.findall(text)) > 3 or "Nothing." in text
    assert unknown(text, report) == []


@pytest.mark.parametrize("name", ["report.html", "report.md", "junit.xml", "terminal"])
def test_a_figure_that_was_altered_would_be_found(name: str) -> None:
    report = good_report()
    text = shown(name, report)
    altered = text.replace("31.5 ms", "32.9 ms").replace("142 ms", "147 ms")
    assert altered != text
    assert unknown(altered, report)


def test_the_gate_for_machines_holds_the_same_numbers() -> None:
    report = example_report()
    data = json.loads(RENDERERS["gate.json"](report))
    checks = {check.id: (check.value, check.limit) for check in report.gate.checks}
    assert {one["id"]: (one["value"], one["limit"]) for one in data["checks"]} == checks
    assert data["score"] == report.score.value
