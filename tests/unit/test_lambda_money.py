"""Timetables, intervals from days, and arrivals by the minute, against answers worked out by hand or by others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from statistics import NormalDist
from zoneinfo import ZoneInfo

import pytest

from storage.records import Window
from tasks.components.lambda_functions.arrivals import arrivals, whole_days
from tasks.components.lambda_functions.reading import read
from tasks.components.lambda_functions.reports import LogEvent
from tasks.components.lambda_functions.spread import Day, per_meal, student_t, sum_half_width
from tasks.components.lambda_functions.timetable import Block, timetable

KOLKATA = ZoneInfo("Asia/Kolkata")
MONDAY = datetime(2026, 11, 16, tzinfo=KOLKATA)
NOON = Window(start=datetime(2026, 11, 10, 9, 30, tzinfo=UTC), end=datetime(2026, 11, 24, 9, 30, tzinfo=UTC))


class TestTimetable:
    def test_equal_hours_of_several_days_are_one_block(self) -> None:
        hours = [day * 24 + hour for day in range(5) for hour in (11, 12, 13)]
        assert timetable(hours, MONDAY) == (Block((0, 1, 2, 3, 4), 11, 14),)

    def test_days_are_those_of_the_first_midnight(self) -> None:
        thursday = MONDAY + timedelta(days=3)
        blocks = timetable([12, 24 + 12, 4 * 24 + 9], thursday)
        assert blocks == (Block((0,), 9, 10), Block((3, 4), 12, 13))
        assert str(blocks[1]) == "12:00-13:00 on Thu, Fri"

    def test_environments_are_asked_for_ahead_and_given_back_at_the_end(self) -> None:
        block = Block((0, 4), 11, 14)
        assert (block.on, block.off) == ("cron(50 10 ? * MON,FRI *)", "cron(0 14 ? * MON,FRI *)")

    def test_midnight_moves_the_day(self) -> None:
        block = Block((0,), 0, 24)
        assert (block.on, block.off) == ("cron(50 23 ? * SUN *)", "cron(0 0 ? * TUE *)")


class TestSpread:
    @pytest.mark.parametrize(("freedom", "table"), [(2, 4.303), (4, 2.776), (8, 2.306), (12, 2.179), (30, 2.042)])
    def test_student_s_t_is_that_of_the_tables(self, freedom: int, table: float) -> None:
        assert student_t(freedom) == pytest.approx(table, rel=0.01)

    def test_a_week_s_shape_is_no_noise(self) -> None:
        days = [(weekday >= 5, 1.0 if weekday >= 5 else 10.0) for weekday in range(7)] * 2
        assert sum_half_width(days) == 0

    def test_too_few_days_have_no_interval(self) -> None:
        assert sum_half_width([(False, 1.0), (False, 2.0), (False, 3.0)]) is None

    def test_the_interval_holds_the_truth_as_often_as_it_says(self) -> None:
        rng, held = Random(5), 0  # noqa: S311 - test data
        for _ in range(600):
            days = [(day % 7 >= 5, rng.gauss(2 if day % 7 >= 5 else 10, 1.5)) for day in range(14)]
            half = sum_half_width(days)
            assert half is not None
            held += abs(sum(value for _, value in days) - (10 * 10 + 4 * 2)) <= half
        assert 0.92 <= held / 600 <= 0.98, NormalDist().cdf(1.96)

    def test_dollars_for_meals(self) -> None:
        days = [
            Day(weekday, dollars=meals * 0.002, meals=meals) for weekday, meals in enumerate((500, 600, 550, 0, 520))
        ]
        found = per_meal(days)
        assert found is not None
        ratio, interval = found
        assert ratio == pytest.approx(0.002)
        assert interval == pytest.approx((0.002, 0.002))
        assert per_meal([Day(0, 1.0)]) is None


def report(number: int, at: datetime, duration: float, init: float | None = None) -> LogEvent:
    cold = f"\tInit Duration: {init:.2f} ms" if init is not None else ""
    message = (
        f"REPORT RequestId: {number:08x}-1111-4111-8111-111111111111\tDuration: {duration:.2f} ms"
        f"\tBilled Duration: {int(duration) + 1} ms\tMemory Size: 128 MB\tMax Memory Used: 60 MB{cold}\t\n"
    )
    return LogEvent(round(at.timestamp() * 1000), message, "f")


class TestArrivals:
    def test_a_week_of_whole_local_days(self) -> None:
        span = whole_days(NOON, "Asia/Kolkata")
        assert span == (datetime(2026, 11, 17, tzinfo=KOLKATA), 7)
        assert whole_days(Window(start=NOON.end - timedelta(hours=20), end=NOON.end), "Asia/Kolkata") is None

    def test_a_request_came_when_its_invocation_began(self) -> None:
        ended = datetime(2026, 11, 17, 12, 30, 5, tzinfo=KOLKATA)
        table, _ = read([report(1, ended, 4000.0), report(2, ended, 4000.0, init=2500.0)])
        found = arrivals(table, NOON, "Asia/Kolkata")
        assert found is not None
        assert found.total == 2
        assert (found.minutes[12 * 60 + 30], found.minutes[12 * 60 + 29]) == (1, 1)
