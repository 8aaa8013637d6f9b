"""What a load's settings ask for: ramp, warm-up, one rate or a day of periods, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from deployments.config import build_config
from deployments.load import DAYS, Load
from storage.errors import ConfigurationError
from tasks.load.plan import judged_phases, judged_rate, phases_of, speed
from tasks.load.schedule import arrivals

PLAIN: dict[str, Any] = {"users": 10, "duration_s": 60, "ramp_up_s": 10, "max_rate": 800}
NOON = {
    "between": 0.5,
    "periods": [
        {"name": "lessons", "start": "11:00", "end": "12:00", "rate": 0.1},
        {"name": "bell", "start": "12:30", "end": "13:00", "rate": 2, "shape": "burst"},
        {"name": "after", "start": "13:00", "end": "13:30", "rate": 1, "shape": "rise"},
    ],
}


def test_ramp_warm_up_and_steady_phase_share_the_duration() -> None:
    load = Load(**PLAIN, warmup_s=5)
    names = [(phase.name, phase.from_rate, phase.to_rate, phase.duration_s) for phase in phases_of(load)]
    assert names == [("ramp", 0, 10, 10), ("warmup", 10, 10, 5), ("steady", 10, 10, 45)]
    assert judged_phases(load) == ("steady",)
    assert judged_rate(load) == 10
    assert speed(load) is None


def test_a_day_is_played_in_the_time_that_the_load_has() -> None:
    """150 minutes in 50 s: three minutes a second. A burst from 20/s: 20, 10, 5 … each for a sixth of 10 s."""
    load = Load(**PLAIN, day=NOON)
    phases = phases_of(load)
    assert sum(phase.duration_s for phase in phases) == pytest.approx(60)
    assert speed(load) == pytest.approx(180)
    assert judged_phases(load) == ("lessons", "between", "bell", "after")
    by_name = {name: sum(one.expected for one in phases if one.name == name) for name in judged_phases(load)}
    burst = 10 / 6 * sum((20 / 2**n + 20 / 2 ** (n + 1)) / 2 for n in range(6))
    assert by_name == pytest.approx({"lessons": 20, "between": 50, "bell": burst, "after": 10 * (10 + 20 / 64) / 2})
    schedule = arrivals(phases, jitter="poisson", seed=1)
    assert len(schedule) == pytest.approx(sum(by_name.values()) + 5, abs=1), "the ramp to 1/s adds 5"
    assert judged_rate(load) == pytest.approx(sum(by_name.values()) / 50)


def test_a_bell_rings_at_its_full_rate_at_once() -> None:
    load = Load(**{**PLAIN, "ramp_up_s": 0}, day=NOON)
    phases = phases_of(load)
    schedule = arrivals(phases, jitter="none")
    bell = schedule.offsets_ns[[schedule.names[number] == "bell" for number in schedule.phase]] / 1e9
    start = 60 / 150 * 90
    first = bell[(bell >= start) & (bell < start + 1)]
    last = bell[bell >= start + 11]
    assert len(first) == pytest.approx(18, abs=2), "20/s falling to a half in 2 s: 15 to 20 in the first second"
    assert len(last) <= 1
    assert np.all(np.diff(bell) > 0)


def test_the_days_that_come_with_the_program_are_sound() -> None:
    for path in DAYS.glob("*.toml"):
        load = Load(**PLAIN, day=path.stem)
        assert load.day is not None
        assert len(judged_phases(load)) >= len(load.day.periods)
        assert load.day.peak <= 1, "a profile's rate stays its highest"


def test_a_day_by_name_can_be_asked_for_on_the_command_line() -> None:
    config = build_config("development", overrides={"day": "school"})
    assert config.environment.load.day is not None
    assert build_config("development").environment.load.day is None
    stored = type(config).model_validate_json(config.model_dump_json())
    assert stored == config
    with pytest.raises(ConfigurationError, match=r"load\.day.*'weekend' is no day.*school"):
        build_config("development", overrides={"day": "weekend"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"warmup_s": 50}, "together must be shorter than"),
        ({"max_rate": 15, "day": NOON}, "20.0 requests/s is above max_rate 15"),
        ({"day": {"periods": [{"name": "a", "start": "12:00", "end": "11:00", "rate": 1}]}}, "end after it starts"),
        ({"day": {"periods": [NOON["periods"][1], NOON["periods"][0]]}}, "before the one above"),  # type: ignore[index]
        ({"day": {"periods": [{"name": "a", "start": "24:00", "end": "25:00", "rate": 1}]}}, "pattern"),
        ({"day": {"periods": []}}, "at least 1"),
        ({"day": "../../etc/passwd"}, "is no day"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Load(**{**PLAIN, **changes})
