"""Segments of killed services are removed; those of other programs are not, whose process ids were used again."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from deployments.hosting.shared_memory import made_by, remove_made_by

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="System V segments are listed by Linux's /proc")

MAKE = "import ctypes, os; print(os.getpid(), ctypes.CDLL(None).shmget(0, 56, 0o1600))"
"""A private one (IPC_CREAT, mode 0600); its maker ends at once."""


def test_only_a_segment_made_since_then_is_removed() -> None:
    began = time.time()
    made = subprocess.run((sys.executable, "-c", MAKE), capture_output=True, text=True, timeout=30, check=True)
    maker, segment = map(int, made.stdout.split())
    remove_made_by({maker}, time.time() + 2)
    assert made_by({maker}, began) == [segment]
    remove_made_by({maker}, began)
    assert made_by({maker}, began) == []
