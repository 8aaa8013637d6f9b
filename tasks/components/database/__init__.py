"""The database component (PostgreSQL 13 to 18)."""

from __future__ import annotations

from tasks.components.database.component import DATABASE

__all__ = ["DATABASE"]
