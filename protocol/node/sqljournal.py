"""The journal on SQLAlchemy Core: append as the writer, keep as a follower, read for sending."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from protocol.codec import Draft, Envelope, decode, encode
from protocol.events import EpochStarted, Event
from protocol.ids import NodeId, stream_owner
from protocol.journal import ORIGIN, Position, Stored, chain
from protocol.node.bulk import copy_rows
from protocol.node.tables import fork, journal, own_epoch, peer_ack, stream_base, stream_head
from protocol.replication import Accepted

PAST_ALL_EPOCHS = "~"  # they are hex digits
IDS_AT_ONCE = 10_000  # databases bound the parameters of one statement


class Recorded(msgspec.Struct, frozen=True):
    """An event in its place, decoded once for all who look at it."""

    envelope: Envelope
    body: Event | None
    stored: Stored


def upsert_on(dialect: str, table: Any) -> Any:
    """`INSERT .. ON CONFLICT` of a dialect; `.excluded` names the new row."""
    return (pg_insert if dialect == "postgresql" else sqlite_insert)(table)


def upsert(tx: Connection, table: Any) -> Any:
    """The same for the dialect in use."""
    return upsert_on(tx.dialect.name, table)


# Built once: building a statement costs more than running it (measured).


@cache
def _head_statement(dialect: str) -> Any:
    statement = upsert_on(dialect, stream_head)
    excluded = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["stream"],
        set_={"epoch": excluded.epoch, "seq": excluded.seq, "hash": excluded.hash},
    )


_HEAD = select(stream_head.c.epoch, stream_head.c.seq, stream_head.c.hash).where(
    stream_head.c.stream == bindparam("of_stream")
)
_HEAD_LOCKED = _HEAD.with_for_update()
_KNOWN = select(journal.c.id).where(
    journal.c.id.in_(bindparam("ids", expanding=True)), journal.c.stream == bindparam("of_stream")
)


def _row(stored: Stored, envelope: Envelope, branch: int) -> dict[str, Any]:
    return {
        "stream": stored.stream,
        "seq": stored.position.seq,
        "epoch": stored.position.epoch,
        "branch": branch,
        "hash": stored.position.hash,
        "type": envelope.type,
        "id": envelope.id,
        "at_ms": envelope.ts,
        "data": stored.data,
    }


def set_head(tx: Connection, stream: str, tip: Position) -> None:
    """Move the head of a written stream, or the cursor of a followed one."""
    values = {"stream": stream, "epoch": tip.epoch, "seq": tip.seq, "hash": tip.hash}
    tx.execute(_head_statement(tx.dialect.name), values)


def lock_head(tx: Connection, stream: str) -> Position:
    """The head, locked until the transaction ends (a row lock; SQLite holds its write lock)."""
    if tx.dialect.name == "postgresql":
        tx.execute(
            pg_insert(stream_head).on_conflict_do_nothing(),
            {"stream": stream, "epoch": ORIGIN.epoch, "seq": ORIGIN.seq, "hash": ORIGIN.hash},
        )
    row = tx.execute(_HEAD_LOCKED, {"of_stream": stream}).first()
    return Position(*row) if row else ORIGIN


_HEADS_LOCKED = (
    select(stream_head.c.stream, stream_head.c.epoch, stream_head.c.seq, stream_head.c.hash)
    .where(stream_head.c.stream.in_(bindparam("streams", expanding=True)))
    .order_by(stream_head.c.stream)
    .with_for_update()
)


def lock_heads(tx: Connection, streams: Sequence[str]) -> dict[str, Position]:
    """Several heads, locked in name order until the transaction ends."""
    rows = tx.execute(_HEADS_LOCKED, {"streams": list(streams)}).all()
    missing = set(streams) - {row.stream for row in rows}
    if missing and tx.dialect.name == "postgresql":  # what is not there cannot be locked
        origin = {"epoch": ORIGIN.epoch, "seq": ORIGIN.seq, "hash": ORIGIN.hash}
        tx.execute(
            pg_insert(stream_head).on_conflict_do_nothing(),
            [{"stream": stream, **origin} for stream in sorted(missing)],
        )
        rows = tx.execute(_HEADS_LOCKED, {"streams": list(streams)}).all()
    return dict.fromkeys(streams, ORIGIN) | {r[0]: Position(*r[1:]) for r in rows}


_JOURNAL_TYPES = ("text", "int8", "varchar", "int4", "varchar", "text", "text", "int8", "bytea")


_COLUMNS = ", ".join(c.name for c in journal.c)
_INSERT = f"INSERT INTO journal ({_COLUMNS}) VALUES ({', '.join('?' for _ in journal.c)})"  # noqa: S608


def _line(stored: Stored, envelope: Envelope) -> tuple[Any, ...]:
    at, e = stored.position, envelope
    return (stored.stream, at.seq, at.epoch, 0, at.hash, e.type, e.id, e.ts, stored.data)


def _add_lines(tx: Connection, lines: Iterable[tuple[Any, ...]]) -> None:
    """New rows of the journal; PostgreSQL stores them while the next ones are still being made."""
    if tx.dialect.name == "postgresql":
        copy_rows(tx, f"journal ({_COLUMNS})", _JOURNAL_TYPES, lines)
    else:
        tx.exec_driver_sql(_INSERT, list(lines))


class SqlRecords:
    """`protocol.replication.Records` over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def head(self, stream: str) -> Position:
        """Head or cursor of a stream."""
        row = self._connection.execute(_HEAD, {"of_stream": stream}).first()
        return Position(*row) if row else ORIGIN

    def find(self, stream: str, event_hash: str) -> Position | None:
        """Where this hash stands, on any branch; the base counts."""
        row = self._connection.execute(
            select(journal.c.epoch, journal.c.seq, journal.c.hash).where(
                journal.c.hash == event_hash, journal.c.stream == stream
            )
        ).first()
        if row is not None:
            return Position(*row)
        base = self.base(stream)
        return base if base.hash == event_hash and base.seq else None

    def base(self, stream: str) -> Position:
        """Where the books begin: what lies before it is in a sealed snapshot. Mostly ORIGIN."""
        c = stream_base.c
        row = self._connection.execute(
            select(c.epoch, c.seq, c.hash).where(c.stream == stream)
        ).first()
        return Position(*row) if row else ORIGIN

    def low(self, stream: str) -> int:
        """The sequence of the base."""
        return self.base(stream).seq

    def has_child(self, stream: str, position: Position) -> bool:
        """Does any event follow this one?"""
        rows = self._connection.execute(
            select(journal.c.hash, journal.c.data).where(
                journal.c.stream == stream, journal.c.seq == position.seq + 1
            )
        )
        return any(chain(position.hash, row.data) == row.hash for row in rows)

    def taken(self, stream: str, position: Position) -> bool:
        """Does another event of the same epoch stand at this sequence?"""
        found = self._connection.execute(
            select(journal.c.hash).where(
                journal.c.stream == stream,
                journal.c.seq == position.seq,
                journal.c.epoch == position.epoch,
            )
        ).scalar()
        return found not in {None, position.hash}

    def hash_at(self, stream: str, seq: int) -> str | None:
        """The hash on the main line; the base counts."""
        found = self._connection.execute(
            select(journal.c.hash).where(
                journal.c.stream == stream, journal.c.seq == seq, journal.c.branch == 0
            )
        ).scalar()
        if found is None and seq:
            base = self.base(stream)
            found = base.hash if base.seq == seq else None
        return found

    def epoch_parent_seq(self, stream: str, seq: int) -> int:
        """One before the first event of the epoch that holds `seq`."""
        first = self._connection.execute(
            select(func.max(journal.c.seq)).where(
                journal.c.stream == stream,
                journal.c.seq <= seq,
                journal.c.branch == 0,
                journal.c.type == EpochStarted.__name__,
            )
        ).scalar()
        return first - 1 if first else self.base(stream).seq

    def before_epoch(self, stream: str, epoch: str) -> Position:
        """The head, or where it was before this epoch began, if it is the epoch of the head."""
        head = self.head(stream)
        if head.epoch != epoch:
            return head
        seq = self.epoch_parent_seq(stream, head.seq)
        row = self._connection.execute(
            select(journal.c.epoch, journal.c.seq, journal.c.hash).where(
                journal.c.stream == stream, journal.c.seq == seq, journal.c.branch == 0
            )
        ).first()
        return Position(*row) if row else ORIGIN


