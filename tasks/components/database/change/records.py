"""What the parts of a change hand to each other, and what the ledger keeps of it: frozen, and the same as JSON.

Durations in ms unless a name says otherwise, moments in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from storage.records import Record, Utc, Window
from tasks.components.database.advisor.records import quoted


class ChangeError(Exception):
    """A step that could not be done; the text is one line without secrets that names the thing and the remedy.

    `state` is the server's SQLSTATE, where the server said so.
    """

    def __init__(self, text: str, state: str = "") -> None:
        super().__init__(text)
        self.state = state


class Kind(StrEnum):
    """What a step does."""

    CREATE = "create"
    DROP = "drop"


class Step(Record):
    """One change of a plan: `sql` is what runs, as this program wrote it; `undo` takes it back.

    `columns` are the plain columns of the keys, `expression` whether a key is anything else; `place` is where in the
    plan file it stands, `why` what the plan says for it, as it says it: it is shown, and not part of the fingerprint.
    Of a `partitioned` table the statement is the index ON ONLY the parent; those of its partitions follow from it.
    """

    kind: Kind
    schema_name: str
    table: str
    name: str
    sql: str
    undo: str
    columns: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    method: str = "btree"
    expression: bool = False
    partitioned: bool = False
    place: str = ""
    why: str = ""

    @property
    def table_name(self) -> str:
        """The table as an environment's file names it: schema.table."""
        return f"{self.schema_name}.{self.table}"

    @property
    def index_name(self) -> str:
        """The index as SQL names it."""
        return f"{quoted(self.schema_name)}.{quoted(self.name)}"

    @property
    def builds(self) -> str:
        """The statement that makes the index: what a step runs, or what takes it back."""
        return self.sql if self.kind is Kind.CREATE else self.undo


class ChangePlan(Record):
    """A plan that was read: its steps, and the SHA-256 of what they run, by which it is approved."""

    steps: tuple[Step, ...]
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def short(self) -> str:
        """The first twelve digits of the fingerprint."""
        return self.fingerprint[:12]


class Work(Record):
    """What one statement did within a window.

    `touches` is whether it may use the table that is changed; statements that do not are the control group.
    `mean_ms` and `sd_ms` are of the calls of the window. `wal_bytes` is without page images.
    """

    id: str
    shown: str
    touches: bool
    writes: bool
    calls: int
    mean_ms: float
    sd_ms: float
    wal_bytes: float

    @property
    def total_ms(self) -> float:
        """Time of all calls of the window."""
        return self.calls * self.mean_ms


class Span(Record):
    """A window of real work: what each statement did, and how often the index was scanned (None: there was none)."""

    window: Window
    work: tuple[Work, ...] = ()
    scans: int | None = None


class Replay(Record):
    """Timed runs of one read with the same values; `digest` tells whether two replays ran the same text.

    `low_ms` and `high_ms` are the quartiles. `plan` describes the tree of its nodes, tables and indexes without
    figures. `late` is a read that did not end in time: its figures are the limit then.
    """

    id: str
    digest: str
    shown: str
    calls: int = 1
    n: int
    median_ms: float
    low_ms: float
    high_ms: float
    buffers: int
    plan: str
    indexes: tuple[str, ...] = ()
    late: bool = False


class Figures(Record):
    """What was measured on one side of a change; `notes` say what could not be."""

    span: Span | None = None
    replays: tuple[Replay, ...] = ()
    notes: tuple[str, ...] = ()


class Verdict(Record):
    """Whether a change stays, why, and which share of their time the statements gained (None: not measured).

    `doubtful` is a verdict against a proven gain, for statements that became a little slower in one window: noise of
    the machine can do that, so it is to be measured once more.
    """

    keep: bool
    reasons: tuple[str, ...] = Field(min_length=1)
    gain: float | None = None
    doubtful: bool = False


class State(StrEnum):
    """How far a change is.

    INTENDED nothing is known to have happened yet · DONE it is done and not judged · UNDOING it is being taken back ·
    UNCLEAN something of it may be left: these four are for the next run · KEPT, UNDONE, FAILED, PRESENT are ends.
    """

    INTENDED = "intended"
    DONE = "done"
    UNDOING = "undoing"
    UNCLEAN = "unclean"
    KEPT = "kept"
    UNDONE = "undone"
    FAILED = "failed"
    PRESENT = "present"


OPEN = frozenset({State.INTENDED, State.DONE, State.UNDOING, State.UNCLEAN})
"""States that the next run ends."""


class Event(Record):
    """One line of a change's history."""

    at: Utc
    state: State
    words: str


class Entry(Record):
    """One change in the ledger: what, on what, by whom approved, before, after, verdict, and its history."""

    run: str
    number: int
    environment: str
    database: str
    plan: str
    approved_by: str
    step: Step
    state: State
    events: tuple[Event, ...]
    before: Figures | None = None
    after: Figures | None = None
    verdict: Verdict | None = None
    seconds: float | None = None
    bytes: int | None = None

    def moved(self, at: Utc, state: State, words: str, **changes: object) -> Entry:
        """The entry in its next state, its history longer by one line."""
        event = Event(at=at, state=state, words=words)
        return self.model_copy(update={"state": state, "events": (*self.events, event), **changes})

    @property
    def words(self) -> str:
        """The last line of the history."""
        return self.events[-1].words


class Outcome(Record):
    """What a run did: changes of its plan, and what it finished or cleaned up of earlier runs."""

    run: str
    environment: str
    database: str
    plan: str
    approved_by: str
    entries: tuple[Entry, ...] = ()
    recovered: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False


def shares(values: Iterable[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of at least one value, by linear interpolation."""
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    return at(0.25), at(0.5), at(0.75)
