"""Reads, marks, builds and removes this program's indexes: those that bear its mark, or that its ledger names."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from storage.errors import NotMeasuredError
from tasks.components.database import partitions
from tasks.components.database.advisor.records import OWN_PREFIX, quoted
from tasks.components.database.change.carry_out import Carrier, Done
from tasks.components.database.change.hand import Hand
from tasks.components.database.change.ownership import Mark, mark_of
from tasks.components.database.change.records import ChangeError, Kind, Step
from tasks.load.database.session import QueryError, Session

_INDEXES = """
SELECT n.nspname AS schema, ic.relname AS name, t.relname AS table, i.indisvalid AS valid,
       pg_catalog.obj_description(ic.oid, 'pg_class') AS comment, pg_catalog.pg_get_indexdef(ic.oid) AS definition,
       ic.relkind = 'I' AS partitioned,
       EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = ic.oid) AS attached,
       (WITH RECURSIVE tree AS (
          SELECT ic.oid AS oid
          UNION ALL SELECT h.inhrelid FROM tree JOIN pg_catalog.pg_inherits h ON h.inhparent = tree.oid)
        SELECT sum(pg_catalog.pg_relation_size(tree.oid)) FROM tree) AS bytes
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = ic.relnamespace
WHERE pg_catalog.starts_with(ic.relname, %(prefix)s)"""


BRIEF_MS, BRIEF_TRIES, BRIEF_PAUSE_S = 500, 20, 0.5
"""How long a lock on a partitioned table is waited for, for others wait behind; how often, and the time between."""

LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True)
class PartStep:
    """The index of one partition as a step of its own, and the statement that attaches it."""

    step: Step
    attach: str

    @classmethod
    def of(cls, step: Step, part: partitions.Part) -> PartStep:
        """The part of a step."""
        changes = {"kind": Kind.CREATE, "schema_name": part.schema, "table": part.table, "name": part.name}
        more = {"sql": part.sql, "undo": "", "partitioned": part.partitioned}
        return cls(step.model_copy(update={**changes, **more}), part.attach)


@dataclass(frozen=True)
class Found:
    """An index whose name begins as ours do; `mark` is None where it does not bear our comment.

    `partitioned` is that of a partitioned table, with the bytes of all its parts; `attached` is such a part.
    """

    schema: str
    name: str
    table: str
    valid: bool
    mark: Mark | None
    definition: str
    bytes: int
    partitioned: bool = False
    attached: bool = False

    @property
    def sql_name(self) -> str:
        """Schema and name as SQL takes them."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


