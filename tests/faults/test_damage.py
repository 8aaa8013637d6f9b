"""Every file of a run damaged in every way: what is read names the file, and nothing half is taken for whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.parquet import Store
from storage.records import ComponentId
from storage.runs import RunFolder
from tests.unit.test_storage import info, measured

FILES = ("run.json", "api/manifest.json", "api/samples.parquet", "api/measurements.parquet", "api/findings.json")


def newer(content: bytes) -> bytes:
    """As a later version of this program would write it."""
    if content.startswith(b"PAR1"):
        return content.replace(b"hasivu", b"hasivX")
    tree = json.loads(content)
    if "info" in tree:  # has no version of its own: it is known by what this version does not know
        return json.dumps({**tree, "info": {**tree["info"], "later": 1}}).encode()
    return json.dumps({**tree, "schema_version": 99} if isinstance(tree, dict) else [{"schema_version": 99}]).encode()


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half-written": lambda content: content[: len(content) // 2],
    "truncated": lambda content: content[:-3],
    "bit-flipped": lambda content: content[:-2] + bytes([content[-2] ^ 4]) + content[-1:],
    "another-file": lambda _: b'{"name": "something else"}',
    "not-text": lambda _: bytes(range(256)) * 4,
    "deep": lambda _: b"[" * 100_000,
    "too-new": newer,
}


def read_whole(folder: RunFolder) -> None:
    """All that a report reads."""
    folder.opened()
    files = folder.component(ComponentId.API)
    manifest = files.manifest()
    assert manifest is not None
    files.verify(manifest)
    files.result(manifest)


@pytest.mark.parametrize(("name", "damage"), list(product(FILES, [*DAMAGES, "missing", "a-folder"])))
def test_each_damage_is_named_by_file(tmp_path: Path, name: str, damage: str) -> None:
    folder = RunFolder(Store(tmp_path), "development", "r1")
    folder.create(info("r1"), {})
    measured(folder)
    read_whole(folder)
    (path,) = tmp_path.glob(f"performance-analysis-results/development/r1/{name}")
    content = path.read_bytes()
    if damage in ("missing", "a-folder"):
        path.unlink()
        if damage == "a-folder":
            path.mkdir()
    else:
        path.write_bytes(DAMAGES[damage](content))
    if damage == "missing" and name == "api/manifest.json":
        assert folder.component(ComponentId.API).manifest() is None  # that is what "not measured" looks like
        return
    with pytest.raises(StorageError, match=path.name.replace(".", r"\.")):
        read_whole(folder)
