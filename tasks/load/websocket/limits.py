"""Room for thousands of connections: each takes a file descriptor, and a process may open few by default."""

from __future__ import annotations

import resource

from storage.errors import NotMeasuredError

_OTHERS = 128
"""Descriptors for the rest of the process."""


def make_room(connections: int) -> None:
    """Raise this process's own limit of open files as far as `connections` need, where the system lets it.

    `NotMeasuredError` with both numbers and the remedy where the hard limit is too low.
    """
    needed = connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise NotMeasuredError(
            f"{connections} connections need {needed} open files and this system allows {hard}: "
            f"raise the hard limit (ulimit -Hn {needed}, LimitNOFILE= of a service), or ask for fewer connections"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
