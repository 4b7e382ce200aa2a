"""Keep what arrived: a group of batches in one transaction, written together at its end.

    with books.begin() as tx:
        keeping = Keeping(books, tx, streams, at_ms=at_ms)
        verdict = judge(batch, keeping)         # sees what was kept before it, written or not
        keeping.keep(verdict)
        recorded = keeping.finish()

Batches that follow their cursor (nearly all) wait for one COPY, one fold and one write per table.
Whatever needs to look into the journal (a gap, a fork, a repetition) has them written first.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from protocol.journal import Position
from protocol.node.books import Books
from protocol.node.sqljournal import Recorded, SqlRecords, lock_heads
from protocol.replication import Accepted


class Keeping(SqlRecords):
    """`protocol.replication.Records` of a transaction that keeps; locks its streams first."""

    def __init__(self, books: Books, tx: Connection, streams: Iterable[str], *, at_ms: int) -> None:
        super().__init__(tx)
        self._books = books
        self._tx = tx
        self._at_ms = at_ms
        self._heads = lock_heads(tx, sorted(set(streams)))
        self._waiting: list[Accepted] = []
        self._recorded: list[Recorded] = []

    def keep(self, verdict: Accepted) -> None:
        """Take an accepted batch; it is written by `finish` at the latest."""
        stream = verdict.events[0].stream
        if verdict.parent == self._heads[stream] and not verdict.fork:
            self._waiting.append(verdict)
            self._heads[stream] = verdict.tip
            return
        self._write()
        self._recorded += self._books.keep(self._tx, verdict, at_ms=self._at_ms)
        self._heads[stream] = super().head(stream)

    def finish(self) -> list[Recorded]:
        """Write what waits; return all that was kept, in its order."""
        self._write()
        return self._recorded

    def _write(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._recorded += self._books.extend(self._tx, waiting)

    # -- what `judge` asks --------------------------------------------------------------------

    def head(self, stream: str) -> Position:
        """The cursor, what waits included."""
        return self._heads[stream]

    def find(self, stream: str, event_hash: str) -> Position | None:
        """Where this hash stands."""
        self._write()
        return super().find(stream, event_hash)

    def has_child(self, stream: str, position: Position) -> bool:
        """Does any event follow this one?"""
        self._write()
        return super().has_child(stream, position)

    def taken(self, stream: str, position: Position) -> bool:
        """Does another event of the same epoch stand at this sequence?"""
        self._write()
        return super().taken(stream, position)
