"""After a fork: whoever lacks what stands on the side branches of a shop's journal gets it back.

Head office counts both branches, so the shop must hold both, or their stock never agrees; and a
head office that was set back gets from the shop the branches that its backup lacks. One batch at a
time, the next one when the peer acknowledged the last, or again when it is overdue.
"""

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, func, select

from protocol.journal import ORIGIN, Position, Stored, chain
from protocol.node.tables import fork, journal
from protocol.replication import cut
from protocol.wire import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, NUMBER_MAX, Batch, Cursor

FROM_THE_FORK = -1
AGAIN_MS = 2_000
AGAIN_MS_MAX = 60_000
Cut = Callable[[str, Position, tuple[Stored, ...]], Batch]


class _Return(msgspec.Struct):
    peer: str
    stream: str
    seq: int  # up to here the peer has it
    branch: int = 0  # the one under way ...
    begins: int = 0  # ... and the sequence of its first event
    awaits: str = ""  # the hash that the batch under way ends with
    sent_ms: int = 0
    wait_ms: int = AGAIN_MS


class Returning:
    """Used by the replication thread alone."""

    def __init__(self) -> None:
        self._returns: dict[tuple[str, str], _Return] = {}
        self._offered: dict[tuple[str, str], str] = {}  # in which epoch of the peer

    def offer(self, connection: Connection, peer: str, stream: str, *, epoch: str) -> None:
        """Offer our own branches once to each epoch of a peer: it begins one when it is set back.

        Nobody else may have them: the machine that wrote them may be gone.
        """
        if self._offered.get((peer, stream)) != epoch:
            self._offered[peer, stream] = epoch
            self.greet(connection, peer, stream)

    def greet(
        self, connection: Connection, peer: str, stream: str, *, on_main_line: bool = True
    ) -> None:
        """A writer is back, and may have been set back again: offer it all branches.

        A machine whose disk was copied stands on a side branch: it lacks our main line too.
        """
        first = select(func.min(fork.c.parent_seq)).where(fork.c.stream == stream)
        parent_seq = connection.execute(first).scalar()
        if parent_seq is not None:
            after_seq = NUMBER_MAX if on_main_line else int(parent_seq)
            self._returns[peer, stream] = _Return(peer, stream, after_seq)

    def forked(self, peer: str, stream: str) -> None:
        """A fork was just kept: its writer lacks the branch that gave way, or our main line."""
        self._returns[peer, stream] = _Return(peer, stream, FROM_THE_FORK)

    def acked(self, peer: str, cursor: Cursor) -> bool:
        """Was this the answer to a batch of ours?"""
        one = self._returns.get((peer, cursor.stream))
        if one is None or not one.awaits or cursor.hash != one.awaits:
            return False
        one.seq, one.awaits, one.wait_ms = cursor.upto, "", AGAIN_MS
        return True

    def due(self, connection: Connection, now_ms: int, make: Cut) -> list[tuple[str, Batch]]:
        """(peer, batch) to be sent now."""
        found = []
        for one in list(self._returns.values()):
            if one.awaits and now_ms - one.sent_ms < one.wait_ms:
                continue
            if one.awaits:
                one.wait_ms = min(AGAIN_MS_MAX, one.wait_ms * 2)
            events = self._next(connection, one)
            if events:
                previous = _before(connection, events[0])
                if previous is not None:
                    one.awaits, one.sent_ms = events[-1].position.hash, now_ms
                    found.append((one.peer, make(one.stream, previous, events)))
        return found

    def _next(self, connection: Connection, one: _Return) -> tuple[Stored, ...]:
        c = journal.c
        if one.seq == FROM_THE_FORK:
            first = select(func.min(fork.c.parent_seq)).where(fork.c.stream == one.stream)
            one.seq = int(connection.execute(first).scalar() or 0)
        while True:
            rows = connection.execute(
                select(c.epoch, c.seq, c.hash, c.data)
                .where(c.stream == one.stream, c.branch == one.branch, c.seq > one.seq)
                .order_by(c.seq)
                .limit(BATCH_EVENTS_MAX)
            ).all()
            events = [Stored(one.stream, Position(r.epoch, r.seq, r.hash), r.data) for r in rows]
            if events:
                return cut(events, events_max=BATCH_EVENTS_MAX, bytes_max=BATCH_BYTES_MAX)
            later = self._after(connection, one)
            if later is None:
                return ()
            (one.begins, one.branch), one.seq = later, 0

    @staticmethod
    def _after(connection: Connection, one: _Return) -> tuple[int, int] | None:
        """(first sequence, branch) of the next one: what a branch grew from goes before it."""
        c = journal.c
        query = (
            select(func.min(c.seq), c.branch)
            .where(c.stream == one.stream, c.branch > 0)
            .group_by(c.branch)
        )
        found = sorted((int(first), int(branch)) for first, branch in connection.execute(query))
        return next((each for each in found if each > (one.begins, one.branch)), None)


def _before(connection: Connection, event: Stored) -> Position | None:
    """The event that this one follows, on whatever branch it stands."""
    at = event.position
    if at.seq == 1:
        return ORIGIN
    c = journal.c
    rows = connection.execute(
        select(c.epoch, c.seq, c.hash).where(c.stream == event.stream, c.seq == at.seq - 1)
    )
    for row in rows:
        if chain(row.hash, event.data) == at.hash:
            return Position(row.epoch, row.seq, row.hash)
    return None
