"""What a place for whole files promises; a folder of this machine and an S3 bucket are such places.

A file appears complete or not at all, and `create` lets exactly one of several writers win. Names are relative to the
root and use `/`. What fails is a `StorageError` of one line that names the file and the remedy, never a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file of a listing: its name under the root, its size, and when it was last written (UTC)."""

    name: str
    bytes: int
    modified: datetime


class Place(Protocol):
    """Whole files under one root; `shown` is that root as messages show it."""

    @property
    def shown(self) -> str:
        """The root as messages show it."""

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""

    def names(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, sorted; empty where there is no such folder."""

    def folders(self, folder: str) -> list[str]:
        """The same for folders alone."""

    def files(self, folder: str) -> list[PlacedFile]:
        """Every file in a folder, at any depth, sorted by name; symbolic links are not followed."""

    def read(self, name: str) -> bytes:
        """The content of a file; `FileNotFoundError` where it is missing."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, in place of one that is there."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file where none is; False, and nothing written, where one is."""

    def check_usable(self) -> None:
        """Raise `StorageError` where what is seen now says that nothing can be stored; leave nothing."""

    def remove(self, name: str) -> None:
        """Remove one file, if it is there."""

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all that lies in it, never what a symbolic link points to."""
