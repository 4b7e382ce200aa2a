"""The trading day: its cut is not midnight, and a doubled or missing hour moves no sale."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pricing import business_date
from protocol.clock import HOUR_MS, MINUTE_MS

CHANGES = {  # some of the instants at which the clocks of a zone change
    "Asia/Shanghai": ("2027-03-28T01:00+00:00",),
    "Europe/Berlin": ("2027-03-28T01:00+00:00", "2027-10-31T01:00+00:00"),
    "America/New_York": ("2027-03-14T07:00+00:00", "2027-11-07T06:00+00:00"),
    "Australia/Lord_Howe": ("2027-04-03T15:00+00:00", "2027-10-02T15:30+00:00"),
    "America/Havana": ("2027-03-14T05:00+00:00", "2027-11-07T05:00+00:00"),
    "America/Nuuk": ("2027-03-28T01:00+00:00", "2027-10-31T01:00+00:00"),  # over midnight
}
ZONES = tuple(CHANGES)
CUTS = ("00:30", "01:30", "00:00", "02:30", "04:00", "23:59")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_2026_MS, YEAR_2029_MS = 1_767_225_600_000, 1_861_920_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("instant", "cut", "day"),
    [
        ("2026-11-02T03:59:59+08:00", "04:00", "2026-11-01"),
        ("2026-11-02T04:00:00+08:00", "04:00", "2026-11-02"),
        ("2026-11-02T00:00:00+08:00", "00:00", "2026-11-02"),
        ("2026-11-01T23:59:59+08:00", "00:00", "2026-11-01"),
        ("2027-01-01T03:00:00+08:00", "04:00", "2026-12-31"),
    ],
)
def test_the_cut_separates_the_days(instant: str, cut: str, day: str) -> None:
    assert business_date(at(instant), "Asia/Shanghai", cut) == day


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2027-10-31T02:59:00+02:00", "2027-10-30"),  # the first pass of the doubled hour
        ("2027-10-31T02:59:00+01:00", "2027-10-30"),  # the second
        ("2027-10-31T03:00:00+01:00", "2027-10-31"),
        ("2027-10-31T02:05:00+01:00", "2027-10-30"),
        ("2027-03-28T01:59:59+01:00", "2027-03-27"),  # before the missing hour
        ("2027-03-28T03:00:00+02:00", "2027-03-28"),  # the cut at 02:30 never came
    ],
)
def test_a_change_of_the_clocks_moves_no_sale(instant: str, day: str) -> None:
    cut = "03:00" if "10-31" in instant else "02:30"
    assert business_date(at(instant), "Europe/Berlin", cut) == day


NEAR = st.sampled_from(ZONES).flatmap(
    lambda tz: st.tuples(st.just(tz), st.sampled_from(CHANGES[tz]), st.integers(-3 * HOUR_MS, 0))
)


@given(NEAR, st.sampled_from(CUTS))
def test_a_day_that_has_begun_does_not_end_again(case: tuple[str, str, int], cut: str) -> None:
    tz, change, off_ms = case
    start = at(change) + off_ms
    days = [business_date(start + k * 7 * MINUTE_MS, tz, cut) for k in range(240)]
    assert days == sorted(days)
    for before, after in pairwise(dict.fromkeys(days)):
        assert datetime.fromisoformat(after) - datetime.fromisoformat(before) == timedelta(days=1)


def test_a_cut_inside_the_doubled_hour_comes_once() -> None:
    minutes = range(at("2027-10-31T02:00+02:00"), at("2027-10-31T03:00+01:00"), MINUTE_MS)
    days = [business_date(ms, "Europe/Berlin", "02:30") for ms in minutes]
    assert (days.count("2027-10-30"), days.count("2027-10-31")) == (30, 90)


@given(st.integers(YEAR_2026_MS, YEAR_2029_MS), st.sampled_from(ZONES), st.sampled_from(CUTS))
def test_it_is_the_wall_less_the_cut(at_ms: int, tz: str, cut: str) -> None:
    local = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(tz))
    hours, minutes = map(int, cut.split(":"))
    today = local.date()
    started = (local.hour, local.minute) >= (hours, minutes)
    expected = today if started else today - timedelta(days=1)
    found = business_date(at_ms, tz, cut)
    assert found == expected.isoformat() or (local.fold and found == today.isoformat())
