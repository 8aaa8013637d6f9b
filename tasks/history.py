"""What an environment's history says of a run, and how it is kept in order after one."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import RunConfig, load_environment, load_thresholds
from storage.baselines import pinned
from storage.compaction import compact
from storage.errors import StorageError
from storage.history import open_history
from storage.history_records import HistoryComponent, HistoryRun, Series
from storage.history_rows import remembered
from storage.parquet import measurements_table
from storage.records import ComponentResult, MeasuredComponent, RunInfo
from storage.runs import RunFolder
from tasks.judge.detect import MINIMUM_EFFECT, ChangePoint, change_points
from tasks.judge.regressions import RUNS, Calendar, Seen, like, local_days, over_runs

ACCEPTED = "accepted"
"""Name of the pinned baseline up to which an environment is accepted as it is."""
_MOST_NAMED = 3


def over_history(folder: RunFolder, info: RunInfo, config: RunConfig, results: Sequence[ComponentResult]) -> Seen:
    """What became worse over the earlier runs of the environment that are like this one; it ends with this run.

    History that cannot be read is a note, for a run was measured all the same.
    """
    measured = [one for one in results if isinstance(one, MeasuredComponent)]
    run = _described(info, measured)
    try:
        history = open_history(folder.store, info.environment)
        pin = pinned(folder.store, info.environment).get(ACCEPTED)
        place = (info.started, info.run)
        earlier = [one for one in history.runs if (one.started, one.run) < place and like(one, run)][-RUNS:]
        table = measurements_table([figure for one in measured for figure in one.measurements])
        series = [one for one in history.series_with(run, table, earlier) if one.runs[-1].run == info.run]
    except StorageError as error:
        return Seen(notes=(f"History cannot be read, so nothing was compared with earlier runs: {error}",))
    accepted = next((one.started for one in history.runs if pin and one.run == pin.run), None)
    seen = over_runs(series, config.thresholds, Calendar(config.environment.history.days_closed(), accepted))
    left_out = [f"{name} ({why})" for name, why in sorted(history.left_out.items()) if name != info.run]
    return Seen(seen.regressions, seen.compared, (*seen.notes, *_left_out(left_out), *history.notes[:_MOST_NAMED]))


def with_changes(series: Sequence[Series], environment: str) -> list[tuple[Series, list[ChangePoint]]]:
    """Each series with its changes of level, by the thresholds and the school year of the environment's file."""
    thresholds, _ = load_thresholds(environment)
    effects = {threshold.metric: threshold.minimum_effect for threshold in thresholds}
    closed = load_environment(environment).history.days_closed()
    return [
        (one, change_points(one.values.tolist(), local_days(one), effects.get(one.metric, MINIMUM_EFFECT), closed))
        for one in series
    ]


def _left_out(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return [f"Left out of history: {'; '.join(names[:_MOST_NAMED])}{more}"]


def _described(info: RunInfo, measured: Sequence[MeasuredComponent]) -> HistoryRun:
    """The run that is being judged, as history will know it."""
    parts = {
        one.component.value: HistoryComponent(
            attempt=one.attempt,
            code_version=one.code_version,
            trust=one.collected.load.trust if one.collected.load else None,
        )
        for one in measured
    }
    return remembered(info, parts)


def keep_up(folder: RunFolder) -> str:
    """Take runs up into history where enough of them wait; what went wrong, which is no reason for a run to fail."""
    try:
        compact(folder.store, folder.environment)
    except StorageError as error:
        return str(error)
    return ""