class Indexes:
    """The indexes of one database, through the session that changes."""

    def __init__(self, hand: Hand, carrier: Carrier, say: Callable[[str], None]) -> None:
        self._hand = hand
        self._carrier = carrier
        self._say = say

    def all(self) -> list[Found]:
        """Every index whose name begins as ours do."""
        try:
            rows = self._hand.session().query(_INDEXES, {"prefix": OWN_PREFIX})
        except QueryError as error:
            raise NotMeasuredError(f"indexes could not be read: {error}") from None
        return [
            Found(
                schema=row["schema"],
                name=row["name"],
                table=row["table"],
                valid=row["valid"],
                mark=mark_of(row["name"], row["comment"]),
                definition=row["definition"],
                bytes=int(row["bytes"]),
                partitioned=row["partitioned"],
                attached=row["attached"],
            )
            for row in rows
        ]

    def find(self, step: Step) -> Found | None:
        """The index that a step is about; None where it is not there."""
        wanted = (step.schema_name, step.name)
        return next((one for one in self.all() if (one.schema, one.name) == wanted), None)

    def build(self, step: Step, mark: Mark) -> Done:
        """Build the index CONCURRENTLY; it bears our comment as soon as it can be seen, long before it is valid.

        Raises `ChangeError`; what a failed build left is for `remove`.
        """
        done = self._build_parts(step, mark) if step.partitioned else self._build_one(step, mark)
        found = self.find(step)
        if found is None or not found.valid:
            raise ChangeError(f"index {step.name} is not valid after it was built")
        return done

    def _build_one(self, step: Step, mark: Mark) -> Done:
        marking = mark.statement(step)
        done = self._carrier.run(
            step.builds, f"building {step.name}", seen=lambda session: _commented(session, step, marking)
        )
        self._hand.run(marking)
        return done

    def _build_parts(self, step: Step, mark: Mark) -> Done:
        """The index of a partitioned table: what holds no row at once, each partition's own CONCURRENTLY."""
        dones = [self._briefly((step.builds, mark.statement(step)), f"creating {step.name}")]
        for part in self.parts(step):
            marking = mark.statement(part.step)
            if part.step.partitioned:
                dones.append(self._briefly((part.step.builds, marking), f"creating {part.step.name}"))
            else:
                dones.append(self._build_one(part.step, mark))
            dones.append(self._briefly((part.attach,), f"attaching {part.step.name}"))
        return Done(sum(one.seconds for one in dones), max(one.longest_wait_s for one in dones))

    def parts(self, step: Step) -> list[PartStep]:
        """The steps for the partitions of a table, parents first; none where it has none."""
        try:
            found = partitions.read(self._hand.session(), step.schema_name, step.table) if step.partitioned else []
        except QueryError as error:
            raise ChangeError(f"partitions of {step.table_name} could not be read: {error}", error.state) from None
        return [PartStep.of(step, part) for part in partitions.parts(step.builds, found)]

    def left_of(self, step: Step) -> list[Found]:
        """Indexes of partitions that were made for a step and are attached to none, parents first."""
        names = {(one.step.schema_name, one.step.name) for one in self.parts(step)}
        return [one for one in self.all() if (one.schema, one.name) in names and not one.attached]

    def _briefly(self, statements: Sequence[str], what: str) -> Done:
        """Statements that together take a moment but a lock that others wait behind: given up soon, tried again."""
        text = "; ".join((f"SET LOCAL lock_timeout = {BRIEF_MS}", *statements))
        for left in range(BRIEF_TRIES - 1, -1, -1):
            try:
                return self._carrier.run(text, what)
            except ChangeError as error:
                if error.state != LOCK_NOT_AVAILABLE or not left:
                    raise
            self._say(f"{what}: another transaction holds the table; tried again")
            time.sleep(BRIEF_PAUSE_S)
        raise AssertionError  # pragma: no cover - the last try returns or raises

    def mark(self, step: Step, mark: Mark) -> None:
        """Put another comment on the index, and on those of its partitions."""
        there = {(one.schema, one.name) for one in self.all()} if step.partitioned else set()
        for part in self.parts(step):
            if (part.step.schema_name, part.step.name) in there:
                self._hand.run(mark.statement(part.step))
        self._hand.run(mark.statement(step))

    def analyse(self, step: Step) -> None:
        """Gather statistics of the table: an index over expressions has none before."""
        statement = f"ANALYZE {quoted(step.schema_name)}.{quoted(step.table)}"
        self._carrier.run(statement, f"gathering statistics of {step.table_name}")

    def remove(self, found: Found, *, ours: bool = False) -> Done | None:
        """Remove an index CONCURRENTLY, finished or INVALID; where that is interrupted it can be done again.

        One of a partitioned table goes with all that is attached to it, in a moment.

        `ours` is the ledger's word for an index that has no comment yet. Raises `ChangeError` where it is not ours.
        """
        if found.mark is None and not ours:
            raise ChangeError(f"index {found.name} does not bear this program's comment: it is not ours to drop")
        self._say(f"removing {found.name}")
        if found.partitioned:
            return self._briefly((f"DROP INDEX IF EXISTS {found.sql_name}",), f"removing {found.name}")
        return self._carrier.run(f"DROP INDEX CONCURRENTLY IF EXISTS {found.sql_name}", f"removing {found.name}")


def _commented(session: Session, step: Step, statement: str) -> bool:
    """Put the comment on an index that is being built; False where it is not there yet, or locked just now."""
    with suppress(QueryError):
        if session.query("SELECT pg_catalog.to_regclass(%(name)s) AS it", {"name": step.index_name})[0]["it"] is None:
            return False
        session.run("SET default_transaction_read_only = off")
        try:
            session.run(statement)
        finally:
            session.run("SET default_transaction_read_only = on")
        return True
    return False
