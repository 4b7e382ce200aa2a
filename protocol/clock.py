"""Time: instants in UTC milliseconds, and how far the clock that gave them may be trusted.

The ground never asks the time. `protocol.node.ntpclock` asks, `protocol.timesources` and
`protocol.trustedclock` judge; a promotion and a price act on a `Reading`, and every event carries
one.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

import msgspec

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CALENDAR_END_MS: Final = 253_402_128_000_000  # two days before 10000: every zone has a date there
DRIFT_PPM: Final = 100  # growth of the uncertainty between two checks (devices.md, section 6)


def calendar(at_ms: int) -> datetime:
    """An instant in UTC, for people to read.

    A wrong clock, or a rogue, may date an event beyond what a calendar holds: it is shown at the
    end of that, so that no page falls over somebody else's time.
    """
    return EPOCH + timedelta(milliseconds=min(max(at_ms, 0), CALENDAR_END_MS))


class ClockState(StrEnum):
    """TRUSTED and HOLDOVER count as trusted; BEHIND (dead hardware clock) and UNKNOWN do not."""

    TRUSTED = "trusted"
    HOLDOVER = "holdover"
    BEHIND = "behind"
    UNKNOWN = "unknown"

    @property
    def trusted(self) -> bool:
        """May timed rules and dated prices act on it?"""
        return self in {ClockState.TRUSTED, ClockState.HOLDOVER}


class Reading(msgspec.Struct, frozen=True):
    """One look at the clock: the true instant lies in [at_ms - u_ms, at_ms + u_ms] if trusted."""

    at_ms: int
    u_ms: int
    state: ClockState

    @property
    def surely_past_ms(self) -> int:
        """The latest instant that has certainly gone by."""
        return self.at_ms - self.u_ms


class Clock(Protocol):
    """The port that everything above asks."""

    def read(self) -> Reading:
        """The present reading; cheap, never blocks."""
        ...


def drift_ms(passed_ms: int) -> int:
    """How far a quartz may have run off in this time, rounded up."""
    return -(-max(0, passed_ms) * DRIFT_PPM // 1_000_000)
