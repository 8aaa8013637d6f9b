"""Keeps what a load recorded before it broke: journals that workers left become tables that no judgement uses.

Where the output is a folder, journals lie in the component's own folder while load runs, so that they are there
whoever was killed: the attempt's end, the next attempt or the next report finds them. Where it is a bucket they lie
in a temporary folder, and reach the bucket as long as the process that owns the load lives.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from storage.errors import NotMeasuredError, StorageError
from storage.records import ComponentId
from storage.runs import ComponentFiles, RunFolder
from tasks.load.recording import journal
from tasks.load.recording.journal import SAMPLES, Journals

_PARTIAL = re.compile(r"^([a-z]+)-partial-attempt-(\d+)$")


@contextmanager
def journals(files: ComponentFiles, attempt: int) -> Iterator[Journals]:
    """Where the load of an attempt at a component is journalled within the block.

    Where the block fails, what was recorded is kept as `samples-partial-attempt-N`, other tables likewise; where it
    ends, all is stored.
    """
    with _folder(files) as (folder, temporary):
        recover(files, folder)
        found = Journals(folder, attempt, temporary)
        try:
            yield found
        except BaseException as error:
            try:
                recover(files, folder)
            except StorageError as problem:
                if not isinstance(error, Exception):
                    raise error from problem  # a cancellation or Ctrl-C stays what it is
                raise NotMeasuredError(f"{error}; what was recorded could not be kept: {problem}") from error
            raise
        found.remove()
        recover(files, folder)  # of a worker that broke, though the component did without it


@contextmanager
def _folder(files: ComponentFiles) -> Iterator[tuple[Path, bool]]:
    """The folder for journals, and whether it is a temporary one."""
    if files.folder is not None:
        yield files.folder, False
    else:
        with tempfile.TemporaryDirectory(prefix="hasivu-journal-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary), True


def recover(files: ComponentFiles, folder: Path) -> None:
    """Make tables of the journals in a folder, one for each attempt whose workers are all gone."""
    for attempt, tables in journal.every(folder).items():
        paths = [path for table in tables.values() for path in table]
        try:
            with journal.taken(paths) as mine:
                for table in tables if mine else ():
                    _keep(files, f"{table}-partial-attempt-{attempt}", tables[table])
        except OSError as error:
            raise StorageError(f"{paths[0]} could not be taken: {error.strerror or error}") from error


def _keep(files: ComponentFiles, name: str, paths: list[Path]) -> None:
    whole = [pa.Table.from_batches(rows) for path in paths if (rows := list(journal.batches(path)))]
    if whole:
        before = [files.kept(name)] if name in files.names() else []
        files.keep(name, pa.concat_tables([*before, *whole]).unify_dictionaries())
    for path in paths:
        path.unlink(missing_ok=True)


def notes(folder: RunFolder) -> list[str]:
    """What a report says of rows of loads that broke, those of a run whose process was killed too."""
    return [note for component in ComponentId for note in _notes(folder.component(component), component)]


def _notes(files: ComponentFiles, component: ComponentId) -> Iterator[str]:
    try:
        if files.folder is not None:
            recover(files, files.folder)
        for name in files.names():
            if match := _PARTIAL.match(name):
                rows, table, attempt = files.kept(name).num_rows, *match.groups()
                what = "the load" if table == SAMPLES else f"the {table}"
                yield (
                    f"{component.value}: {rows:,} rows of {what} of attempt {attempt}, until it was stopped, are"
                    f" kept in {files.path(name)}; no figure is made of them"
                )
    except StorageError as error:
        yield f"{component.value}: what a load recorded until it was stopped could not be kept: {error}"
