"""Compiled templates, kept in the user's cache folder: to compile them takes a second, longer than to fill them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path

from jinja2.bccache import Bucket, BytecodeCache

from deployments.hosting.folders import cache_folder
from storage.errors import HasivuError
from storage.folder import Folder


@cache
def _code() -> str:
    """Digest of this package's code: what a template is compiled to depends on its environment, filters among it."""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(code).hexdigest()


class Compiled(BytecodeCache):
    """One file for each template, made anew when its source or this package changes; if none can be kept, none is."""

    @cached_property
    def _folder(self) -> Folder:
        return Folder(cache_folder() / "templates")

    def get_source_checksum(self, source: str) -> str:
        """What a kept template must have been made of to be taken."""
        return super().get_source_checksum(source + _code())

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept, which Jinja checks by its own version and the source's digest."""
        with suppress(HasivuError, FileNotFoundError):
            bucket.bytecode_from_string(self._folder.read(bucket.key))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, whole or not at all."""
        with suppress(HasivuError):
            self._folder.write(bucket.key, bucket.bytecode_to_string())
