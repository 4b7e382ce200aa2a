"""What a follower said it holds, kept for long: up to where a writer may forget its own events.

A shop forgets only what head office has held for 35 days: its backups are younger than that, so
whichever of them is restored, nothing is missing. An event's own age says nothing of the kind: a
shop that was offline for weeks sends old events today. And a checkpoint is void once head office
was set back to before it, even if it is refilled since: its backups of meanwhile are not.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from protocol.journal import Position
from protocol.wire import Ack, Cursor

KEPT_MAX: Final = 420
HOLDS: Final = frozenset({"ok", "fork", "welcome"})
STANDS: Final = frozenset({"welcome", "gap", "refused"})  # these say where it stands, no less
HashAt = Callable[[int], str | None]  # of our main line


class Checkpoint(msgspec.Struct, frozen=True):
    """An acknowledgement as it was signed, and when it came by the writer's trusted clock."""

    noted_ms: int
    ack: Ack

    def place(self, stream: str) -> Position | None:
        """Up to where the follower held the stream; None when it does not say."""
        for cursor in self.ack.cursors:
            if cursor.stream == stream and cursor.status in HOLDS and cursor.upto:
                return Position(cursor.epoch, cursor.upto, cursor.hash)
        return None


class Checkpoints:
    """One writer's, of one stream and follower; `kept` is the oldest first."""

    def __init__(self, stream: str, every_ms: int, kept: Sequence[Checkpoint] = ()) -> None:
        self.stream = stream
        self.kept = list(kept)
        self._every_ms = every_ms
        self._since_ms = 0  # what the follower said before, by its time, is over

    def heard(self, ack: Ack, hash_at: HashAt, *, trusted_ms: int | None) -> bool:
        """Take an acknowledgement; True when `kept` is another. `trusted_ms`: the trusted time."""
        changed = False
        for cursor in ack.cursors:
            if cursor.stream == self.stream and ack.now >= self._since_ms:
                changed |= self._heard(ack, cursor, hash_at, trusted_ms)
        return changed

    def _heard(self, ack: Ack, cursor: Cursor, hash_at: HashAt, trusted_ms: int | None) -> bool:
        ours = bool(cursor.upto) and hash_at(cursor.upto) == cursor.hash
        changed = False
        if not ours or cursor.status in STANDS:
            upto = cursor.upto if ours else 0
            still = [c for c in self.kept if (at := c.place(self.stream)) and at.seq <= upto]
            changed, self.kept = len(still) != len(self.kept), still
            self._since_ms = ack.now
        if not ours or trusted_ms is None or cursor.status not in HOLDS:
            return changed
        ahead = [c for c in self.kept if c.noted_ms > trusted_ms]  # by a clock that was wrong
        if ahead:
            self.kept = [c for c in self.kept if c.noted_ms <= trusted_ms]
        last_ms = self.kept[-1].noted_ms if self.kept else None
        if last_ms is None or trusted_ms - last_ms >= self._every_ms:
            self.kept = [*self.kept, Checkpoint(trusted_ms, ack)][-KEPT_MAX:]
            return True
        return changed or bool(ahead)

    def newest(
        self,
        hash_at: HashAt,
        *,
        noted_by_ms: int,
        said_by_ms: int | None = None,
        signed: Callable[[Ack], bool] = lambda _: True,
    ) -> Checkpoint | None:
        """The newest one that is old enough by both clocks, signed, and on our main line."""
        for one in reversed(self.kept):
            at = one.place(self.stream)
            old = one.noted_ms <= noted_by_ms and (said_by_ms is None or one.ack.now <= said_by_ms)
            if at is not None and old and hash_at(at.seq) == at.hash and signed(one.ack):
                return one
        return None
