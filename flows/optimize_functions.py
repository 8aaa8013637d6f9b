"""`hasivu-perf optimize --functions RUN`: a run's advice for the Lambda functions as a script; nothing changes."""

from __future__ import annotations

from pathlib import Path

from storage.errors import ExitCode, NotMeasuredError, UsageError
from storage.records import ComponentId, MeasuredComponent

NAME = "lambda-changes.sh"
"""The script's name in the folder where the command was called."""


def write_script(run: str, output: str, folder: Path | None = None) -> ExitCode:
    """Write the script of a stored run into a folder (by default the present one), and say what is in it.

    A run without the Lambda component is a `NotMeasuredError`; a script that lies there already is not overwritten.
    """
    from storage.parquet import Store
    from storage.runs import find_run
    from tasks.components.lambda_functions.script import changes, script
    from tasks.monitoring.live import to_terminal

    root = output if "://" in output else str(Path(output).resolve())
    stored = find_run(Store(root), run)
    parts = [each for each in stored.report().components if each.component is ComponentId.LAMBDA]
    if not parts or not isinstance(parts[0], MeasuredComponent):
        raise NotMeasuredError(f"the run {stored.run} did not measure the Lambda functions: run `hasivu-perf lambda`")
    wanted = changes(parts[0].findings)
    if not wanted:
        to_terminal(f"run {stored.run} advises no change of a Lambda function")
        return ExitCode.PASS
    path = (folder or Path.cwd()) / NAME
    if path.exists():
        raise UsageError(f"{path} is there already: move it away first, it may hold the way back of a change")
    path.write_text(
        script(wanted, f"Changes of Lambda functions that run {stored.run} advises", NAME), encoding="utf-8"
    )
    path.chmod(0o755)
    lines = [f"{path}: {len(wanted)} changes, none of them made; `bash {NAME} list` tells them"]
    to_terminal("\n".join([*lines, *(f"  {each.id}: {each.title}" for each in wanted)]))
    return ExitCode.PASS
