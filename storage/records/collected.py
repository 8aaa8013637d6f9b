"""What collecting a component leaves behind: its load, its files, its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from storage.records.base import SCHEMA_VERSION, ComponentId, Count, Finite, Record, Window


class Trust(StrEnum):
    """The generator's verdict on its own figures."""

    TRUSTED = "trusted"
    INDICATIVE = "indicative"
    NOT_TRUSTED = "not_trusted"


class LoadSummary(Record):
    """What was planned and what became of it: planned = sent + unsent, sent = answered + errors, exactly.

    An answer with an unexpected status (such as 500) is answered *and* failed; `errors` counts requests that
    got no answer at all, by kind. Counts include warm-up and every probe sent to the same target.
    """

    planned: Count
    sent: Count
    unsent: Count
    answered: Count
    failed: Count
    errors: Mapping[str, Count] = Field(default_factory=dict)
    target_rate: Finite = Field(ge=0, description="requests a second that the plan asked for, steady phase")
    achieved_rate: Finite = Field(ge=0, description="requests a second that were sent, steady phase")
    trust: Trust
    reasons: tuple[str, ...] = ()
    late_p99_ms: Finite | None = Field(default=None, description="p99 of how late the generator took requests up")

    @model_validator(mode="after")
    def _closes(self) -> Self:
        if self.planned != self.sent + self.unsent:
            msg = f"planned {self.planned} ≠ sent {self.sent} + unsent {self.unsent}"
            raise ValueError(msg)
        if self.sent != self.answered + sum(self.errors.values()):
            msg = f"sent {self.sent} ≠ answered {self.answered} + errors {dict(self.errors)}"
            raise ValueError(msg)
        return self


class StoredFile(Record):
    """A file of a run: its checksum proves that what is read is what was written."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: Count
    rows: Count | None = None


class Collected(Record):
    """What collecting one component yielded besides its tables: when, under which load, against what.

    `fingerprint` names the target (release, schema version, data size, function versions …); `notes` say what
    could not be collected and why (a missing right, an unsupported version).
    """

    window: Window
    load: LoadSummary | None = None
    load_plan: Mapping[str, str] = Field(default_factory=dict)
    fingerprint: Mapping[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Manifest(Record):
    """What a component's stage leaves behind: small, JSON, the persisted result of its Prefect task."""

    schema_version: int = SCHEMA_VERSION
    run: str
    component: ComponentId
    attempt: int = Field(ge=1)
    code_version: str
    collected: Collected
    files: Mapping[str, StoredFile]
    missing: tuple[str, ...] = Field(
        default=(), description="metrics with weight that have no value, and why: a retry measures them again"
    )