class SqlJournal:
    """Appends under this node's epoch; every method takes the caller's transaction."""

    def __init__(self, node: NodeId, epoch: str) -> None:
        self.node = node
        self.epoch = epoch
        # Which of these ids stood in a stream before it was pruned.
        self.remembers: Callable[[Connection, str, Sequence[str]], set[str]] = lambda *_: set()

    def append(self, tx: Connection, drafts: Mapping[str, Sequence[Draft]]) -> list[Recorded]:
        """Append to one or several streams, in name order; an id that stands there is not doubled.

        Returns what was recorded, the epoch's first event included.
        """
        recorded: list[Recorded] = []
        for stream in sorted(drafts):
            recorded += self._append_one(tx, stream, drafts[stream])
        return recorded

    def _append_one(self, tx: Connection, stream: str, drafts: Sequence[Draft]) -> list[Recorded]:
        head = lock_head(tx, stream)
        fresh: dict[str, Draft] = {}
        for draft in drafts:
            fresh.setdefault(draft.id, draft)
        names = list(fresh)
        for start in range(0, len(names), IDS_AT_ONCE):
            part = names[start : start + IDS_AT_ONCE]
            for name in tx.execute(_KNOWN, {"ids": part, "of_stream": stream}).scalars():
                fresh.pop(name, None)
        for name in self.remembers(tx, stream, list(fresh)):
            fresh.pop(name, None)
        queue = list(fresh.values())
        if not queue:
            return []
        if head.epoch != self.epoch:
            started = EpochStarted(
                node=self.node,
                parent_epoch=head.epoch,
                parent_seq=head.seq,
                parent_hash=head.hash,
            )
            queue.insert(0, Draft(id=f"epoch-{self.epoch}", body=started, at=queue[0].at))
        recorded = []
        for draft in queue:
            data = encode(draft, stream=stream, epoch=self.epoch, seq=head.seq + 1)
            head = Position(self.epoch, head.seq + 1, chain(head.hash, data))
            recorded.append(Recorded(decode(data), draft.body, Stored(stream, head, data)))
        tx.execute(insert(journal), [_row(r.stored, r.envelope, 0) for r in recorded])
        set_head(tx, stream, head)
        return recorded

    def extend(self, tx: Connection, kept: Iterable[Recorded]) -> None:
        """Store events that follow their stream's cursor, and move it; streams may be mixed."""
        tips: dict[str, Position] = {}

        def lines() -> Iterator[tuple[Any, ...]]:
            for event in kept:
                tips[event.stored.stream] = event.stored.position
                yield _line(event.stored, event.envelope)

        _add_lines(tx, lines())
        tx.execute(
            _head_statement(tx.dialect.name),
            [
                {"stream": stream, "epoch": tip.epoch, "seq": tip.seq, "hash": tip.hash}
                for stream, tip in sorted(tips.items())
            ],
        )

    def keep(
        self, tx: Connection, verdict: Accepted, envelopes: Sequence[Envelope], *, at_ms: int
    ) -> None:
        """Store what a follower accepted and move the cursor.

        A fork keeps both branches. The newest incarnation becomes the main line of a followed
        stream (what still arrives of an older one does not); in the stream that this node writes
        itself, its own line stays the main one.
        """
        stream = verdict.events[0].stream
        head = lock_head(tx, stream)
        branch = 0
        if verdict.parent != head:
            branch = self._branch_for(tx, stream, verdict, head, at_ms=at_ms)
        tx.execute(
            insert(journal),
            [_row(s, e, branch) for s, e in zip(verdict.events, envelopes, strict=True)],
        )
        if branch == 0:
            set_head(tx, stream, verdict.tip)

    def put(self, tx: Connection, events: Sequence[tuple[Recorded, int]]) -> None:
        """Store events on the branches where their snapshot says they stand."""
        tx.execute(insert(journal), [_row(r.stored, r.envelope, b) for r, b in events])

    def _branch_for(
        self, tx: Connection, stream: str, verdict: Accepted, head: Position, *, at_ms: int
    ) -> int:
        on = tx.execute(
            select(journal.c.branch).where(
                journal.c.hash == verdict.parent.hash, journal.c.stream == stream
            )
        ).scalar()
        if on and not verdict.fork:
            return int(on)  # goes on where a side branch ended
        highest = select(func.max(journal.c.branch)).where(journal.c.stream == stream)
        side = (tx.execute(highest).scalar() or 0) + 1
        tx.execute(
            upsert(tx, fork).on_conflict_do_nothing(),
            {
                "stream": stream,
                "parent_hash": verdict.parent.hash,
                "parent_seq": verdict.parent.seq,
                "old_tip_seq": head.seq,
                "branch": side,
                "at_ms": at_ms,
            },
        )
        late = decode(verdict.events[0].data).type != EpochStarted.__name__
        if on or late or stream_owner(stream) == self.node:  # our own line is the one that is sent
            return side
        tx.execute(
            update(journal)
            .where(
                journal.c.stream == stream,
                journal.c.branch == 0,
                journal.c.seq > verdict.parent.seq,
            )
            .values(branch=side)
        )
        return 0

    def acked(self, connection: Connection, peer: str, stream: str) -> Position:
        """How far a peer held our stream when this was last persisted."""
        row = connection.execute(
            select(peer_ack.c.epoch, peer_ack.c.seq, peer_ack.c.hash).where(
                peer_ack.c.peer == peer, peer_ack.c.stream == stream
            )
        ).first()
        return Position(*row) if row else ORIGIN

    def save_ack(self, tx: Connection, peer: str, stream: str, acked: Position) -> None:
        """Persist how far a peer holds our stream."""
        values = {"epoch": acked.epoch, "seq": acked.seq, "hash": acked.hash}
        tx.execute(
            upsert(tx, peer_ack).on_conflict_do_update(
                index_elements=["peer", "stream"], set_=values
            ),
            {"peer": peer, "stream": stream, **values},
        )


