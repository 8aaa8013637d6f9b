"""Files of relations as holes: sizes, segments, modes, and B-trees that grow."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest

from tasks.components.database.advisor import relfiles
from tasks.components.database.advisor.relfiles import PAGE, SEGMENT_PAGES, emptied, extend, grow_btree


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "16384"
    path.touch(mode=0o600)
    return path


def test_a_file_is_as_large_as_told_and_takes_no_room(file: Path) -> None:
    extend(file, 10_000)
    assert file.stat().st_size == 10_000 * PAGE
    assert file.stat().st_blocks * 512 < 10 * PAGE


def test_a_gigabyte_begins_the_next_segment(file: Path) -> None:
    extend(file, 2 * SEGMENT_PAGES + 5)
    sizes = {path.name: path.stat().st_size // PAGE for path in file.parent.iterdir()}
    assert sizes == {"16384": SEGMENT_PAGES, "16384.1": SEGMENT_PAGES, "16384.2": 5}
    assert all(path.stat().st_mode & 0o077 == 0 for path in file.parent.iterdir())


def test_a_whole_number_of_segments_has_no_empty_one(file: Path) -> None:
    extend(file, SEGMENT_PAGES)
    assert [path.name for path in file.parent.iterdir()] == ["16384"]


def test_a_file_never_shrinks(file: Path) -> None:
    extend(file, 100)
    extend(file, 10)
    assert file.stat().st_size == 100 * PAGE


def test_a_table_looks_empty_for_as_long_as_asked(file: Path) -> None:
    extend(file, 100)
    with suppress(RuntimeError), emptied(file):
        assert file.stat().st_size == 0
        raise RuntimeError
    assert file.stat().st_size == 100 * PAGE


def test_what_is_no_empty_btree_is_left_alone(file: Path) -> None:
    file.write_bytes(bytes(PAGE))
    with pytest.raises(ValueError, match="no empty B-tree"):
        grow_btree(file, 2)
    assert file.read_bytes() == bytes(PAGE)


def test_a_grown_btree_is_a_chain_of_pages_from_the_root_to_a_leaf(file: Path) -> None:
    page = bytearray(PAGE)
    struct.pack_into("=IIIIII", page, 24, 0x053162, 4, 0, 0, 0, 0)
    file.write_bytes(page)
    grow_btree(file, 2)
    content = file.read_bytes()
    assert len(content) == 4 * PAGE
    assert struct.unpack_from("=IIIIII", content, 24) == (0x053162, 4, 1, 2, 1, 2)
    levels = [struct.unpack_from("=I", content, n * PAGE + PAGE - 8)[0] for n in (1, 2, 3)]
    flags = [struct.unpack_from("=H", content, n * PAGE + PAGE - 4)[0] for n in (1, 2, 3)]
    assert (levels, flags) == ([2, 1, 0], [2, 0, 1])
    assert relfiles.PAGE == 8192
