"""Which code made a result: the package's version and a digest of the sources as they are now."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("flows", "tasks", "deployments", "storage")


@cache
def code_version() -> str:
    """For example `0.1.0+9f2c41d07a3b`: two runs of equal text ran equal code."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for source in sorted((_ROOT / package).rglob("*.py")):
            digest.update(source.relative_to(_ROOT).as_posix().encode())
            digest.update(source.read_bytes())
    return f"{version('hasivu-perf')}+{digest.hexdigest()[:12]}"
