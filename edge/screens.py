"""The clocks of the browsers at the tills: compared and shown, never used for anything.

A page measures the way to this node and back, so a slow answer does not look like a slow clock.
"""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from edge.node import ShopNode
from edge.pairing import Browser
from protocol.clock import DAY_MS, HOUR_MS, SECOND_MS
from protocol.errors import Refusal, define

OFF_MS_MAX: Final = 5 * SECOND_MS
FORGET_MS: Final = 12 * HOUR_MS  # a tablet that slept over night is still that tablet
OFF_MS_SANE: Final = 4_102_444_800_000
SCREENS_MAX: Final = 200
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

define(
    {
        "SCREEN_CLOCK_WRONG": (
            "A report of a browser's clock must hold off_ms and zone. Nothing was kept.",
            "浏览器时钟报告需包含 off_ms 和 zone。没有保存。",
        ),
    }
)


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """One browser's clock as it was last reported: its time minus ours, and its zone."""

    key: str
    till: str
    name: str
    off_ms: int
    zone: str
    other_zone: bool
    seen_ms: int

    @property
    def wrong(self) -> bool:
        """More than 5 s off, or in another zone than the shop."""
        return self.other_zone or abs(self.off_ms) > OFF_MS_MAX


def _offset(zone: ZoneInfo, at_ms: int) -> timedelta | None:
    return (EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).utcoffset()


def same_wall(one: str, other: str, at_ms: int) -> bool:
    """Do two zones show the same time now and in half a year? An unknown zone never does.

    >>> same_wall("Asia/Shanghai", "Asia/Chongqing", 1_793_491_200_000)
    True
    >>> same_wall("Asia/Shanghai", "Asia/Tokyo", 1_793_491_200_000)
    False
    """
    if one == other:
        return True
    try:
        zones = ZoneInfo(one), ZoneInfo(other)
    except (KeyError, ValueError, OSError):
        return False
    moments = (at_ms, at_ms + 182 * DAY_MS)
    return all(_offset(zones[0], at) == _offset(zones[1], at) for at in moments)


class Screens:
    """What browsers reported, in memory: it is news of a minute, not of the business."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._seen: dict[str, Screen] = {}

    def report(self, browser: Browser, *, off_ms: int, zone: str) -> Screen:
        """A page says how its clock differs from ours; SCREEN_CLOCK_WRONG for nonsense."""
        if not zone or len(zone) > 60 or abs(off_ms) > OFF_MS_SANE:
            raise Refusal("SCREEN_CLOCK_WRONG")
        now_ms = self._node.clock.read().at_ms
        other = not same_wall(zone, self._node.settings.tz, now_ms)
        screen = Screen(
            key=browser.key,
            till=browser.till,
            name=browser.name,
            off_ms=off_ms,
            zone=zone,
            other_zone=other,
            seen_ms=now_ms,
        )
        with self._lock:
            before = self._seen.pop(browser.key, None)
            self._seen[browser.key] = screen
            while len(self._seen) > SCREENS_MAX:
                self._seen.pop(next(iter(self._seen)))
        if before is None or before.wrong != screen.wrong:
            self._node.hub.publish("clock", {"screen": browser.till})
        return screen

    def screens(self) -> list[Screen]:
        """By till; those not heard of for half a day are left out."""
        now_ms = self._node.clock.read().at_ms
        with self._lock:
            seen = list(self._seen.values())
        alive = [one for one in seen if abs(now_ms - one.seen_ms) <= FORGET_MS]
        return sorted(alive, key=lambda one: (one.till == "", one.till, one.name, one.key))
