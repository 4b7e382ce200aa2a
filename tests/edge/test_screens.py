"""Browsers' clocks: compared, shown when wrong, used for nothing."""

import pytest

from edge.compose import Shop
from edge.pairing import Browser
from edge.screens import FORGET_MS, SCREENS_MAX, same_wall
from edge.timekeeping import facts_of
from protocol.errors import Refusal
from tests.edge.shop_builder import BUN, NOON_MS, ring_up

TABLET = Browser("k1", "1", "tablet", 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Asia/Shanghai", "Asia/Shanghai", True),
        ("Asia/Shanghai", "PRC", True),
        ("Asia/Shanghai", "Asia/Singapore", True),  # another name, the same wall
        ("Asia/Shanghai", "Asia/Tokyo", False),
        ("Asia/Shanghai", "UTC", False),
        ("Europe/Berlin", "Africa/Lagos", False),  # the same in winter alone
        ("Asia/Shanghai", "Asia/Atlantis", False),
        ("Asia/Shanghai", "../etc/passwd", False),
    ],
)
def test_zones_are_compared_by_what_they_show(one: str, other: str, *, same: bool) -> None:
    assert same_wall(one, other, NOON_MS) is same


@pytest.mark.parametrize(
    ("off_ms", "zone", "wrong"),
    [
        (0, "Asia/Shanghai", False),
        (5_000, "Asia/Shanghai", False),
        (-5_001, "Asia/Shanghai", True),
        (0, "Asia/Tokyo", True),
    ],
)
def test_more_than_five_seconds_or_another_zone_is_shown(
    shop: Shop, off_ms: int, zone: str, *, wrong: bool
) -> None:
    shop.screens.report(TABLET, off_ms=off_ms, zone=zone)
    verdicts = [v for v in shop.health.verdicts() if v.part == "screen/1"]
    told = facts_of(shop.node, shop.screens.screens()).screens
    assert [bool(verdicts), bool(told)] == [wrong, wrong]
    for one in verdicts:
        assert one.state == "warn"
        assert one.code == (
            "HEALTH_SCREEN_OFF" if zone == "Asia/Shanghai" else "HEALTH_SCREEN_ZONE"
        )
        for language in ("en", "zh"):
            assert "{" not in one.sentence(language)
            assert one.can_still(language)


def test_nothing_follows_from_it(open_shop: Shop) -> None:
    before = ring_up(open_shop, [BUN])
    reading = open_shop.clock.read()
    open_shop.screens.report(TABLET, off_ms=-(10**11), zone="UTC")
    after = open_shop.selling.view("1")
    assert open_shop.clock.read() == reading
    assert (after.total_minor, after.clock_state) == (before.total_minor, before.clock_state)
    assert not [v for v in open_shop.health.verdicts() if v.part == "clock" and v.state != "ok"]


def test_a_phone_is_shown_but_no_till_is_blamed(shop: Shop) -> None:
    shop.screens.report(Browser("k2", "", "phone", 0), off_ms=60_000, zone="Asia/Shanghai")
    assert not [v for v in shop.health.verdicts() if v.part.startswith("screen")]
    assert [one.wrong for one in shop.screens.screens()] == [True]


@pytest.mark.parametrize(("off_ms", "zone"), [(10**15, "UTC"), (0, ""), (0, "x" * 61)])
def test_nonsense_is_refused(shop: Shop, off_ms: int, zone: str) -> None:
    with pytest.raises(Refusal, match="SCREEN_CLOCK_WRONG"):
        shop.screens.report(TABLET, off_ms=off_ms, zone=zone)
    assert shop.screens.screens() == []


def test_reports_are_bounded_and_forgotten(shop: Shop, clock) -> None:
    for n in range(SCREENS_MAX + 20):
        shop.screens.report(Browser(f"k{n}", "1", "", 0), off_ms=0, zone="Asia/Shanghai")
    assert len(shop.screens.screens()) == SCREENS_MAX
    clock.later(FORGET_MS + 1)
    assert shop.screens.screens() == []


def test_the_header_hears_when_a_screen_becomes_wrong(shop: Shop) -> None:
    with shop.node.hub.subscribe() as facts:
        for off_ms in (0, 10, 60_000, 61_000, 0):
            shop.screens.report(TABLET, off_ms=off_ms, zone="Asia/Shanghai")
        topics = []
        while not facts.empty():
            topics.append(facts.get_nowait().topic)
    assert topics == ["clock"] * 3