def put_first(tx: Connection, stream: str, parent_hash: str) -> None:
    """Make the side way of a fork the main line: the other one was a copy of its writer.

    Nothing is done when the fork did not begin on the main line.
    """
    parted = tx.execute(
        select(fork.c.branch, fork.c.parent_seq)
        .join(journal, (journal.c.hash == fork.c.parent_hash) & (journal.c.branch == 0))
        .where(fork.c.stream == stream, fork.c.parent_hash == parent_hash)
    ).first()
    if parted is None:
        return
    lock_head(tx, stream)
    mine = (journal.c.stream == stream) & (journal.c.seq > parted.parent_seq)
    for old, new in ((0, -1), (parted.branch, 0), (-1, parted.branch)):
        tx.execute(update(journal).where(mine, journal.c.branch == old).values(branch=new))
    tip = tx.execute(
        select(journal.c.epoch, journal.c.seq, journal.c.hash)
        .where(journal.c.stream == stream, journal.c.branch == 0)
        .order_by(journal.c.seq.desc())
        .limit(1)
    ).one()
    set_head(tx, stream, Position(*tip))


def read_line(connection: Connection, stream: str, after_seq: int, *, limit: int) -> list[Stored]:
    """Events of the main line after a sequence, in order."""
    rows = connection.execute(
        select(journal.c.epoch, journal.c.seq, journal.c.hash, journal.c.data)
        .where(journal.c.stream == stream, journal.c.seq > after_seq, journal.c.branch == 0)
        .order_by(journal.c.seq)
        .limit(limit)
    )
    return [Stored(stream, Position(r.epoch, r.seq, r.hash), r.data) for r in rows]


def walk(
    connection: Connection, stream: str, *, after_seq: int = 0, chunk: int = 1000
) -> Iterator[list[Stored]]:
    """All events after a sequence, branches included, in (seq, epoch) order, chunk by chunk."""
    after = (after_seq, PAST_ALL_EPOCHS if after_seq else "")
    while True:
        rows = connection.execute(
            select(journal.c.epoch, journal.c.seq, journal.c.hash, journal.c.data)
            .where(
                journal.c.stream == stream,
                (journal.c.seq > after[0])
                | ((journal.c.seq == after[0]) & (journal.c.epoch > after[1])),
            )
            .order_by(journal.c.seq, journal.c.epoch)
            .limit(chunk)
        ).all()
        if not rows:
            return
        yield [Stored(stream, Position(r.epoch, r.seq, r.hash), r.data) for r in rows]
        after = (rows[-1].seq, rows[-1].epoch)


def shared_epoch(tx: Connection, node: str, fresh: str) -> str:
    """Head office's one epoch, minted by whichever process comes first."""
    tx.execute(upsert(tx, own_epoch).on_conflict_do_nothing(), {"node": node, "epoch": fresh})
    return str(tx.execute(select(own_epoch.c.epoch).where(own_epoch.c.node == node)).scalar_one())
