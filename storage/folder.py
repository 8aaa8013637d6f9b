"""A folder of this machine as a place for whole files: written without a name, then linked or renamed into place."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from storage.errors import DamagedFileError, StorageError
from storage.place import PlacedFile

_CHANGES = ("written", "removed")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


class Folder:
    """Files under one folder, which is made with the first file."""

    def __init__(self, root: Path) -> None:
        self._base = root.resolve()

    @property
    def shown(self) -> str:
        """The folder's full name."""
        return str(self._base)

    def _at(self, name: str) -> Path:
        return self._base / name

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        path = self._at(name)
        with _told(path, "looked at"):
            return path.exists()

    def names(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, sorted; empty where there is no such folder."""
        return sorted(path.name for path in self._inside(folder))

    def folders(self, folder: str) -> list[str]:
        """The same for folders alone."""
        return sorted(path.name for path in self._inside(folder) if path.is_dir())

    def _inside(self, folder: str) -> list[Path]:
        path = self._at(folder)
        with _told(path, "listed"):
            return list(path.iterdir()) if path.is_dir() else []

    def files(self, folder: str) -> list[PlacedFile]:
        """Every file in a folder, at any depth, sorted by name; symbolic links are not followed."""
        self._own(self._at(folder))
        with _told(self._at(folder), "listed"):
            return sorted(self._walk(folder), key=lambda file: file.name)

    def _walk(self, folder: str) -> Iterator[PlacedFile]:
        for parent, _, names in os.walk(self._at(folder)):
            for name in names:
                path = Path(parent, name)
                try:
                    found = path.lstat()
                except FileNotFoundError:
                    continue  # another writer's temporary file, or one that is being removed
                modified = datetime.fromtimestamp(found.st_mtime, UTC)
                yield PlacedFile(path.relative_to(self._base).as_posix(), found.st_size, modified)

    def read(self, name: str) -> bytes:
        """The content of a file; `FileNotFoundError` where it is missing."""
        path = self._at(name)
        with _told(path, "read"):
            return path.read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, in place of one that is there."""
        path = self._at(name)
        with _told(path, "written"), _unnamed(path, content) as source:
            source.put(path)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file where none is; False, and nothing written, where one is.

        A hard link fails where the name is taken and shows the whole file where it is not. Over a network the answer
        may be lost and the link be there all the same: then the temporary file has two names.
        """
        path = self._at(name)
        with _told(path, "written"), _unnamed(path, content) as source:
            try:
                source.link(path)
            except FileExistsError:
                return source.names() > 0
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                raise StorageError(
                    f"{path} could not be claimed: its file system has no hard links; choose another output"
                ) from error
        return True

    def check_usable(self) -> None:
        """Raise `StorageError` where no file can be written here: denied, read-only, full, or no folder at all."""
        try:
            with _unnamed(self._at("probe"), bytes(4096)):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(f"nothing can be stored in {self._base}: {reason}; name another --output") from error

    def remove(self, name: str) -> None:
        """Remove one file, if it is there."""
        with _told(self._at(name), "removed"):
            self._at(name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all that lies in it; of a symbolic link, the link alone."""
        path = self._at(folder)
        self._own(path.parent)
        with _told(path, "removed"):
            if path.is_symlink():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)

    def _own(self, path: Path) -> None:
        """`StorageError` where a symbolic link below the root leads to `path`: what lies there is another's."""
        if path.resolve() != path:
            raise StorageError(f"{path} is reached by a symbolic link: name the folder that it points to as output")


class _Unnamed:
    """A file that is whole and on the disk, and has no name yet: whoever is killed before it gets one leaves nothing.

    Linux has such files (open(2), O_TMPFILE) on its own file systems; elsewhere a hidden file beside the place of the
    new one has to do.
    """

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self.hidden: Path | None = None
        try:
            self.descriptor = os.open(beside.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
        except (OSError, AttributeError):  # AttributeError: not Linux
            self.hidden = self._hidden_name()
            self.descriptor = os.open(self.hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)

    def _hidden_name(self) -> Path:
        return self._beside.with_name(f".{self._beside.name}.{secrets.token_hex(6)}.tmp")

    def link(self, path: Path) -> None:
        """Give it a name, where that is not taken."""
        if self.hidden is not None:
            os.link(self.hidden, path)
        else:
            # a folder's descriptor has Python follow the link; it is not used, for the path is absolute
            os.link(f"/proc/self/fd/{self.descriptor}", path, src_dir_fd=self.descriptor)

    def put(self, path: Path) -> None:
        """Give it a name, in place of what bears it."""
        if self.hidden is None:
            try:
                self.link(path)
            except FileExistsError:
                self.hidden = self._hidden_name()
                os.link(f"/proc/self/fd/{self.descriptor}", self.hidden, src_dir_fd=self.descriptor)
            else:
                return
        self.hidden.replace(path)

    def names(self) -> int:
        """How many names it has, the hidden one left out."""
        return os.fstat(self.descriptor).st_nlink - (self.hidden is not None)


@contextmanager
def _unnamed(path: Path, content: bytes) -> Iterator[_Unnamed]:
    """The content as a file on the disk of `path`; gone at the end unless it was given a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = _Unnamed(path)
    try:
        with os.fdopen(source.descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            yield source
    finally:
        if source.hidden is not None:
            source.hidden.unlink(missing_ok=True)


@contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    """An error of the operating system as a `StorageError` that names the file; a missing one stays what it is.

    What is there and cannot be read (denied, a bad sector) is as good as damaged: the others go on without it.
    """
    try:
        yield
    except OSError as error:
        if done == "read" and isinstance(error, FileNotFoundError):
            raise
        kind = StorageError if done in _CHANGES else DamagedFileError
        raise kind(f"{path} could not be {done}: {error.strerror or error}") from error
