"""Files of relations in a scratch server's data folder, made as large as the real ones by holes.

The planner takes the size of a relation from its file, and the height of a B-tree from its pages 0 and up. Files are
changed behind the server's back: only on a server of our own, without page checksums, and only where the page is not
in its buffers yet.

Layouts: PostgreSQL's src/include/storage/bufpage.h, access/nbtree.h and access/itup.h; byte order is the machine's.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = 8192
"""Bytes of a page."""

SEGMENT_PAGES = 131_072
"""Pages of a file before the next one begins (1 GB)."""

_HEADER = struct.Struct("=IIHHHHHHI")  # lsn (2), checksum, flags, lower, upper, special, size and version, prune xid
_OPAQUE = struct.Struct("=IIIHH")  # previous, next, level, flags, cycle
_TUPLE = struct.Struct("=HHHH")  # block (high, low), number of keys, info
_META = struct.Struct("=IIIIII")  # magic, version, root, level, fast root, fast level
_MAGIC = 0x053162
_LAYOUT_VERSION = 4
_LEAF, _ROOT = 1, 2
_NORMAL_ITEM = 1
_ALTERNATIVE_TID = 0x2000
_SPECIAL = PAGE - _OPAQUE.size


def extend(path: Path, pages: int) -> None:
    """Make a relation's file at least `pages` long; what is added is holes, which read as new pages."""
    owner = path.stat()
    for number in range((max(pages, 1) - 1) // SEGMENT_PAGES + 1):
        segment = path if number == 0 else path.with_name(f"{path.name}.{number}")
        wanted = min(pages - number * SEGMENT_PAGES, SEGMENT_PAGES) * PAGE
        descriptor = os.open(segment, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            state = os.fstat(descriptor)
            if state.st_uid != owner.st_uid:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            if state.st_size < wanted:
                os.ftruncate(descriptor, wanted)
        finally:
            os.close(descriptor)


@contextmanager
def emptied(path: Path) -> Iterator[None]:
    """Let a relation that consists of holes look empty to sessions that have not opened it yet.

    Only the first segment is cut: whoever finds it short looks no further.
    """
    size = path.stat().st_size
    os.truncate(path, 0)
    try:
        yield
    finally:
        os.truncate(path, size)


def grow_btree(path: Path, level: int) -> None:
    """Give an empty B-tree a root at `level` and one page on each level below, down to an empty leaf.

    A search in it finds nothing, as in the empty one; its height is what the planner reads.
    """
    pages = b"".join(_page(number, level) for number in range(1, level + 2))
    with path.open("r+b") as stream:
        stream.seek(_HEADER.size)
        magic, version, root, *_ = _META.unpack(stream.read(_META.size))
        if (magic, version, root) != (_MAGIC, _LAYOUT_VERSION, 0):
            raise ValueError(f"{path.name} is no empty B-tree of a known layout")
        stream.seek(_HEADER.size)
        stream.write(_META.pack(magic, version, 1, level, 1, level))
        stream.seek(PAGE)
        stream.write(pages)


def _page(number: int, root_level: int) -> bytes:
    """Page `number` of the chain: page 1 is the root, each page points to the next, the last is the leaf."""
    level = root_level - number + 1
    flags = (_ROOT if number == 1 else 0) | (_LEAF if level == 0 else 0)
    page = bytearray(PAGE)
    lower, upper = _HEADER.size, _SPECIAL
    if level > 0:
        upper -= _TUPLE.size
        item = upper | _NORMAL_ITEM << 15 | _TUPLE.size << 17
        struct.pack_into("=I", page, lower, item)
        lower += 4
        child = number + 1
        _TUPLE.pack_into(page, upper, child >> 16, child & 0xFFFF, 0, _TUPLE.size | _ALTERNATIVE_TID)
    _HEADER.pack_into(page, 0, 0, 0, 0, 0, lower, upper, _SPECIAL, PAGE | 4, 0)
    _OPAQUE.pack_into(page, _SPECIAL, 0, 0, level, flags, 0)
    return bytes(page)
