"""A node's clock: the real judge over a wall clock that jumps and time servers that may lie."""

import random

from protocol.clock import Reading
from protocol.clockstatus import Last, Mark
from protocol.timesources import Sample
from protocol.trustedclock import TrustedClock

TRUE_MS = 1_793_500_000_000  # true time when a run begins
JUMPS_MS = {
    "an hour back": -3_600_000,
    "an hour ahead": 3_600_000,
    "a second back": -1_000,
    "400 days ahead": 400 * 86_400_000,
    "to 1970": -TRUE_MS,
}


class SimClock:
    """`now_ms` is the world's virtual time, set before each use; `off_ms` is the wall's error."""

    def __init__(self, rng: random.Random) -> None:
        self.now_ms = 0
        self.off_ms = rng.randint(-800, 800)
        self.lies = 0  # how many of the three time servers lie
        self._mark = Mark()  # on the disk
        self._boots = 0
        self._rng = rng
        self.boot()

    def boot(self) -> None:
        """Memory is empty; the wall clock and the saved mark are not."""
        self._booted_ms = self.now_ms
        self._boots += 1
        self._judge = TrustedClock(
            build_ms=TRUE_MS - 86_400_000,
            wall_ms=self.wall_ms,
            mono_ms=0,
            last=Last(mark=self._mark, boot=f"boot-{self._boots}"),
        )

    @property
    def true_ms(self) -> int:
        return TRUE_MS + self.now_ms

    @property
    def wall_ms(self) -> int:
        return max(0, self.true_ms + self.off_ms)

    @property
    def mono_ms(self) -> int:
        return self.now_ms - self._booted_ms

    def ask(self) -> None:
        """Three time servers answer, `lies` of them wrongly."""
        samples = []
        for n in range(3):
            error_ms = self._rng.randint(3, 60)
            wrong_ms = self._rng.randint(10**5, 10**9) if n < self.lies else 0
            offset_ms = self.true_ms - self.mono_ms + self._rng.randint(-error_ms, error_ms)
            samples.append(Sample(f"ntp{n}", offset_ms + wrong_ms, error_ms))
        now = {"wall_ms": self.wall_ms, "mono_ms": self.mono_ms}
        if self._judge.judge(samples, **now):
            self._mark = self._judge.mark(**now)

    def read(self) -> Reading:
        return self._judge.read(wall_ms=self.wall_ms, mono_ms=self.mono_ms)
