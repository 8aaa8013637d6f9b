"""Whether a server runs on this machine: only then may rows be copied without being asked for."""

from __future__ import annotations

from pathlib import Path

from tasks.load.database.session import QueryError, Session

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", ""})


def same_machine(session: Session) -> bool:
    """Whether the process that serves this session is one of this machine's.

    A loopback address is not enough, since it may be a tunnel to production: the server's process must be found here,
    by its number and by the name that PostgreSQL gives it, which holds the port of our own end.
    """
    host = session.server.parameters.get("host", "")
    if host not in _LOOPBACK and not host.startswith("/"):
        return False
    try:
        row = session.query("SELECT pg_catalog.pg_backend_pid() AS pid, pg_catalog.inet_client_port() AS port")[0]
        title = Path(f"/proc/{row['pid']}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (QueryError, OSError):
        return False
    own = "[local]" if row["port"] is None else f"({row['port']})"
    return title.startswith("postgres:") and own in title
