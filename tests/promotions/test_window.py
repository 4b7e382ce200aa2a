# ruff: noqa: E501  one case, one row
"""Windows to the second: zones, daylight saving, midnight, uncertainty."""

import pytest

from promotions.basket import read_time
from promotions.rule import parse
from promotions.window import Window

WEEK = 7 * 86_400_000


def window(zone="UTC", **when):
    document = {
        "id": "R",
        "type": "percent_off",
        "percent": 1,
        "select": {"all": True},
        "when": when,
    }
    return Window(parse(document).when, zone)


@pytest.mark.parametrize(("zone", "when", "time", "code"), [
    ("Europe/Berlin", {"start": "2026-03-29T02:30"}, "2026-03-29T00:59:59.999Z", "NOT_STARTED"),
    ("Europe/Berlin", {"start": "2026-03-29T02:30"}, "2026-03-29T01:00:00Z", ""),
    ("Europe/Berlin", {"end": "2026-03-29T02:30"}, "2026-03-29T00:59:59.999Z", ""),
    ("Europe/Berlin", {"end": "2026-03-29T02:30"}, "2026-03-29T01:00:00Z", "EXPIRED"),
    ("Europe/Berlin", {"start": "2026-10-25T02:30"}, "2026-10-25T00:30:00Z", ""),
    ("Europe/Berlin", {"start": "2026-10-25T02:30"}, "2026-10-25T00:29:59Z", "NOT_STARTED"),
    ("Europe/Berlin", {"end": "2026-10-25T02:30"}, "2026-10-25T01:30:59.999Z", ""),
    ("Europe/Berlin", {"end": "2026-10-25T02:30"}, "2026-10-25T01:31:00Z", "EXPIRED"),
    ("Europe/Berlin", {"end": "2026-10-25T02:30:10"}, "2026-10-25T01:30:10.999Z", ""),
    ("Europe/Berlin", {"end": "2026-10-25T02:30:10"}, "2026-10-25T01:30:11Z", "EXPIRED"),
    ("Asia/Tokyo", {"end": "2026-01-17T23:59"}, "2026-01-17T14:59:59Z", ""),
    ("Asia/Tokyo", {"end": "2026-01-17T23:59", "tz": "Asia/Shanghai"}, "2026-01-17T15:30:00Z", ""),
    ("UTC", {"daily": {"from": "22:00", "to": "02:00"}, "days": ["fri"]}, "2026-01-17T01:59:59Z", ""),
    ("UTC", {"daily": {"from": "22:00", "to": "02:00"}, "days": ["fri"]}, "2026-01-17T02:00:00Z", "OUTSIDE_HOURS"),
    ("UTC", {"daily": {"from": "22:00", "to": "02:00"}, "days": ["sat"]}, "2026-01-17T01:00:00Z", "WRONG_DAY"),
    ("UTC", {"daily": {"from": "08:00", "to": "08:00"}}, "2026-01-17T03:00:00Z", ""),
    ("UTC", {"days": ["sat"]}, "2026-01-17T00:00:00Z", ""),
    ("UTC", {"days": ["sat"]}, "2026-01-16T23:59:59.999Z", "WRONG_DAY"),
])  # fmt: skip
def test_instants(zone, when, time, code):
    assert window(zone, **when).judge(read_time(time), 0) == code


@pytest.mark.parametrize(("when", "time", "u_ms", "code"), [
    ({"end": "2026-01-17T23:59"}, "2026-01-17T23:59:30Z", 29_999, ""),
    ({"end": "2026-01-17T23:59"}, "2026-01-17T23:59:30Z", 30_000, "CLOCK_UNTRUSTED"),
    ({"end": "2026-01-17T23:59"}, "2026-01-18T00:01:00Z", 60_001, "CLOCK_UNTRUSTED"),
    ({"end": "2026-01-17T23:59"}, "2026-01-18T00:01:00Z", 60_000, "EXPIRED"),
    ({"start": "2026-01-17T10:00"}, "2026-01-17T09:59:00Z", 59_999, "NOT_STARTED"),
    ({"start": "2026-01-17T10:00"}, "2026-01-17T10:01:00Z", 60_000, ""),
    ({"daily": {"from": "10:00", "to": "11:00"}}, "2026-01-17T10:30:00Z", 1_800_000, "CLOCK_UNTRUSTED"),
    ({"daily": {"from": "10:00", "to": "11:00"}}, "2026-01-17T10:30:00Z", 1_799_999, ""),
    ({"daily": {"from": "10:00", "to": "11:00"}}, "2026-01-17T09:00:00Z", 1_000, "OUTSIDE_HOURS"),
    ({"daily": {"from": "10:00", "to": "11:00"}}, "2026-01-17T09:00:00Z", 9 * WEEK, "CLOCK_UNTRUSTED"),
    ({"days": ["sat"]}, "2026-01-17T00:00:10Z", 10_001, "CLOCK_UNTRUSTED"),
    ({"days": ["sat"]}, "2026-01-17T12:00:00Z", 10_000, ""),
    ({"days": ["sat"], "start": "2026-01-17T12:00"}, "2026-01-17T12:00:00Z", 1, "CLOCK_UNTRUSTED"),
])  # fmt: skip
def test_uncertainty(when, time, u_ms, code):
    assert window("UTC", **when).judge(read_time(time), u_ms) == code


def test_uncertainty_over_a_change_of_the_clock():
    hours = window("Europe/Berlin", daily={"from": "02:00", "to": "03:00"})
    assert hours.judge(read_time("2026-10-25T01:00:00Z"), 3_599_000) == ""
    assert hours.judge(read_time("2026-10-25T01:00:00Z"), 3_600_000) == "CLOCK_UNTRUSTED"
    assert hours.judge(read_time("2026-03-29T01:00:00Z"), 3_000_000) == "OUTSIDE_HOURS"
