"""An AWS that is busy, silent, broken or none: the component ends on time, with a word or with what could be read."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.config import RunConfig, Target, build_config
from deployments.local.aws import FUNCTION_PREFIX, REGION
from storage.errors import NotMeasuredError
from storage.records import Collected, Report
from tasks.components.base import CollectContext, Samples
from tasks.components.lambda_functions import LAMBDA
from tests.e2e.conftest import run
from tests.faults.aws_faults import FAULTS, INSIGHTS, LOGS, METRICS, Fault, proxied
from tests.faults.outcome import SECRET, WHOLE, wrong
from tests.sinks import Sink

LIMIT_S = 15.0
"""How much longer than a run without faults one with them may take."""

AT_ONCE = 8
"""Several run at once, so that each takes longer than the one without faults, which is alone."""

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    command = [sys.executable, "-m", "deployments.local.aws", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def config(*, insights: bool = False) -> RunConfig:
    """A day of the readers' functions; for Insights one that is called often: one call is read itself."""
    functions = "rfid-verify-card" if insights else "rfid-"
    changed = {"lambda_functions.days": "1", "lambda_functions.name_prefix": f"{FUNCTION_PREFIX}{functions}"}
    return build_config(
        "development",
        overrides=changed | ({"lambda_functions.max_log_events": "1"} if insights else {}),
    )


def measured(address: str, chosen: RunConfig) -> tuple[Collected, list[str]]:
    """What was collected, and the metrics that have a value."""
    sink = Sink()
    target = Target(aws_region=REGION, aws_endpoint_url=address, local=True)
    collected = LAMBDA.collect(CollectContext(chosen, target, sink))
    samples = Samples(sink, collected)
    measurements = LAMBDA.measure(samples, chosen)
    LAMBDA.advise(samples, measurements, chosen)
    return collected, [one.metric for one in measurements if one.value is not None and not one.labels]


def problem(aws: str, fault: Fault, plan_s: float) -> str:
    """What is wrong with what comes of a fault; empty where nothing is. `plan_s` is the time without one."""
    began = time.monotonic()
    with proxied(aws, fault) as before:
        refused, said, metrics = True, "", list[str]()
        try:
            collected, metrics = measured(before.address, config(insights=fault.where == INSIGHTS))
            refused, said = False, "\n".join(collected.notes)
        except NotMeasuredError as error:
            said = str(error)
        wrongs = {
            "no harm was done": not before.harmed,
            f"refused: {refused}": refused is not fault.refused,
            f"took {time.monotonic() - began:.0f} s": time.monotonic() - began > AT_ONCE * plan_s + LIMIT_S,
            "no one line with a remedy": refused and (len(said.splitlines()) != 1 or not re.search("[;:]", said)),
            f"does not say {fault.says}": not re.search(fault.says, said),
            "a secret or a control character": SECRET in said or "\x1b" in said,
            f"measured {metrics}": not refused and not _right(fault, metrics),
        }
    found = [wrong for wrong, holds in wrongs.items() if holds]
    return f"{', '.join(found)}: {said!r}" if found else ""


def _right(fault: Fault, metrics: list[str]) -> bool:
    """Whether what was lost has no value, and what was not has one."""
    of_logs, of_metrics = "lambda.memory.efficiency", "lambda.errors.ratio"
    by_source = {LOGS: of_logs, INSIGHTS: of_logs, METRICS: of_metrics}
    lost = {by_source[fault.where]} if fault.says and fault.where in by_source else set()
    return set(by_source.values()) - lost == set(by_source.values()) & set(metrics)


def test_what_aws_does_ends_in_a_word_or_in_what_could_be_read(aws: str) -> None:
    began = time.monotonic()
    measured(aws, config())
    plan_s = time.monotonic() - began
    chosen = [way for way, fault in FAULTS.items() if WHOLE or not fault.slow]
    assert wrong(chosen, lambda way: problem(aws, FAULTS[way], plan_s)) == {}
    assert len(FAULTS) >= 40


def test_no_metadata_and_no_credentials_are_told_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(NotMeasuredError, match="AWS_ACCESS_KEY_ID"):
            LAMBDA.collect(CollectContext(config(), Target(aws_region=REGION), Sink()))
    assert time.monotonic() - began < LIMIT_S


@pytest.mark.parametrize("way", ["expired", "denied-logs", "garbage"] if WHOLE else ["expired"])
def test_the_command_ends_with_its_code_and_without_a_secret(aws: str, way: str, tmp_path: Path) -> None:
    with proxied(aws, FAULTS[way]) as before:
        variables = {
            "DEVELOPMENT_API_URL": before.address,  # or the embedded platform would be the target
            "AWS_ENDPOINT_URL": before.address,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "AKIATESTING",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        chosen = ("--set", "lambda_functions.days=1", "--output", ".")
        ended = run("lambda", "development", *chosen, cwd=tmp_path, variables=variables)
    assert before.harmed
    assert ended.code == 3, ended.err
    assert "Traceback" not in ended.err
    assert SECRET not in ended.out + ended.err
    (path,) = tmp_path.glob("performance-orchestration-reports/*/*/report.json")
    report = Report.model_validate_json(path.read_bytes())
    assert SECRET not in path.read_text(encoding="utf-8")
    assert report.gate.verdict == "no_data"
