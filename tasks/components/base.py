"""What a component is: it collects from the real system, then measures and advises from what was collected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

import pyarrow as pa

from deployments.config import RunConfig, Target
from storage.clock import current_clock
from storage.records import Collected, ComponentId, Finding, Measurement
from tasks.load.recording.journal import Journals
from tasks.progress import Progress

__all__ = ["Check", "CollectContext", "Component", "Progress", "Samples", "Sink", "now"]


class Sink(Protocol):
    """Where a component writes its raw tables, before anything judges them."""

    def write(self, name: str, table: pa.Table) -> None:
        """Store one table under a name such as `samples`; each name once."""


@dataclass(frozen=True)
class CollectContext:
    """All that `collect` may use: the settings, the addresses, where to write, whom to tell.

    `journals` is for `tasks.load.process.run_worker`: where rows lie while load runs, for the case that it breaks.
    """

    config: RunConfig
    target: Target
    sink: Sink
    progress: Callable[[Progress], None] = field(default=lambda _: None)
    journals: Journals | None = None


@dataclass(frozen=True)
class Samples:
    """What was collected: tables by name (columns as the component's schemas say) and when and how."""

    tables: Mapping[str, pa.Table]
    collected: Collected


@dataclass(frozen=True)
class Check:
    """One line of `doctor`: what was looked for, whether it is there, and what to do where it is not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Right:
    """A right beyond what measuring needs: its name, as `[guard] allow` takes it, and what takes it away."""

    name: str
    remedy: str


@dataclass(frozen=True)
class Rights:
    """What a login may do beyond measuring; `unverified` says what could not be found out, each in a clause."""

    who: str
    excess: tuple[Right, ...] = ()
    unverified: tuple[str, ...] = ()


@runtime_checkable
class Guarded(Protocol):
    """A component whose login has rights of its own, which can be asked without using them."""

    def rights(self, config: RunConfig, target: Target) -> Rights:
        """What the login may do beyond measuring; `NotMeasuredError` where the target does not answer."""


class Component(Protocol):
    """One part of the platform. A new one is a file, a line in COMPONENTS, rows in thresholds.toml, and tests.

    `measure` and `advise` are pure: they run again from disk and give the same.
    """

    @property
    def id(self) -> ComponentId:
        """Which component this is."""

    @property
    def title(self) -> str:
        """How a person calls it."""

    @property
    def metrics(self) -> frozenset[str]:
        """Metrics without labels that `measure` always answers, with a value or with the reason why there is none."""

    def collect(self, context: CollectContext) -> Collected:
        """Measure the real system and write raw tables to the sink; `NotMeasuredError` where it cannot."""

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """Samples → measurements, among them each of `metrics` without labels."""

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """Samples and measurements → findings, each with evidence, remedy and rollback."""

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """What `doctor` says of this component: addresses, rights and versions, without load."""


def now() -> datetime:
    """This moment in UTC, by the clock of the run where there is one."""
    return current_clock().now()
