"""`hasivu-perf monitoring`: Prometheus rules, Grafana dashboards and CloudWatch alarms from thresholds.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from deployments.parameters import Base
from storage.errors import ExitCode, StorageError


def monitoring(
    environment: Base = "production",
    *,
    output: Annotated[Path, Parameter(help="Folder of the files.")] = Path("monitoring"),
) -> ExitCode:
    """Write Prometheus rules and their tests, Grafana dashboards and a script of CloudWatch alarms.

    Limits are the environment's in deployments/thresholds.toml; functions are those that its file calls critical.
    """
    from deployments.config import load_environment, load_thresholds
    from tasks.monitoring.generate import ALARMS, files
    from tasks.monitoring.live import to_terminal

    functions = load_environment(environment).lambda_functions
    thresholds, _ = load_thresholds(environment)
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, content in files(thresholds, functions.critical, functions.name_prefix).items():
            path = output / name
            path.write_text(content, encoding="utf-8")
            path.chmod(0o755 if name == ALARMS else 0o644)
            to_terminal(str(path))
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error.strerror}; name another folder by --output") from None
    return ExitCode.PASS
