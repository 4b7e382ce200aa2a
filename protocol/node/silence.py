"""A connection that is up and on which nobody answers is given up and made anew.

A broker of a cluster may let a client in and pass nothing on (seen with NATS after a node died).
As head office may only be away, each try waits twice as long as the one before.
"""

from typing import Final

SILENCE_S: Final = 30.0  # sync.md 2.3: a dead line is noticed within this
SILENCE_S_MAX: Final = 600.0


class Silence:
    """Used by the replication thread alone; the caller gives the time (monotonic, s)."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._patience_s = SILENCE_S

    def over(self, now_s: float, *, up: bool, answered: bool) -> bool:
        """Has it lasted so long that the connection is to be made anew?"""
        if answered:
            self._patience_s = SILENCE_S
        if answered or not up:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s >= self._patience_s:
            self._since_s = None
            self._patience_s = min(SILENCE_S_MAX, 2 * self._patience_s)
            return True
        return False
