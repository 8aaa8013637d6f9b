"""Where the files of a run lie, and how they are written and read back.

Under the output root, one folder per run in each of three roots:

    performance-analysis-results/<environment>/<run>/{run,attempt-1,…}.json
    performance-analysis-results/<environment>/<run>/<component>/{samples,…,measurements}.parquet
    performance-analysis-results/<environment>/<run>/<component>/{findings,manifest}.json
    performance-analysis-results/<environment>/<run>/<component>/journal-attempt-1-1.arrows     while load runs
    performance-analysis-results/<environment>/<run>/<component>/samples-partial-attempt-1.parquet   where it broke
    performance-benchmark-reports/<environment>/<run>/       the technical side of the report
    performance-orchestration-reports/<environment>/<run>/   report.json and what people read

A component's manifest is written last and holds the checksum of every other file: without it, nothing there counts.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from storage.errors import DamagedFileError, RunExistsError, UnknownRunError, UsageError
from storage.parquet import Store, measurements_from, measurements_table
from storage.records import (
    SCHEMA_VERSION,
    Attempt,
    Collected,
    ComponentId,
    Finding,
    Manifest,
    MeasuredComponent,
    Measurement,
    Report,
    RunInfo,
    StoredFile,
)

ANALYSIS = "performance-analysis-results"
BENCHMARKS = "performance-benchmark-reports"
ORCHESTRATION = "performance-orchestration-reports"

_ATTEMPT = re.compile(r"^attempt-\d+\.json$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")


def new_run_name(started: datetime) -> str:
    """A fresh name for a run: its start in UTC, and six random digits so that two never meet."""
    return f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def named_run(started: datetime, flow_run: str) -> str:
    """The name of a flow run's folder: its expected start in UTC, and the end of its id."""
    return f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{flow_run.replace('-', '')[-6:]}"


def is_run_name(name: str) -> bool:
    """Whether a run's or an environment's folder may be called so."""
    return bool(_NAME.match(name))


