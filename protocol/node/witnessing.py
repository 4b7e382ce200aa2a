"""What a shop heard head office say, kept so that head office can have it back.

A follower keeps the header of every batch with its signature; the events stand in its journal. So
after head office was restored from an old backup the very batches that it signed can be sent
again, and it takes what carries its own signature, from whoever brings it.
"""

import time
from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy import Connection, select

from protocol.node.books import Books
from protocol.node.sqljournal import SqlRecords, upsert
from protocol.node.tables import journal, witness
from protocol.wire import Batch, Cursor, Hello

AGAIN_MS = 2_000
AGAIN_MS_MAX = 60_000
_header = msgspec.json.Decoder(Batch)


def keep_header(tx: Connection, batch: Batch) -> None:
    """Remember who signed these events; once per place."""
    header = msgspec.json.encode(msgspec.structs.replace(batch, events=()))
    tx.execute(
        upsert(tx, witness).on_conflict_do_nothing(),
        {
            "stream": batch.stream,
            "last": batch.first + batch.n - 1,
            "last_hash": batch.last,
            "first": batch.first,
            "header": header,
        },
    )


def heard_after(connection: Connection, stream: str, seq: int) -> Batch | None:
    """The longest signed batch that goes on after `seq`, whole; None when there is none."""
    c = witness.c
    rows = connection.execute(
        select(c.header, c.first, c.last, c.last_hash)
        .where(c.stream == stream, c.last > seq, c.first <= seq + 1)
        .order_by(c.last.desc())
        .limit(5)
    )
    for row in rows:
        header = _header.decode(row.header)
        events = _events(connection, header)
        if events:
            return msgspec.structs.replace(header, events=events)
    return None


def _events(connection: Connection, header: Batch) -> tuple[msgspec.Raw, ...]:
    """The events under a header, on whatever branch they stand now; empty when one is gone."""
    c = journal.c
    rows = connection.execute(
        select(c.data)
        .where(
            c.stream == header.stream,
            c.epoch == header.epoch,
            c.seq >= header.first,
            c.seq < header.first + header.n,
        )
        .order_by(c.seq)
    ).all()
    return tuple(msgspec.Raw(row.data) for row in rows) if len(rows) == header.n else ()


class _Giving(msgspec.Struct):
    after: int
    awaits: str = ""
    sent_ms: int = 0
    wait_ms: int = AGAIN_MS


class Witnessing:
    """One stream after the other, one batch at a time; used by the replication thread alone."""

    def __init__(self) -> None:
        self._streams: dict[str, _Giving] = {}

    def lost(self) -> None:
        """The link is gone; head office says anew what it lacks."""
        self._streams.clear()

    def acked(self, cursors: Iterable[Cursor]) -> None:
        """Head office lacks what it said itself, or has what we just gave back."""
        for cursor in cursors:
            one = self._streams.get(cursor.stream)
            if cursor.status == "lacks":
                self._streams[cursor.stream] = _Giving(cursor.upto)
            elif one is not None and one.awaits and cursor.hash == one.awaits:
                one.after, one.awaits, one.wait_ms = cursor.upto, "", AGAIN_MS

    def give(
        self,
        books: Books,
        publish: Callable[[str, Batch], bool],
        batch_topic: Callable[[str], str],
    ) -> None:
        """Send what is due, as head office signed it."""
        if self._streams:
            with books.database.reading() as connection:
                for batch in self.due(connection, time.monotonic_ns() // 1_000_000):
                    publish(batch_topic(batch.node), batch)

    def due(self, connection: Connection, now_ms: int) -> list[Batch]:
        """What is to be sent now."""
        found = []
        for stream, one in list(self._streams.items()):
            if one.awaits and now_ms - one.sent_ms < one.wait_ms:
                continue
            if one.awaits:
                one.wait_ms = min(AGAIN_MS_MAX, one.wait_ms * 2)
            batch = heard_after(connection, stream, one.after)
            if batch is None:
                del self._streams[stream]
                continue
            one.awaits, one.sent_ms = batch.last, now_ms
            found.append(batch)
        return found


def own_words(message: object, node: str, streams: Iterable[tuple[str, bool]]) -> bool:
    """Is this a batch that `node` itself made, of one of these streams?"""
    return (
        isinstance(message, Batch)
        and message.node == node
        and message.stream in {stream for stream, _ in streams}
    )


def lacks(
    hello: Hello, own: Iterable[tuple[str, bool]], records: SqlRecords, *, epoch: str
) -> list[Cursor]:
    """Our own streams of which a follower holds more than we: a backup was restored here.

    It may begin after our head, or after where we were before this epoch began.
    """
    found, streams = [], {stream for stream, _ in own}
    for told in hello.cursors:
        if told.stream in streams and told.upto and records.find(told.stream, told.hash) is None:
            start = records.before_epoch(told.stream, epoch)
            found.append(
                Cursor(
                    stream=told.stream,
                    epoch=start.epoch,
                    upto=start.seq,
                    hash=start.hash,
                    status="lacks",
                )
            )
    return found
