"""Whose an index is: the comment that this program leaves on what it builds. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from psycopg import sql

from tasks.components.database.advisor.records import OWN_PREFIX
from tasks.components.database.change.records import Step

_MARK = "hasivu-perf "


@dataclass(frozen=True)
class Mark:
    """What the comment on an index says: which run built it by which plan, and whether it was kept."""

    run: str
    plan: str
    kept: bool = False

    def comment(self) -> str:
        """The comment's text."""
        return _MARK + json.dumps({"run": self.run, "plan": self.plan, "kept": self.kept})

    def statement(self, step: Step) -> str:
        """COMMENT ON INDEX with this mark."""
        return f"COMMENT ON INDEX {step.index_name} IS {sql.Literal(self.comment()).as_string(None)}"


def mark_of(name: str, comment: str | None) -> Mark | None:
    """The mark on an index of that name; None where it is not ours."""
    if comment is None or not comment.startswith(_MARK) or not name.startswith(OWN_PREFIX):
        return None
    try:
        data = json.loads(comment.removeprefix(_MARK))
        return Mark(str(data["run"]), str(data["plan"]), data["kept"] is True)
    except (ValueError, KeyError, TypeError):
        return None
