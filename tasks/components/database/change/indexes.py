"""Reads, marks, builds and removes this program's indexes: those that bear its mark, or that its ledger names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from storage.errors import NotMeasuredError
from tasks.components.database.advisor.records import OWN_PREFIX, quoted
from tasks.components.database.change.carry_out import Carrier, Done
from tasks.components.database.change.hand import Hand
from tasks.components.database.change.ownership import Mark, mark_of
from tasks.components.database.change.records import ChangeError, Step
from tasks.load.database.session import QueryError, Session

_INDEXES = """
SELECT n.nspname AS schema, ic.relname AS name, t.relname AS table, i.indisvalid AS valid,
       pg_catalog.obj_description(ic.oid, 'pg_class') AS comment, pg_catalog.pg_get_indexdef(ic.oid) AS definition,
       pg_catalog.pg_relation_size(ic.oid) AS bytes
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = ic.relnamespace
WHERE pg_catalog.starts_with(ic.relname, %(prefix)s)"""


@dataclass(frozen=True)
class Found:
    """An index whose name begins as ours do; `mark` is None where it does not bear our comment."""

    schema: str
    name: str
    table: str
    valid: bool
    mark: Mark | None
    definition: str
    bytes: int

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
        marking = mark.statement(step)
        done = self._carrier.run(
            step.builds, f"building {step.name}", seen=lambda session: _commented(session, step, marking)
        )
        self._hand.run(marking)
        found = self.find(step)
        if found is None or not found.valid:
            raise ChangeError(f"index {step.name} is not valid after it was built")
        return done

    def mark(self, step: Step, mark: Mark) -> None:
        """Put another comment on the index."""
        self._hand.run(mark.statement(step))

    def analyse(self, step: Step) -> None:
        """Gather statistics of the table: an index over expressions has none before."""
        statement = f"ANALYZE {quoted(step.schema_name)}.{quoted(step.table)}"
        self._carrier.run(statement, f"gathering statistics of {step.table_name}")

    def remove(self, found: Found, *, ours: bool = False) -> Done | None:
        """Remove an index CONCURRENTLY, finished or INVALID; where that is interrupted it can be done again.

        `ours` is the ledger's word for an index that has no comment yet. Raises `ChangeError` where it is not ours.
        """
        if found.mark is None and not ours:
            raise ChangeError(f"index {found.name} does not bear this program's comment: it is not ours to drop")
        self._say(f"removing {found.name}")
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
