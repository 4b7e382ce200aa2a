"""Time: instants in UTC milliseconds, and how far the clock that gave them may be trusted.

The ground never asks the time. `protocol.node.ntpclock` asks; this module judges; a promotion and
a price act on a `Reading`, and every event carries one.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DRIFT_PPM = 100  # growth of the uncertainty between two checks (devices.md, section 6)


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


class Sample(msgspec.Struct, frozen=True):
    """One answer of a time source: true time minus our wall clock, give or take `error_ms`."""

    source: str
    offset_ms: int
    error_ms: int


def intersect(samples: list[Sample]) -> Sample | None:
    """The interval that a majority of at least two sources share (Marzullo), or None.

    >>> intersect([Sample("a", 0, 10), Sample("b", 4, 10), Sample("c", 3_600_000, 10)])
    Sample(source='a+b', offset_ms=2, error_ms=8)
    """
    edges = sorted(
        edge
        for s in samples
        for edge in ((s.offset_ms - s.error_ms, 0), (s.offset_ms + s.error_ms, 1))
    )
    best, depth = 0, 0
    shared: list[tuple[int, int]] = []  # where `best` intervals overlap
    for i, (at, closing) in enumerate(edges):
        if closing:
            depth -= 1
            continue
        depth += 1
        if depth >= best:
            shared = shared if depth == best else []
            best = depth
            shared.append((at, next(a for a, c in edges[i + 1 :] if c)))
    if best < 2 or 2 * best <= len(samples):
        return None
    low, high = shared[0][0], shared[-1][1]  # several such places: the truth lies in one of them
    agreeing = [
        s.source
        for s in samples
        if any(s.offset_ms - s.error_ms <= a and s.offset_ms + s.error_ms >= b for a, b in shared)
    ]
    return Sample("+".join(agreeing), (low + high) // 2, (high - low + 1) // 2)


class TrustedClock:
    """Judge of one machine's clock. Fed with samples, asked for readings; asks nobody itself.

    `mono_ms` counts on when the wall clock jumps (CLOCK_BOOTTIME where there is one); all
    arguments are milliseconds. `high_water_ms` is the last trusted instant, persisted by the node.
    """

    def __init__(self, *, build_ms: int, high_water_ms: int = 0) -> None:
        self.build_ms = build_ms
        self.high_water_ms = high_water_ms
        self._told_ms = 0  # the latest trusted reading given
        self._anchor: tuple[int, int, int] | None = None  # mono, true time, error
        self._judged: ClockState | None = None

    def accept(self, sample: Sample, *, wall_ms: int, mono_ms: int) -> None:
        """Anchor true time to the monotonic clock."""
        true_ms = wall_ms + sample.offset_ms
        self._anchor = (mono_ms, true_ms, sample.error_ms)
        self._judged = ClockState.TRUSTED

    def boot_without_sources(self, *, wall_ms: int, mono_ms: int) -> None:
        """After a power cut: a hardware clock past the high-water mark gives HOLDOVER.

        u = 2 s + 100 ppm of the time off (design, section 4). Otherwise the state stays BEHIND or
        UNKNOWN until a source answers or a manager confirms.
        """
        if self._anchor is not None or not self.high_water_ms or wall_ms < self.high_water_ms:
            return
        off_ms = wall_ms - self.high_water_ms
        self._anchor = (mono_ms, wall_ms, 2_000 + off_ms * DRIFT_PPM // 1_000_000)
        self._judged = ClockState.HOLDOVER

    def confirm(self, true_ms: int, *, mono_ms: int) -> None:
        """A manager vouched for the time with a PIN: HOLDOVER with u = 60 s.

        The one way back: a person may correct a clock that a wrong source had set ahead.
        """
        self._told_ms = self.high_water_ms = 0
        self._anchor = (mono_ms, true_ms, 60_000)
        self._judged = ClockState.HOLDOVER

    def read(self, *, wall_ms: int, mono_ms: int, fresh_ms: int = HOUR_MS) -> Reading:
        """The reading now; TRUSTED fades to HOLDOVER when no sample came for `fresh_ms`.

        Trusted readings never decrease. When a sample says that we were ahead, time stands until
        it has caught up, and `u_ms` covers the difference; a wall clock before the floor (build
        date, last trusted instant) gives the floor. Untrusted readings bind nothing.
        """
        if self._anchor is None or self._judged is None:
            floor = max(self.build_ms, self.high_water_ms)
            state = ClockState.BEHIND if wall_ms < floor else ClockState.UNKNOWN
            return Reading(max(floor, wall_ms), 0, state)
        at_mono, true_ms, error_ms = self._anchor
        passed = max(0, mono_ms - at_mono)
        state = self._judged
        if state is ClockState.TRUSTED and passed > fresh_ms:
            state = ClockState.HOLDOVER
        now = true_ms + passed
        self.high_water_ms = max(self.high_water_ms, now)
        self._told_ms = max(self._told_ms, now)
        u_ms = error_ms + passed * DRIFT_PPM // 1_000_000 + self._told_ms - now
        return Reading(self._told_ms, u_ms, state)
