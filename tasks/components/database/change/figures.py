"""Both sides of a change: replays of the same reads, and a window of real work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deployments.changes import ChangeSettings
from deployments.config import DatabaseSettings
from storage.errors import NotMeasuredError
from tasks.components.database.change import measure, replay
from tasks.components.database.change.records import ChangeError, Figures, Replay, Span, Step
from tasks.components.database.change.replay import Read
from tasks.load.database.session import QueryError, Server, Session, Watchdog

READ_MS = 15_000
"""Time-out of what is read from catalogues and counters."""


@dataclass
class Measuring:
    """Measures one step; the reads are chosen once, so that both sides replay the same texts."""

    server: Server
    watchdog: Watchdog
    settings: ChangeSettings
    reads: DatabaseSettings
    say: Callable[[str], None]
    chosen: tuple[Sequence[Read], Sequence[str]] | None = field(default=None, repr=False)

    def before(self, step: Step) -> Figures:
        """Replays, then the window: nothing of ours runs within it."""
        replays, notes = self._replays(step)
        span, more = self._span(step, "before")
        return Figures(span=span, replays=replays, notes=(*notes, *more))

    def after(self, step: Step) -> Figures:
        """The window, then replays: their scans of the index are not counted as real work's."""
        span, more = self._span(step, "after")
        replays, notes = self._replays(step)
        return Figures(span=span, replays=replays, notes=(*more, *notes))

    def _span(self, step: Step, side: str) -> tuple[Span | None, list[str]]:
        self.say(f"watching real work for {self.settings.window_s:g} s {side} the change of {step.table_name}")
        try:
            with self._session(READ_MS) as session:
                span, problem = measure.span(session, step, self.settings.window_s)
        except (QueryError, NotMeasuredError) as error:
            return None, [f"real work {side} the change was not measured: {error}"]
        return span, [f"no figures by statement: {problem}"] if problem else []

    def _replays(self, step: Step) -> tuple[tuple[Replay, ...], list[str]]:
        try:
            if self.chosen is None:
                with self._session(READ_MS) as session:
                    self.chosen = replay.chosen(session, step, self.reads, self.settings)
            reads, notes = self.chosen
            found, problems = self._run(reads, step)
        except (QueryError, NotMeasuredError) as error:
            return (), [f"reads were not replayed: {error}"]
        return tuple(found), [*notes, *problems]

    def _run(self, reads: Sequence[Read], step: Step) -> tuple[list[Replay], list[str]]:
        if not reads:
            return [], []
        self.say(f"replaying {len(reads)} reads")
        found, problems = [], []
        with self._session(int(self.settings.replay_timeout_s * 1000)) as session:
            names = replay.part_names(session, step)
            for read in reads:
                one, problem = replay.replayed(session, read, self.settings.replays)
                one = one and replay.by_whole(one, step.name, names)
                found += [one] if one is not None else []
                problems += [problem] if problem else []
        return found, problems

    def _session(self, timeout_ms: int) -> Session:
        return Session(self.server, self.watchdog, timeout_ms=timeout_ms)

    def usable(self, figures: Figures) -> None:
        """Refuse to go on where nothing at all could be measured; raises `ChangeError`."""
        if figures.span is None and not figures.replays:
            raise ChangeError(f"not begun: nothing can be measured: {'; '.join(figures.notes)}")
