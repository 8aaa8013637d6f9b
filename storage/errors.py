"""Every error that a user can meet, in one tree; each is one line that names the thing and the remedy.

HasivuError                      exit code 4
├── UsageError                   exit code 2: what was asked cannot be done as asked
│   ├── ConfigurationError       a file or variable is wrong; holds every problem, not the first only
│   └── UnknownRunError          no run by that name under the output root
├── NotMeasuredError             exit code 3: a component could not be measured
│   ├── TargetUnreachableError   nothing answers at the address
│   └── ExcessRightsError        the login may do more than measuring needs
├── StorageError                 results could not be written or read
│   ├── DamagedFileError         a stored file is missing, truncated or altered
│   └── RunExistsError           two runs may never share a folder
└── LocalPlatformError           the embedded platform could not be started
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the command line answers to its caller."""

    PASS = 0
    GATE_FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERNAL = 4
    INTERRUPTED = 130


class HasivuError(Exception):
    """The root of all errors of this project; its text is one line for a person."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL


class UsageError(HasivuError):
    """What was asked cannot be done as it was asked."""

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE


class ConfigurationError(UsageError):
    """One or more problems of a file or of the environment's variables: all of them at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("\n".join(self.problems))


class UnknownRunError(UsageError):
    """No run by that name lies under the output root."""


class NotMeasuredError(HasivuError):
    """A component could not be measured; the text says why and what would let it be."""

    exit_code: ClassVar[ExitCode] = ExitCode.INCOMPLETE


class TargetUnreachableError(NotMeasuredError):
    """Nothing answers at the address of a component."""


class ExcessRightsError(NotMeasuredError):
    """A login may do more than its environment lets it: nothing was sent with it but the question what it may."""


class StorageError(HasivuError):
    """Results could not be written or read."""


class DamagedFileError(StorageError):
    """A stored file is missing, truncated, altered or of an unknown schema; the text names it."""


class RunExistsError(StorageError):
    """The folder of a run exists already: two runs never share one."""


class LocalPlatformError(HasivuError):
    """A part of the embedded platform could not be started; the text names it and shows its last line."""
