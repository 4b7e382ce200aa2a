"""A copied disk that goes on writing: its epochs are banned, its batches set aside unapplied.

What descends from a banned epoch is banned too, so a restart of the copy does not open the door.
"""

import msgspec
from sqlalchemy import Connection, func, select

from protocol import wire
from protocol.codec import decode
from protocol.journal import parent_of
from protocol.node.books import Books
from protocol.node.sqljournal import upsert
from protocol.node.tables import banned_epoch, spooled
from protocol.wire import Batch, Cursor

LOOK_S = 1.0  # another process may have banned one
SPOOLED_MAX = 10_000  # batches of one stream; a copy that goes on for ever must not fill the disk


class Ban(msgspec.Struct, frozen=True, kw_only=True):
    """From now on nothing that this epoch writes after a sequence is applied."""

    stream: str
    epoch: str
    after_seq: int
    at_ms: int
    asked_by: str
    confirmed_by: str


def ban(tx: Connection, one: Ban) -> None:
    """Write it down."""
    row = msgspec.structs.asdict(one)
    tx.execute(upsert(tx, banned_epoch).on_conflict_do_nothing(), row)


class Bans:
    """What is banned, kept in memory; used by the replication thread alone."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._looked_at = -LOOK_S
        self._banned: dict[str, dict[str, int]] = {}  # stream -> epoch -> after

    def look(self, now_s: float) -> None:
        """Read anew, once a second."""
        if now_s - self._looked_at < LOOK_S:
            return
        self._looked_at = now_s
        c = banned_epoch.c
        with self._books.database.reading() as connection:
            rows = connection.execute(select(c.stream, c.epoch, c.after_seq)).all()
        self._banned = {}
        for stream, epoch, after_seq in rows:
            self._banned.setdefault(stream, {})[epoch] = after_seq

    def refuses(self, tx: Connection, batch: Batch, *, at_ms: int) -> Cursor | None:
        """The answer to a batch of a banned epoch, which is set aside; None for all others."""
        banned = self._banned.get(batch.stream)
        if not banned or not batch.events:
            return None
        if batch.epoch in banned:
            if batch.first <= banned[batch.epoch]:
                return None  # shared past, known to all
        else:
            parent = parent_of(decode(bytes(batch.events[0])))
            if parent is None or parent.seq <= banned.get(parent.epoch, parent.seq):
                return None
            banned[batch.epoch] = 0
            by = f"descends from {parent.epoch}"
            ban(
                tx,
                Ban(
                    stream=batch.stream,
                    epoch=batch.epoch,
                    after_seq=0,
                    at_ms=at_ms,
                    asked_by=by,
                    confirmed_by=by,
                ),
            )
        self._spool(tx, batch, at_ms=at_ms)
        return Cursor(
            stream=batch.stream,
            epoch=batch.epoch,
            upto=batch.first + batch.n - 1,
            hash=batch.last,
            status="stale_epoch",
            reason="STALE_EPOCH",
        )

    @staticmethod
    def _spool(tx: Connection, batch: Batch, *, at_ms: int) -> None:
        mine = select(func.count()).select_from(spooled).where(spooled.c.stream == batch.stream)
        if (tx.execute(mine).scalar() or 0) >= SPOOLED_MAX:
            return
        tx.execute(
            upsert(tx, spooled).on_conflict_do_nothing(),
            {
                "stream": batch.stream,
                "last_hash": batch.last,
                "epoch": batch.epoch,
                "first": batch.first,
                "n": batch.n,
                "at_ms": at_ms,
                "payload": wire.encode(batch),
            },
        )
