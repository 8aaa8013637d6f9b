"""Components for tests of scale-out: Dask workers import this as they start, and do what files of a folder say."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from deployments.config import RunConfig, Target
from storage.errors import TargetUnreachableError
from storage.records import Collected, ComponentId, Finding, Measurement, Window
from tasks.components import COMPONENTS
from tasks.components.base import Check, CollectContext, Samples

FOLDER = "HASIVU_TEST_SCRIPTS"
"""Variable with the folder."""


@dataclass(frozen=True)
class Told:
    """A component that does what the file of its name says, `fail` or `die`; else it measures nothing."""

    id: ComponentId
    metrics: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        return self.id.value

    def collect(self, context: CollectContext) -> Collected:
        folder, start = Path(os.environ[FOLDER]), datetime.now(UTC)
        with (folder / f"{self.id}.pids").open("a") as file:
            file.write(f"{os.getpid()}\n")
        order = folder / self.id
        match order.read_text() if order.exists() else "":
            case "fail":
                raise TargetUnreachableError("nothing answers")
            case "die":
                time.sleep(3)  # what else runs on this worker would die with it
                os._exit(9)
        time.sleep(0.3)  # so that the next component finds the first worker busy
        context.sink.write("samples", pa.table({"value": [1.0]}))
        return Collected(window=Window(start=start, end=datetime.now(UTC)))

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        return []

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        return []

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        return []


def dask_setup(_worker: object) -> None:
    """Put scripted components in place of the real ones, but for the api: Dask calls it in each worker process."""
    for component in ComponentId:
        if component is not ComponentId.API:
            COMPONENTS[component] = Told(component)