class RunFolder:
    """The files of one run of one environment under an output root."""

    def __init__(self, store: Store, environment: str, run: str) -> None:
        for name in (environment, run):
            if not is_run_name(name):
                raise UsageError(f"{name!r} cannot name a folder: use letters, digits, '.', '_' and '-'")
        self.store = store
        self.environment = environment
        self.run = run

    def _analysis(self, name: str) -> str:
        return f"{ANALYSIS}/{self.environment}/{self.run}/{name}"

    def benchmark(self, name: str) -> str:
        """Name of a file of the technical side."""
        return f"{BENCHMARKS}/{self.environment}/{self.run}/{name}"

    def orchestration(self, name: str) -> str:
        """Name of a file that people read."""
        return f"{ORCHESTRATION}/{self.environment}/{self.run}/{name}"

    def create(self, info: RunInfo, config: dict[str, Any]) -> None:
        """Claim the run's folder; `RunExistsError` where another run has it."""
        name = self._analysis("run.json")
        if not self.store.create_json(name, {"info": info.model_dump(mode="json"), "config": config}):
            raise RunExistsError(f"{self.store.path(name)} exists: two runs never share a folder")

    def opened_already(self) -> bool:
        """Whether `create` was called for this run."""
        return self.store.exists(self._analysis("run.json"))

    def opened(self) -> tuple[RunInfo, dict[str, Any]]:
        """What `create` wrote: which run this is, and its configuration as JSON."""
        name = self._analysis("run.json")
        data = self.store.read_json(name)
        try:
            return RunInfo.model_validate(data["info"]), data["config"]
        except (ValidationError, KeyError, TypeError) as error:
            raise DamagedFileError(f"{self.store.path(name)} is not a run's description: {error}") from error

    def write_attempt(self, attempt: Attempt) -> None:
        """Keep what is known of one attempt, in place of what was known before."""
        self.store.write(self._analysis(f"attempt-{attempt.number}.json"), attempt.model_dump_json(indent=2).encode())

    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt at this run, the first one first."""
        folder = self._analysis("").rstrip("/")
        names = [name for name in self.store.names(folder) if _ATTEMPT.match(name)]
        found = []
        for name in names:
            try:
                found.append(Attempt.model_validate_json(self.store.read(f"{folder}/{name}")))
            except ValidationError as error:
                raise DamagedFileError(f"{self.store.path(folder)}/{name} is not an attempt: {error}") from error
        return tuple(sorted(found, key=lambda attempt: attempt.number))

    def component(self, component: ComponentId) -> ComponentFiles:
        """The files of one component."""
        return ComponentFiles(self.store, self._analysis(component.value), self.run, component)

    def report(self) -> Report:
        """The stored report."""
        name = self.orchestration("report.json")
        content = self.store.read(name)
        try:
            return Report.model_validate_json(content)
        except ValidationError as error:
            raise DamagedFileError(
                f"{self.store.path(name)} is not a report: {error.error_count()} problems"
            ) from error


class ComponentFiles:
    """The files of one component of one run; it is the sink that `collect` writes to."""

    def __init__(self, store: Store, folder: str, run: str, component: ComponentId) -> None:
        self._store = store
        self._folder = folder
        self._run = run
        self._component = component
        self._files: dict[str, StoredFile] = {}

    def _name(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def begin(self) -> None:
        """Start afresh: what an earlier attempt left no longer counts."""
        self._files = {}
        self._store.remove(self._name("manifest.json"))

    def write(self, name: str, table: pa.Table) -> None:
        """Store one raw table under a name such as `samples`."""
        if f"{name}.parquet" in self._files:
            raise RunExistsError(f"{self._store.path(self._name(name))}.parquet was written already")
        self._files[f"{name}.parquet"] = self._store.write_table(self._name(f"{name}.parquet"), table)

    @property
    def folder(self) -> Path | None:
        """Where the files lie on this machine; None where the output is a bucket."""
        return self._store.local_path(self._folder)

    def keep(self, name: str, table: pa.Table) -> None:
        """Store a table beside what counts: no manifest names it, and a later attempt leaves it alone."""
        self._store.write_table(self._name(f"{name}.parquet"), table)

    def kept(self, name: str) -> pa.Table:
        """A table that `keep` stored."""
        return self._store.read_table(self._name(f"{name}.parquet"))

    def names(self) -> list[str]:
        """Names of the tables that lie there, those of earlier attempts too."""
        stored = self._store.names(self._folder)
        return [name.removesuffix(".parquet") for name in stored if name.endswith(".parquet")]

    def path(self, name: str) -> str:
        """The full name of a table's file, as a message shows it."""
        return self._store.path(self._name(f"{name}.parquet"))

    def written(self) -> dict[str, pa.Table]:
        """What this attempt wrote so far, read back from storage: what is judged is what is stored."""
        return {
            name.removesuffix(".parquet"): self._store.read_table(self._name(name), stored)
            for name, stored in self._files.items()
        }

    def finish(
        self,
        collected: Collected,
        measurements: Sequence[Measurement],
        findings: Sequence[Finding],
        *,
        attempt: int,
        code_version: str,
        missing: Sequence[str] = (),
    ) -> Manifest:
        """Write measurements, findings, and last the manifest that makes all of it count."""
        table = measurements_table(list(measurements))
        found = [finding.model_dump(mode="json") for finding in findings]
        self._files["measurements.parquet"] = self._store.write_table(self._name("measurements.parquet"), table)
        self._files["findings.json"] = self._store.write_json(self._name("findings.json"), found)
        manifest = Manifest(
            run=self._run,
            component=self._component,
            attempt=attempt,
            code_version=code_version,
            collected=collected,
            files=self._files,
            missing=tuple(missing),
        )
        self._store.write(self._name("manifest.json"), manifest.model_dump_json(indent=2).encode())
        return manifest

    def manifest(self) -> Manifest | None:
        """The manifest, or None where the component was not measured."""
        name = self._name("manifest.json")
        if not self._store.exists(name):
            return None
        content = self._store.read(name)
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise DamagedFileError(f"{self._store.path(name)} is not a manifest: {error}") from error
        if manifest.schema_version > SCHEMA_VERSION:
            raise DamagedFileError(
                f"{self._store.path(name)} has schema version {manifest.schema_version}; this program reads up to"
                f" {SCHEMA_VERSION}"
            )
        return manifest

    def tables(self, manifest: Manifest) -> dict[str, pa.Table]:
        """The raw tables, each proved by its checksum."""
        return {
            name.removesuffix(".parquet"): self._store.read_table(self._name(name), stored)
            for name, stored in manifest.files.items()
            if name.endswith(".parquet") and name != "measurements.parquet"
        }

    def measured(self, manifest: Manifest) -> pa.Table:
        """The measurements as rows, proved by their checksum."""
        stored = manifest.files.get("measurements.parquet")
        if stored is None:
            raise DamagedFileError(f"{self._store.path(self._name('manifest.json'))} names no measurements.parquet")
        return self._store.read_table(self._name("measurements.parquet"), stored)

    def verify(self, manifest: Manifest) -> None:
        """Read every file of the manifest; the first that is missing or altered is a `DamagedFileError`."""
        for name, stored in manifest.files.items():
            self._store.read(self._name(name), stored)

    def result(self, manifest: Manifest) -> MeasuredComponent:
        """What was measured and found, as it was stored."""
        table = self._store.read_table(self._name("measurements.parquet"), manifest.files["measurements.parquet"])
        found = self._store.read_json(self._name("findings.json"), manifest.files["findings.json"])
        try:
            return MeasuredComponent(
                component=self._component,
                attempt=manifest.attempt,
                code_version=manifest.code_version,
                collected=manifest.collected,
                measurements=tuple(measurements_from(table)),
                findings=tuple(Finding.model_validate(row) for row in found),
            )
        except (ValueError, KeyError, TypeError) as error:  # pydantic's is a ValueError; so is an unknown unit
            raise DamagedFileError(
                f"{self._store.path(self._folder)} holds figures that are none: {error}"
            ) from error


