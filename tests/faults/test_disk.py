"""A disk that takes no more: what was begun is not taken for a run, the word names the file, nothing lies about."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from storage.parquet import Store
from storage.records import ComponentId
from storage.runs import RunFolder

WRITING = """
import sys
import numpy as np, pyarrow as pa
from storage.errors import HasivuError
from storage.parquet import Store
from storage.records import Collected, ComponentId, Window
from storage.runs import RunFolder
from tests.unit.test_storage import START, info
folder = RunFolder(Store(sys.argv[1]), "development", "r1")
folder.create(info("r1"), {})
files = folder.component(ComponentId.API)
files.begin()
try:
    for number in range(3):
        noise = np.random.default_rng(number).random(int(sys.argv[2]))
        files.write(f"table-{number}", pa.table({"x": noise}))
    files.finish(Collected(window=Window(start=START, end=START)), [], [], attempt=1, code_version="test")
except HasivuError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.parametrize("rows", [4_000, 40_000, 400_000])
@pytest.mark.parametrize("limit_kb", [64, 256])
def test_there_is_never_a_manifest_over_part_of_the_data(tmp_path: Path, rows: int, limit_kb: int) -> None:
    limit = limit_kb * 1024
    ended = subprocess.run(
        [sys.executable, "-c", WRITING, str(tmp_path), str(rows)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    fits = rows * 8 < limit
    assert ended.returncode == (0 if fits else 3), ended.stderr
    files = RunFolder(Store(tmp_path), "development", "r1").component(ComponentId.API)
    assert (files.manifest() is not None) is fits
    if not fits:
        assert len(ended.stdout.splitlines()) == 1
        assert "table-0.parquet" in ended.stdout
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]
