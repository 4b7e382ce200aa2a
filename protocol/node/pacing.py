"""How much goes into one transaction: all that waits, but little while somebody sells live.

Large groups cost less per event. But whoever sells now waits until the group before is written, so
while small batches come, a turn takes only as much as is written within `TURN_S`.
"""

from typing import Final

import msgspec

TURN_S: Final = 0.03
LIVE_S: Final = 1.0  # after a live batch, for so long
LIVE_BYTES: Final = 48_000  # a batch that is not full is all that its shop had to say
BUDGET_MAX: Final = 2_500_000  # about a thousand sales of ten lines
BUDGET_MIN: Final = 128_000
CREDIT_LIVE: Final = 200  # events of a backlog under way: they share the line with what is sold now


class Counts(msgspec.Struct):
    """What was kept since the start; written by the replication thread, read by anybody."""

    events: int = 0
    groups: int = 0  # transactions
    seconds: float = 0.0


class Pace:
    """Learns from each group how long its bytes take; the caller gives the time."""

    def __init__(self) -> None:
        self._seconds_a_byte = 0.0
        self._live_at = -LIVE_S

    def came(self, size: int, now_s: float) -> None:
        """A batch of that many bytes has come."""
        if size < LIVE_BYTES:
            self._live_at = now_s

    def took(self, size: int, seconds: float) -> None:
        """A group of that many bytes was written."""
        if size < BUDGET_MIN // 2:
            return  # what every transaction costs says nothing about bytes
        found, known = seconds / size, self._seconds_a_byte
        self._seconds_a_byte = found if not known else known + (found - known) / 4

    def live(self, now_s: float) -> bool:
        """Does somebody sell now?"""
        return now_s - self._live_at < LIVE_S

    def credit(self, most: int, now_s: float) -> int:
        """Events that a sender may have under way, `most` when nobody sells."""
        return min(most, CREDIT_LIVE) if self.live(now_s) else most

    def budget(self, now_s: float) -> int:
        """Bytes that the next group may have."""
        if not self.live(now_s) or not self._seconds_a_byte:
            return BUDGET_MAX
        return min(BUDGET_MAX, max(BUDGET_MIN, int(TURN_S / self._seconds_a_byte)))
