"""`hasivu-perf local up|down`: hold the embedded platform outside of a run."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.local import registry
from deployments.local.platform import Platform
from deployments.local.serve import serve_until_stopped, start_detached
from storage.errors import ExitCode
from tasks.monitoring.live import to_terminal


def start(*, detach: bool) -> ExitCode:
    """Start the platform and print the variables that name it, in a form that a shell takes."""
    if detach:
        _show(start_detached().environment, "it runs in the background; end it with: hasivu-perf local down")
        return ExitCode.PASS
    serve_until_stopped(_ready)
    return ExitCode.PASS


def _ready(platform: Platform) -> None:
    _show(platform.environment, "it runs until Ctrl-C")


def _show(environment: Mapping[str, str], words: str) -> None:
    lines = [f"export {name}='{value}'" for name, value in sorted(environment.items())]
    to_terminal("\n".join([*lines, f"# {words}"]))


def stop() -> ExitCode:
    """End every platform that this user holds by `local up`."""
    found = registry.running()
    for one in found:
        registry.stop(one)
        to_terminal(f"ended the platform of process {one.pid}")
    if not found:
        to_terminal("no embedded platform is held by `local up`")
    return ExitCode.PASS
