"""What head office said it holds of this shop's journal, day by day, in its own signed words.

A shop forgets only what head office has held for 35 days: its backups are younger than that, so
whichever of them is restored, nothing is missing. An event's own age says nothing of the kind: a
shop that was offline for weeks sends old events today.
"""

from typing import Final

import msgspec
from sqlalchemy import Connection

from edge.node import ShopNode
from protocol.clock import DAY_MS
from protocol.ids import CENTRAL
from protocol.journal import Position
from protocol.node import signing
from protocol.node.books import Books
from protocol.node.sqljournal import SqlRecords
from protocol.wire import Ack

NAME: Final = "checkpoints"
KEPT_MAX: Final = 420  # of one day each
HOLDS: Final = frozenset({"ok", "welcome"})


class Checkpoint(msgspec.Struct, frozen=True):
    """An acknowledgement as it was signed, and when it came by this shop's trusted clock."""

    noted_ms: int
    ack: Ack

    def held(self, stream: str) -> Position | None:
        """Up to where head office held the stream; None when it does not say."""
        for cursor in self.ack.cursors:
            if cursor.stream == stream and cursor.status in HOLDS and cursor.upto:
                return Position(cursor.epoch, cursor.upto, cursor.hash)
        return None


def read(books: Books, connection: Connection) -> list[Checkpoint]:
    """All that are kept, the oldest first."""
    text = books.state(connection, NAME)
    return msgspec.json.decode(text, type=list[Checkpoint]) if text else []


class Checkpoints:
    """Notes one acknowledgement a day; used by the replication thread alone."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        with node.books.database.reading() as connection:
            kept = read(node.books, connection)
        self._last_ms = kept[-1].noted_ms if kept else 0

    def acked(self, ack: Ack) -> None:
        """An acknowledgement came whose hash is ours."""
        now = self._node.clock.read()
        if not now.state.trusted or 0 <= now.at_ms - self._last_ms < DAY_MS:
            return
        fresh = Checkpoint(now.at_ms, ack)
        if fresh.held(self._node.stream) is None:
            return
        books = self._node.books
        with books.begin() as tx:
            # After a clock that was wrong: what lies ahead of now would never grow old.
            kept = [c for c in read(books, tx) if c.noted_ms <= now.at_ms]
            kept = [*kept, fresh][-KEPT_MAX:]
            books.set_state(tx, NAME, msgspec.json.encode(kept).decode())
        self._last_ms = now.at_ms


def newest_older(
    books: Books, connection: Connection, stream: str, *, before_ms: int, central_key: str
) -> tuple[Position, int] | None:
    """The newest one noted before an instant that still holds: (place, head office's time then).

    Its signature is head office's, and our main line has that hash at that place.
    """
    records = SqlRecords(connection)
    for kept in reversed(read(books, connection)):
        held = kept.held(stream)
        if kept.noted_ms > before_ms or held is None or kept.ack.node != CENTRAL:
            continue
        signed = signing.check(central_key, kept.ack.signed_part(), kept.ack.sig)
        if signed and records.hash_at(stream, held.seq) == held.hash:
            return held, kept.ack.now
    return None
