"""Collects over the load window: snapshots at both ends, samples in between, timed reads in a process of their own.

Three sessions at most: one here, two of the timed reads. All are read-only, with time-outs at the server and a total
deadline at the client. A part that cannot be read becomes a note, never a crash and never a figure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from deployments.config import RunConfig
from storage.clock import current_clock
from storage.errors import NotMeasuredError
from storage.records import Collected, ComponentId, Window
from tasks.components.base import CollectContext, Progress
from tasks.components.database import catalog, facts, index_advice, machine, tables, timing
from tasks.components.database.pools import Pools
from tasks.components.database.sampling import Sampler, Seen
from tasks.components.database.schemas import table
from tasks.load.database.session import Patience, QueryError, Server, Session, Watchdog, parse
from tasks.load.process import WorkerOutput

READY_S = 10.0
"""How long the process of the timed reads may take to start and connect."""

PATIENCE_S, PATIENCE = 10.0, 0.2
"""How long all that is read here may take: so many seconds, and so large a part of the window."""

_NOTES = 40


class Collector:
    """One collection: owns the session, the watchdog and the notes."""

    def __init__(self, context: CollectContext) -> None:
        self.context = context
        self.config: RunConfig = context.config
        self.settings = context.config.environment.database
        self.url, self.server = address(context.config, context.target.database_url)
        self.watchdog = Watchdog()
        self.patience = Patience(PATIENCE_S + PATIENCE * self.config.environment.load.duration_s)
        self.session: Session | None = None
        self.notes: list[str] = []
        self.progress: Mapping[str, Any] = {}
        self.stop = threading.Event()
        self.ready = threading.Event()

    def run(self) -> Collected:
        """Collect everything, write the tables, and tell when, under which load, against what."""
        try:
            self.session = self._connect()
            known = facts.read(self.session)
            self.notes += known.notes
            with self._reads() as answer:
                return self._over_window(known, answer)
        except QueryError as error:
            raise NotMeasuredError(
                f"database {self.server.shown} could not be read: {error}; {error.remedy}"
            ) from None
        finally:
            if self.session is not None:
                self.session.close()
            self.watchdog.close()

    def _connect(self) -> Session:
        timeout_ms = self.settings.statement_timeout_ms
        return Session(self.server, self.watchdog, timeout_ms=timeout_ms, patience=self.patience)

    @contextmanager
    def _reads(self) -> Iterator[Callable[[], WorkerOutput | None]]:
        """Time the reads beside the body; whatever ends the body ends the worker too."""
        if not self.settings.statements:
            yield lambda: None
            return

        def told(progress: Mapping[str, Any]) -> None:
            if self.stop.is_set():
                raise NotMeasuredError("the collection was stopped")
            self.progress = progress
            self.ready.set()

        with ThreadPoolExecutor(1, thread_name_prefix="database-reads") as pool:
            future = pool.submit(timing.run, self.config, self.url, told, self.context.journals)
            future.add_done_callback(lambda _: self.ready.set())
            try:
                self.ready.wait(READY_S)  # so that both windows begin together
                yield future.result
            except BaseException:
                self.stop.set()
                raise

    def _over_window(self, known: facts.Facts, answer: Callable[[], WorkerOutput | None]) -> Collected:
        clock = current_clock()
        start = clock.now()
        first = self._snapshot(known)
        pools = self._pools(known)
        sampler = Sampler(
            known,
            clock,
            self.config.environment.load.duration_s,
            self.settings.sample_every_s,
            self._alive,
            self._tell,
            self.notes,
            pools,
        )
        try:
            seen = sampler.watch()
        finally:
            if pools is not None:
                pools.close()
        end = clock.now()
        output, problem = self._answer(answer)
        last = self._snapshot(known)
        seen.reads_problem = problem
        self._write(known, first, last, seen, output)
        load = None
        if output is not None:
            load = timing.summary(self.config, output, same_machine=self.context.target.local)
            self.notes += [f"timed reads: {text} ({count} times)" for text, count in output.facts["messages"].items()]
        return Collected(
            window=Window(start=start, end=end),
            load=load,
            load_plan=self._load_plan(),
            fingerprint=fingerprint(known),
            notes=tuple(dict.fromkeys(self.notes))[:_NOTES],
        )

    def _pools(self, known: facts.Facts) -> Pools | None:
        """PgBouncer's console, where the environment names its variable and that is set."""
        url, variable = self.context.target.pooler_url, self.settings.pooler_variable
        if url is None or variable is None:
            return None
        return Pools(url.get_secret_value(), variable, known.database, self.watchdog, self.notes)

    def _answer(self, answer: Callable[[], WorkerOutput | None]) -> tuple[WorkerOutput | None, str]:
        """The timed reads' output, or why there is none: the rest of the collection stands without them."""
        if not self.settings.statements:
            return None, "the environment names no [[database.statements]]"
        try:
            return answer(), ""
        except NotMeasuredError as error:
            self.notes.append(f"timed reads: {error}")
            return None, str(error)

    def _load_plan(self) -> dict[str, str]:
        return {
            "reads_per_second": f"{timing.rate(self.config):g}",
            "duration_s": f"{self.config.environment.load.duration_s:g}",
            "statements": ", ".join(item.name for item in self.settings.statements) or "none",
            "sample_every_s": f"{self.settings.sample_every_s:g}",
            "model": "open, evenly spaced, latency from the intended start",
        }

    def _alive(self) -> Session | None:
        """The session, opened anew where it broke; None where that fails."""
        if self.session is not None and self.session.alive:
            return self.session
        if self.session is not None:
            self.session.close()
            self.session = None
        if not self.patience.left_s:
            return None
        try:
            self.session = self._connect()
        except NotMeasuredError as error:
            self.session = None
            self.notes.append(str(error))
        return self.session

    def _snapshot(self, known: facts.Facts) -> catalog.Snapshot:
        session = self._alive()
        if session is None:
            return catalog.Snapshot(problems=["the database did not answer"])
        found = catalog.snapshot(session, known)
        self.notes += found.problems
        return found

    def _tell(self, elapsed: float, total: float, message: str = "") -> None:
        progress = self.progress
        self.context.progress(
            Progress(
                component=ComponentId.DATABASE,
                elapsed_s=elapsed,
                total_s=total,
                rate=timing.rate(self.config) if self.settings.statements else None,
                p95_ms=progress.get("p95_ms"),
                failed=progress.get("failed"),
                message=message,
            )
        )

    def _write(
        self,
        known: facts.Facts,
        first: catalog.Snapshot,
        last: catalog.Snapshot,
        seen: Seen,
        output: WorkerOutput | None,
    ) -> None:
        """Write every table; what the window's end could not tell is null, not the window's start."""
        sink = self.context.sink
        if output is not None:
            sink.write("samples", output.tables["samples"])
        notes = self.notes
        rows = tables.of_statements(self._alive(), known, self.settings, seen, notes)
        advised = self._advice(rows)
        session = self._alive()
        written = {
            **tables.of_server(first, last),
            **tables.of_samples(seen),
            **tables.of_catalog(session, first, last, notes),
            "statements": rows,
            "plans": tables.of_plans(session, rows, self.settings, notes) if session else [],
            "advice": advised.rows,
            "advice_refused": advised.refused,
        }
        notes += seen.deltas.notes
        more = {"local": str(self.context.target.local).lower(), **advised.facts}
        more |= machine.facts(session, self.settings) if session else {}
        sink.write("facts", table("facts", tables.of_facts(known, last, seen, more)))
        for name, content in written.items():
            sink.write(name, table(name, content))

    def _advice(self, rows: list[dict[str, Any]]) -> index_advice.Advised:
        """After the window, so that it takes nothing from what is measured in it."""
        if self._alive() is None:
            problem = "the database did not answer any more"
            return index_advice.Advised(facts={"advice_problem": problem}, notes=[f"index advice: {problem}"])
        asked = index_advice.workload(rows)
        total = self.config.environment.load.duration_s
        advised = index_advice.ask(
            self.config,
            self.url,
            asked,
            local=self.context.target.local,
            alive=lambda: self._tell(total, total, "index advice"),
        )
        self.notes += advised.notes
        return advised


def address(config: RunConfig, url: Any) -> tuple[str, Server]:
    """The database's address, or a `NotMeasuredError` that names the variable to set."""
    variable = config.environment.variables.database_url
    if url is None:
        raise NotMeasuredError(f"{variable} is not set: set it to postgresql://user:password@host:5432/dbname")
    return url.get_secret_value(), parse(url.get_secret_value(), variable)


def fingerprint(known: facts.Facts) -> dict[str, str]:
    """What was measured: version, database, and its size in whole MB."""
    size = known.values.get("size_bytes", "")
    return {
        "server": known.values["version"],
        "database": known.database,
        "size_mb": str(round(int(size) / 2**20)) if size else "unknown",
    }


def collect(context: CollectContext) -> Collected:
    """Collect the database over the load window; see `Collector`."""
    return Collector(context).run()
