"""What leaves a node: its sources, their followers, and the batches cut for them."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from protocol import wire
from protocol.clock import Clock
from protocol.errors import Unavailable
from protocol.journal import ORIGIN, Position, Stored
from protocol.node.books import Books
from protocol.node.returning import Returning
from protocol.node.signing import NodeKey
from protocol.node.sqljournal import SqlRecords, read_line
from protocol.replication import Sender, Source, cut
from protocol.topics import Topics
from protocol.wire import Ack, Batch, Clk, Cursor, Hello

SAVE_ACK_S = 1.0
ASK_AGAIN_MS = 100
LOOK_S = 1.0  # other processes (the command line) append too, and cannot wake us
Publish = Callable[[str, Batch], bool]  # topic, batch -> did it leave


class Status(msgspec.Struct, frozen=True):
    """How replication is, for the health page."""

    link_up: bool
    link_fault: str
    greeted: tuple[str, ...]  # peers that answer
    unsynced: int  # events that no peer has acknowledged
    resends: int
    refused: int
    fault: str
    stopped: dict[str, str]


def cursor_at(stream: str, at: Position, *, status: str = "ok", reason: str = "") -> Cursor:
    """A position as it is told to a peer."""
    return Cursor(
        stream=stream, epoch=at.epoch, upto=at.seq, hash=at.hash, status=status, reason=reason
    )


def clk_of(clock: Clock) -> Clk:
    """The clock as messages carry it."""
    reading = clock.read()
    return Clk(reading.state.value, reading.u_ms, reading.at_ms)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Sending:
    """Sources and senders of one node; used by the replication thread alone.

    `publish(topic, message)` says whether the message left. `sources_for(peer)` lists the streams
    a peer gets, and whether they have a shared live tail.
    """

    def __init__(
        self,
        books: Books,
        key: NodeKey,
        clock: Clock,
        *,
        node: str,
        topics: Topics,
        sources_for: Callable[[str], Iterable[tuple[str, bool]]],
    ) -> None:
        self.books = books
        self.sources: dict[str, Source] = {}
        self._key = key
        self._clock = clock
        self._node = node
        self._topics = topics
        self._sources_for = sources_for
        self.tails: Callable[[], bool] = lambda: True  # do we send the shared live tails?
        self._limits: dict[str, int] = {}  # stream given back to its writer -> up to where
        self._heads: dict[str, int] = {}
        self._unsaved: dict[tuple[str, str], Position] = {}
        self._returning = Returning()
        self._asked_ms: dict[Sender, int] = {}
        self._overdue: set[str] = set()
        self._saved_at = 0.0
        self._looked_at = 0.0

    def forked(self, peer: str, stream: str) -> None:
        """A fork was just kept; its writer gets the branch that gave way."""
        if self.given_back(stream):
            self._returning.forked(peer, stream)

    def moved(self, streams: Iterable[str]) -> None:
        """These heads are no longer what they were."""
        for stream in streams:
            self._heads.pop(stream, None)

    def lost(self, peer: str | None = None) -> None:
        """The link (or one peer) is gone: nothing is under way, they must greet anew."""
        self._heads.clear()
        for source in self.sources.values():
            for name, sender in source.senders.items():
                if peer in (None, name):
                    sender.lost_link()

    def forget(self, peer: str) -> None:
        """This peer is somebody else's now."""
        for source in self.sources.values():
            source.senders.pop(peer, None)

    def _source(self, stream: str, records: SqlRecords, *, shared: bool) -> Source:
        if stream not in self.sources:
            self.sources[stream] = Source(stream, shared=shared, head_seq=records.head(stream).seq)
        return self.sources[stream]

    def greet(self, peer: str, hello: Hello, records: SqlRecords) -> None:
        """Start every stream of this peer where it says it is."""
        told = {c.stream: c for c in (*hello.cursors, *hello.heads)}
        for stream, shared in self._sources_for(peer):
            source = self._source(stream, records, shared=shared)
            if stream in told:
                source.follower(peer).greet(told[stream], records)

    def offer_branches(self, peer: str, hello: Hello, connection: Connection) -> None:
        """Head office may have been set back: the branches of our own streams are here too."""
        for stream, _ in self._sources_for(peer):
            self._returning.offer(connection, peer, stream, epoch=hello.epoch)

    def give_back(self, peer: str, heads: Iterable[Cursor], connection: Connection) -> None:
        """A shop restored from a backup lacks its own newest events: we are its backup."""
        records = SqlRecords(connection)
        for told in heads:
            ours = records.head(told.stream)
            known = told.upto == 0 or records.hash_at(told.stream, told.upto) == told.hash
            self._returning.greet(connection, peer, told.stream, on_main_line=known)
            self._limits[told.stream] = ours.seq if known and ours.seq > told.upto else 0
            source = self._source(told.stream, records, shared=False)
            source.follower(peer).greet(told, records)

    def acked(self, peer: str, ack: Ack) -> None:
        """Move the senders by an acknowledgement; the first one of a session greets."""
        now_ms = _now_ms()
        with self.books.database.reading() as connection:
            records = SqlRecords(connection)
            shared = dict(self._sources_for(peer))
            for cursor in {c.stream: c for c in ack.cursors}.values():
                if not self._may_have(peer, cursor.stream, shared):
                    continue
                if self._returning.acked(peer, cursor):
                    continue
                source = self._source(
                    cursor.stream, records, shared=shared.get(cursor.stream, False)
                )
                sender = source.follower(peer)
                if cursor.status == "gap" and not self._may_ask_again(sender, now_ms):
                    continue
                if not sender.greeted:
                    sender.greet(cursor, records)
                    self._unsaved[peer, cursor.stream] = sender.acked
                elif sender.on_ack(now_ms, cursor, records):
                    self._unsaved[peer, cursor.stream] = sender.acked

    def _may_have(self, peer: str, stream: str, granted: Mapping[str, bool]) -> bool:
        """Is it a stream for this peer, or its own that we give back?"""
        source = self.sources.get(stream)
        return stream in granted or (source is not None and peer in source.senders)

    def _may_ask_again(self, sender: Sender, now_ms: int) -> bool:
        """A short question has a long answer, so a peer may not ask without end."""
        if now_ms - self._asked_ms.get(sender, -ASK_AGAIN_MS) < ASK_AGAIN_MS:
            return False
        self._asked_ms[sender] = now_ms
        return True

    def pump(
        self, publish: Callable[[str, Batch], bool], batch_topic: Callable[[str], str]
    ) -> None:
        """Send whatever is due, round robin over followers, one batch a turn."""
        with self.books.database.reading() as connection:
            for peer, branch in self._returning.due(connection, _now_ms(), self._batch):
                publish(batch_topic(peer), branch)
            busy = True
            while busy:
                busy = False
                for source in self.sources.values():
                    head_seq = self._head_seq(connection, source.stream)
                    busy |= self._send_tail(connection, source, head_seq, publish)
                    for peer, sender in source.senders.items():
                        after = sender.due(head_seq)
                        batch = (
                            None if after is None else self._cut(connection, sender.stream, after)
                        )
                        if batch is not None and publish(batch_topic(peer), batch):
                            sender.sent(_now_ms(), batch.first + batch.n - 1)
                            busy = True

    def _head_seq(self, connection: Connection, stream: str) -> int:
        if stream in self._limits:
            return self._limits[stream]
        if stream not in self._heads:
            self._heads[stream] = SqlRecords(connection).head(stream).seq
        return self._heads[stream]

    def _send_tail(
        self,
        connection: Connection,
        source: Source,
        head_seq: int,
        publish: Publish,
    ) -> bool:
        after = source.tail_due(head_seq)
        topic = self._topics.tail(source.stream)
        if after is None or topic is None:
            return False
        if not self.tails():  # another worker sends it; if it dies first, its answer is overdue
            source.tail_sent(_now_ms(), head_seq)
            return False
        batch = self._cut(connection, source.stream, after)
        if batch is None or not publish(topic, batch):
            return False
        source.tail_sent(_now_ms(), batch.first + batch.n - 1)
        return True

    def _cut(self, connection: Connection, stream: str, after_seq: int) -> Batch | None:
        """The next batch after a sequence, signed."""
        rows = read_line(connection, stream, max(0, after_seq - 1), limit=wire.BATCH_EVENTS_MAX + 1)
        previous = ORIGIN
        if after_seq:
            if not rows or rows[0].position.seq != after_seq:
                previous = SqlRecords(connection).base(stream)
                if previous.seq != after_seq:
                    return None
            else:
                previous = rows.pop(0).position
        events = cut(rows, events_max=wire.BATCH_EVENTS_MAX, bytes_max=wire.BATCH_BYTES_MAX)
        return self._batch(stream, previous, events) if events else None

    def _batch(self, stream: str, previous: Position, events: Sequence[Stored]) -> Batch:
        last = events[-1].position
        batch = Batch(
            node=self._node,
            epoch=last.epoch,
            stream=stream,
            first=previous.seq + 1,
            n=len(events),
            prev=previous.hash,
            last=last.hash,
            sent=self._clock.read().at_ms,
            clk=clk_of(self._clock),
            events=tuple(msgspec.Raw(e.data) for e in events),
        )
        return wire.sign(batch, self._key.sign)

    def tick(self, now_s: float) -> bool:
        """Overdue answers are asked for again; True when any peer has greeted."""
        greeted = False
        for source in self.sources.values():
            for peer, sender in source.senders.items():
                if sender.tick(_now_ms()):
                    self._overdue.add(peer)
                greeted |= sender.greeted
        if now_s - self._looked_at > LOOK_S:
            self._looked_at = now_s
            self._heads.clear()
        if self._unsaved and now_s - self._saved_at > SAVE_ACK_S:
            self._saved_at = now_s
            with contextlib.suppress(Unavailable):  # it only saves work: later, then
                self._save_acks()
        return greeted

    def _save_acks(self) -> None:
        with self.books.database.begin() as tx:
            for (peer, stream), acked in self._unsaved.items():
                self.books.journal.save_ack(tx, peer, stream, acked)
        self._unsaved = {}

    def overdue(self) -> set[str]:
        """Peers whose answers were missed since this was last asked."""
        missed, self._overdue = self._overdue, set()
        return missed

    def senders(self) -> list[tuple[str, Source, Sender]]:
        """A snapshot (peer, source, sender) for whoever shows the state."""
        return [
            (peer, source, sender)
            for source in list(self.sources.values())
            for peer, sender in list(source.senders.items())
        ]

    def given_back(self, stream: str) -> bool:
        """Is this a stream that we only return to its writer?"""
        return stream in self._limits

    def status(self, *, link_up: bool, link_fault: str, refused: int, fault: str) -> Status:
        """What is known of all peers, with what the caller knows of the link."""
        unsynced, resends, greeted, stopped = 0, 0, set(), {}
        with self.books.database.reading() as connection:
            records = SqlRecords(connection)
            for peer, source, sender in self.senders():
                resends += sender.resends
                if sender.greeted:
                    greeted.add(peer)
                if sender.stopped:
                    stopped[f"{peer} {source.stream}"] = sender.stopped
                if not self.given_back(source.stream):
                    head = records.head(source.stream)
                    unsynced = max(unsynced, head.seq - sender.acked.seq)
        return Status(
            link_up=link_up,
            link_fault=link_fault,
            greeted=tuple(sorted(greeted)),
            unsynced=unsynced,
            resends=resends,
            refused=refused,
            fault=fault,
            stopped=stopped,
        )


def newest(before: Cursor | None, now: Cursor) -> Cursor:
    """A group's last answer stands for a stream; that its journal forked stays said."""
    forked = before is not None and before.status == "fork" and now.status == "ok"
    return msgspec.structs.replace(now, status="fork") if forked else now