def run_at(path: str | Path) -> RunFolder:
    """The stored run that a path leads to: its folder under any of the three roots, or any file in it."""
    text = str(path)
    parts = (text if "://" in text else str(Path(text).resolve())).split("/")
    for place, part in enumerate(parts[:-2]):
        if part in (ANALYSIS, BENCHMARKS, ORCHESTRATION):
            found = RunFolder(Store("/".join(parts[:place]) or "/"), parts[place + 1], parts[place + 2])
            if found.opened_already():
                return found
    raise UsageError(f"{text} leads to no stored run: name {ANALYSIS}/ENVIRONMENT/RUN or a file in it")


def find_run(store: Store, name: str) -> RunFolder:
    """The run called `name`, or `ENVIRONMENT/NAME`, or the newest (`latest`) under the output root."""
    environment, _, run = name.rpartition("/")
    found = [
        (one, candidate)
        for one in ([environment] if environment else store.folders(ANALYSIS))
        for candidate in store.folders(f"{ANALYSIS}/{one}")
        if run in (candidate, "latest")
    ]
    if not found and run == "latest":
        raise UnknownRunError(
            f"no run yet under {store.root}{f' of {environment}' if environment else ''}: make one with"
            " `hasivu-perf run development`, or name with --output where the runs lie"
        )
    if not found:
        raise UnknownRunError(
            f"no run {name!r} under {store.root}; a run's name is printed at its end, or use 'latest'"
        )
    chosen = max(found, key=lambda pair: pair[1])
    if run != "latest" and len(found) > 1:
        raise UnknownRunError(f"{name!r} names {len(found)} runs; say {', '.join('/'.join(pair) for pair in found)}")
    return RunFolder(store, *chosen)
