"""`hasivu-perf whatif`: plays with what is stored; nothing here touches an environment."""

from __future__ import annotations

import json
from collections.abc import Sequence

from storage.errors import ExitCode, UsageError
from storage.runs import RunFolder


def play(folder: RunFolder, do: Sequence[str], metrics: Sequence[str], *, as_json: bool) -> ExitCode:
    """Print what the score and the gate of a stored run would be with some remedies done."""
    from tasks.judge.whatif import whatif
    from tasks.monitoring.live import to_terminal
    from tasks.report.whatif import whatif_json, whatif_lines

    if not do and not metrics:
        raise UsageError("say what is to be done: --do FINDING (or --do all), or --metric NAME=VALUE")
    answer = whatif(folder.report(), do, dict(map(_value, metrics)))
    to_terminal(json.dumps(whatif_json(answer), indent=2) if as_json else "\n".join(whatif_lines(answer)))
    return ExitCode.PASS


def _value(setting: str) -> tuple[str, float]:
    metric, _, text = setting.partition("=")
    try:
        return metric, float(text)
    except ValueError:
        raise UsageError(f"--metric {setting}: say it as api.latency.p95=150") from None
