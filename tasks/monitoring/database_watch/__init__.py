"""Continuous observation of one PostgreSQL database: events of what is slow, blocked, idle, full, lost and back.

look ─► judge ─► teller ─► deliver ─► callbacks, JSON lines, Prefect
`watch` paces it by `budget`; `judge`, `text` and `events` are pure.
"""

from tasks.monitoring.database_watch.deliver import JsonLines, Listeners
from tasks.monitoring.database_watch.events import KINDS, Event, kind_of, words
from tasks.monitoring.database_watch.judge import Limits
from tasks.monitoring.database_watch.watch import DatabaseWatch, Status

__all__ = ["KINDS", "DatabaseWatch", "Event", "JsonLines", "Limits", "Listeners", "Status", "kind_of", "words"]
