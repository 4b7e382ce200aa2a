"""Drive `protocol.replication` over the books and the wire, in one thread, on both sides.

The thread takes what arrived, keeps it in one transaction, acknowledges after the commit, and then
sends what followers lack. A `Side` says who is who: topics, keys, which streams go where.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog
from sqlalchemy import Connection

from protocol import wire
from protocol.clock import Clock
from protocol.errors import Corrupt, TillmeshError, Unavailable
from protocol.ids import stream_owner
from protocol.journal import Position
from protocol.node import signing
from protocol.node.banning import Bans
from protocol.node.books import Books
from protocol.node.inbox import Inbox
from protocol.node.keeping import Keeping
from protocol.node.mqttlink import Broker, Message, MqttLink
from protocol.node.ntpclock import random_hex
from protocol.node.pacing import Counts, Pace
from protocol.node.refusing import Greetings, Refusals
from protocol.node.sending import Sending, Status, cursor_at, newest
from protocol.node.side import Side as Side  # noqa: PLC0414 - known by this name
from protocol.node.silence import Silence
from protocol.node.sqljournal import Recorded, SqlRecords
from protocol.node.witnessing import Witnessing, keep_header, lacks, own_words
from protocol.replication import Accepted, Gap, Known, Sessions, judge
from protocol.topics import Topic
from protocol.wire import Ack, Batch, Cursor, Hello

GROUP_MAX = 64  # messages kept in one transaction
GREET_AGAIN_S = 2.0
GREET_ANYWAY_S = 300.0  # what came late from a copy of a shop's disk, it hears of when it greets
GAP_QUIET_S = 0.5

log = structlog.get_logger("replication")
React = Callable[[Connection, Sequence[Recorded]], None]


class Incoming(msgspec.Struct, frozen=True):
    """A batch that passed its signature, on its way into the books."""

    peer: str
    topic: str
    payload: bytes
    batch: Batch


class Replicator:
    """One node's replication. Hooks run in its thread: keep them short."""

    def __init__(
        self,
        side: Side,
        broker: Broker,
        *,
        books: Books,
        key: signing.NodeKey,
        clock: Clock,
        react: React | None = None,
    ) -> None:
        self.side = side
        self.books = books
        self.clock = clock
        self.key = key
        self.session = ""
        self.fault = ""
        self.counts = Counts()
        self.on_message: Callable[[Topic, Message], None] = lambda *_: None
        self.on_hello: Callable[[str, Hello], None] = lambda *_: None
        self.on_kept: Callable[[list[Recorded]], None] = lambda *_: None
        self.on_ack: Callable[[str, Ack], None] = lambda *_: None
        self.on_tick: Callable[[float], None] = lambda *_: None
        self.on_link: Callable[[bool], None] = lambda *_: None
        self.react = react
        self.link = MqttLink(
            broker,
            side.subscriptions,
            on_message=self._arrived,
            on_up=lambda: self._inbox.tell("up"),
            on_down=lambda reason: self._inbox.tell(f"down {reason}"),
            will=self._will,
        )
        self._inbox = Inbox(self._speaker_of)
        self._pace = Pace()
        self._refusals = Refusals(books)
        self.sending = Sending(
            books, key, clock, node=side.node, topics=side.topics, sources_for=side.sources_for
        )
        self.sending.tails = side.tails
        self._introduced: set[str] = set()  # peers that know this session
        self._sessions = Sessions(take_turns=not side.returns_own)
        self._witnessing = Witnessing()
        self._bans = Bans(books)
        self._gaps: dict[str, tuple[Position, float]] = {}
        self._hello_at = 0.0
        self._silence = Silence()
        self._greetings = Greetings()
        self._dropped = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        books.listeners.append(self._committed)

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to talk and listen."""
        self._thread = threading.Thread(target=self._run, name="replication", daemon=True)
        self._thread.start()
        self.link.start()

    def stop(self) -> None:
        """Say good-bye (the state topic shows it) and end the thread."""
        with contextlib.suppress(TillmeshError):
            self._publish(self.side.state_topic, self._hello(alive=False), retain=True)
        self._stopping.set()
        self._inbox.tell("stop")
        if self._thread:
            self._thread.join(timeout=5)
            self._refusals.write(time.monotonic(), all_of_them=True)
        self.link.stop()

    def _arrived(self, message: Message) -> None:
        self._inbox.put(message)

    def _speaker_of(self, topic: str) -> str:
        """Who is heard on a topic, by name; all that is not ours is one speaker."""
        found = self.side.topics.parse(topic)
        return f"{found.branch}/{found.name}" if found else ""

    def _committed(self, recorded: Sequence[Recorded]) -> None:
        self._inbox.moved({r.stored.stream for r in recorded})

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
                if self.fault and self.link.up:
                    self.fault = ""
            except Exception as fault:
                self.fault = f"{type(fault).__name__}: {fault}"[:300]
                log.exception("replication_restarts", fault=self.fault)
                self._lost_link()
                self.link.renew()
                self._stopping.wait(1.0)

    def _turn(self) -> None:
        budget = self._pace.budget(time.monotonic())
        words, moved, messages = self._inbox.take(self.side.tick_s, GROUP_MAX, budget)
        for word in words:
            self._told(word)
        self.sending.moved(moved)
        group: list[Incoming] = []
        for message in messages:
            self._received(message, group)
        if group:
            self._ingest(group)
        now = time.monotonic()
        self._tick(now)
        if self.link.up:
            if self.side.witnesses:
                self._witnessing.give(self.books, self._publish, self.side.batch_topic)
            self.sending.pump(self._publish, self.side.batch_topic)
        self._refusals.write(now)

    def _told(self, item: str) -> None:
        word, _, rest = item.partition(" ")
        if word == "up":
            self.sending.moved(list(self.sending.sources))
            self._say_hello()
            self.on_link(True)
        elif word == "down":
            log.warning("link_down", reason=rest)
            self._lost_link()
            self.on_link(False)

    def _lost_link(self) -> None:
        self._witnessing.lost()
        self.sending.lost()
        self._gaps.clear()

    # -- speaking ---------------------------------------------------------------------------

    def _will(self) -> tuple[str, bytes]:
        self.session = random_hex(16)
        return self.side.state_topic, wire.encode(self._hello(alive=False))

    def _hello(self, *, alive: bool) -> Hello:
        with self.books.database.reading() as connection:
            records = SqlRecords(connection)
            heads = tuple(cursor_at(s, records.head(s)) for s in self.side.writes())
            cursors = tuple(cursor_at(s, records.head(s)) for s in self.side.follows())
            lows = {c.stream: low + 1 for c in heads if (low := records.low(c.stream))}
        hello = Hello(
            node=self.side.node,
            sess=self.session,
            epoch=self.books.journal.epoch,
            alive=alive,
            heads=heads,
            cursors=cursors,
            low=lows,
            now=self.clock.read().at_ms,
        )
        return wire.sign(hello, self.key.sign)

    def _say_hello(self) -> None:
        self._hello_at = time.monotonic()
        self._publish(self.side.state_topic, self._hello(alive=True), retain=True)
        self._introduced.clear()

    def introduce(self, peer: str) -> None:
        """Greet one peer on its own topic: it becomes ours, and tells us where it is."""
        topic_of = self.side.hello_topic
        if topic_of is None or peer in self._introduced:
            return
        if self._publish(topic_of(peer), self._hello(alive=True)):
            self._introduced.add(peer)

    def forget(self, peer: str) -> None:
        """Another process speaks with this peer from now on."""
        self._introduced.discard(peer)
        self._sessions.forget(peer)
        self.sending.forget(peer)

    def _publish(self, topic: str, message: msgspec.Struct, *, retain: bool = False) -> bool:
        return self.link.publish(topic, wire.encode(message), retain=retain)

    def publish(
        self, topic: str, message: msgspec.Struct, *, qos: int = 0, retain: bool = False
    ) -> bool:
        """Say something that nobody acknowledges (heartbeat, figures, beacon)."""
        return self.link.publish(topic, wire.encode(message), qos=qos, retain=retain)

    # -- listening --------------------------------------------------------------------------

    def _received(self, message: Message, group: list[Incoming]) -> None:
        try:
            self._read(message, group)
        except Unavailable as fault:
            if fault.code == "DATABASE_AWAY":
                raise  # all who speak are greeted anew when it is back
            self.fault = str(fault)  # our disk, not the message: who waits for us says it again
        except TillmeshError as fault:
            self.refuse(message.topic, message.payload, fault)
        except Exception as fault:
            log.exception("message_not_understood", topic=message.topic[:120])
            detail = f"{type(fault).__name__}: {fault}"[:200]
            self.refuse(
                message.topic, message.payload, Corrupt("MESSAGE_UNREADABLE", detail=detail)
            )

    def _read(self, message: Message, group: list[Incoming]) -> None:
        topic = self.side.topics.parse(message.topic)
        if topic is None and self.side.overhears(message):
            return
        if topic is None:
            raise Corrupt("MESSAGE_UNREADABLE", detail="an unknown topic")
        if not self.side.hears(topic):
            return
        peer = self.side.peer_of(topic)
        if topic.leaf == "journal":
            batch = wire.decode(Batch, message.payload)
            self._check(batch, peer, stream=batch.stream)
            if not (self._is_ours(batch, peer) or self.side.accepts(peer, batch.stream)):
                detail = f"{peer} may not send {batch.stream}"
                raise Corrupt("MESSAGE_UNREADABLE", detail=detail)
            self._pace.came(len(message.payload), time.monotonic())
            group.append(Incoming(peer, message.topic, message.payload, batch))
        elif topic.leaf == "ack":
            self._acked(peer, message)
        elif topic.leaf == "state":
            if message.payload:
                self._stated(peer, wire.decode(Hello, message.payload))
        else:
            self.on_message(topic, message)

    def _stated(self, peer: str, hello: Hello) -> None:
        try:
            self._check(hello, peer)
        except Corrupt:
            if hello.alive and self.side.returns_own and self._greetings.may(f"? {peer}"):
                self._ask_back(peer, hello)
            raise
        if self._greetings.may(peer):
            self._greeted(peer, hello)

    def _ask_back(self, peer: str, hello: Hello) -> None:
        """Its key may stand in what we said to it before we were set back; our signature counts."""
        private = [s for s in self.side.sources_for(peer) if not s[1]]
        with self.books.database.reading() as connection:
            epoch = self.books.journal.epoch
            answer = lacks(hello, private, SqlRecords(connection), epoch=epoch)
        if answer:
            self._send_ack(peer, answer, session=hello.sess)

    def _is_ours(self, message: Batch | Ack | Hello, peer: str) -> bool:
        """Did we say this before we were set back, in a stream that this peer follows?"""
        side = self.side
        return side.returns_own and own_words(message, side.node, side.sources_for(peer))

    def _check(self, message: Batch | Ack | Hello, peer: str, *, stream: str = "") -> None:
        ours = self._is_ours(message, peer)
        if message.node != peer and not ours:
            detail = f"{message.node} speaks on the topic of {peer}"
            raise Corrupt("MESSAGE_UNREADABLE", detail=detail)
        public = self.key.public_hex if ours else self.side.key_of(peer) or ""
        wire.check_signature(
            message, lambda data, sig: signing.check(public, data, sig), stream=stream
        )

    def refuse(self, topic: str, payload: bytes, fault: TillmeshError) -> None:
        """Keep what was refused, with its reason, for the health page."""
        if self._refusals.add(topic, payload, fault, at_ms=self.clock.read().at_ms):
            log.warning("message_refused", topic=topic[:120], code=fault.code)

    def _greeted(self, peer: str, hello: Hello) -> None:
        if not hello.alive:
            if self._sessions.of(peer) == hello.sess:
                self.sending.lost(peer)
            self.on_hello(peer, hello)
            return
        born = self._sessions.of(peer) != hello.sess
        if not self._sessions.begin(peer, hello.sess):
            return
        if born:
            self._introduced.discard(peer)
        self.introduce(peer)
        with self.books.database.reading() as connection:
            records = SqlRecords(connection)
            self.sending.greet(peer, hello, records)
            heads = {c.stream: c for c in hello.heads if self.side.accepts(peer, c.stream)}
            if self.side.returns_own:
                self.sending.give_back(peer, heads.values(), connection)
            else:
                self.sending.offer_branches(peer, hello, connection)
            answer = [cursor_at(s, records.head(s), status="welcome") for s in heads]
            if self.side.returns_own:
                epoch = self.books.journal.epoch
                answer += lacks(hello, self.side.sources_for(peer), records, epoch=epoch)
        if answer:
            self._send_ack(peer, answer)
        elif born:
            self._say_hello()  # head office was born anew: tell it where we are
        self.on_hello(peer, hello)

    def _acked(self, peer: str, message: Message) -> None:
        ack = wire.decode(Ack, message.payload)
        self._check(ack, peer)
        if ack.sess == self.session:
            self.sending.acked(peer, ack)
            self._witnessing.acked(ack.cursors if self.side.witnesses else ())
            self.on_ack(peer, ack)

    # -- keeping ----------------------------------------------------------------------------

    def _ingest(self, group: list[Incoming]) -> None:
        """Keep a group in one transaction; one by one when the group fails."""
        try:
            answers = self._keep(group)
        except Unavailable as fault:
            self.fault = str(fault)  # no acknowledgement: they will send again
            return
        except Exception as error:
            if len(group) > 1:
                for one in group:
                    self._ingest([one])
                return
            reason = Corrupt("MESSAGE_UNREADABLE", detail=f"{type(error).__name__}: {error}"[:200])
            log.exception("batch_not_kept", stream=group[0].batch.stream)
            self._refuse_batch(group[0], reason)
            return
        for peer, cursors in answers.items():
            self._send_ack(peer, list(cursors.values()))
            for cursor in cursors.values():
                if cursor.status == "fork":
                    self.sending.forked(peer, cursor.stream)

    def _keep(self, group: list[Incoming]) -> dict[str, dict[str, Cursor]]:
        started = time.monotonic()
        answers: dict[str, dict[str, Cursor]] = {}
        broken: list[tuple[Incoming, Corrupt]] = []
        at_ms = self.clock.read().at_ms
        with self.books.begin() as tx:
            keeping = Keeping(self.books, tx, [o.batch.stream for o in group], at_ms=at_ms)
            for one in group:
                stale = self._bans.refuses(tx, one.batch, at_ms=at_ms)
                if stale is not None:
                    answers.setdefault(one.peer, {})[one.batch.stream] = stale
                    continue
                try:
                    verdict = judge(one.batch, keeping)
                except Corrupt as fault:
                    broken.append((one, fault))
                    continue
                if isinstance(verdict, Accepted):
                    keeping.keep(verdict)
                    if self.side.witnesses and stream_owner(one.batch.stream) != self.side.node:
                        keep_header(tx, one.batch)
                cursor = self._answer(one, verdict)
                if cursor is not None:
                    said = answers.setdefault(one.peer, {})
                    said[one.batch.stream] = newest(said.get(one.batch.stream), cursor)
            kept = keeping.finish()
            if self.react is not None and kept:
                self.react(tx, kept)
        self.counts.groups += 1
        self.counts.events += len(kept)
        self.counts.seconds += time.monotonic() - started
        self._pace.took(sum(len(o.payload) for o in group), time.monotonic() - started)
        for one, reason in broken:
            self._refuse_batch(one, reason)
        if kept:
            self.on_kept(kept)
        return answers

    def _answer(self, one: Incoming, verdict: Accepted | Known | Gap) -> Cursor | None:
        stream = one.batch.stream
        if isinstance(verdict, Gap):
            now = time.monotonic()
            cursor, at = self._gaps.get(stream, (None, 0.0))
            if cursor == verdict.cursor and now - at < GAP_QUIET_S:
                return None  # asked a moment ago
            self._gaps[stream] = (verdict.cursor, now)
            return cursor_at(stream, verdict.cursor, status="gap")
        fork = isinstance(verdict, Accepted) and verdict.fork
        said = cursor_at(stream, verdict.tip, status="fork" if fork else "ok")
        credit = self._pace.credit(self._inbox.credit(), time.monotonic())
        return msgspec.structs.replace(said, credit=credit)

    def _refuse_batch(self, one: Incoming, fault: Corrupt) -> None:
        self.refuse(one.topic, one.payload, fault)
        with self.books.database.reading() as connection:
            head = SqlRecords(connection).head(one.batch.stream)
        cursor = cursor_at(one.batch.stream, head, status="refused", reason=fault.code)
        self._send_ack(one.peer, [cursor])

    def _send_ack(self, peer: str, cursors: list[Cursor], *, session: str = "") -> None:
        ack = Ack(
            node=self.side.node,
            sess=session or self._sessions.of(peer),
            now=self.clock.read().at_ms,
            cursors=tuple(cursors),
        )
        self._publish(self.side.ack_topic(peer), wire.sign(ack, self.key.sign))

    # -- time -------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        if self.side.returns_own:
            self._bans.look(now)
        greeted = self.sending.tick(now)
        # Whose answers stay away may answer under a session that is over: it is told ours again.
        overdue = self.sending.overdue()
        for peer in sorted(overdue):
            self._introduced.discard(peer)
            self.introduce(peer)
        shop = not self.side.returns_own
        silent = not greeted or (overdue and shop)
        since_s = now - self._hello_at
        if self.link.up and (
            (silent and since_s > GREET_AGAIN_S) or (shop and since_s > GREET_ANYWAY_S)
        ):
            self._say_hello()
        if shop and self._silence.over(now, up=self.link.up, answered=greeted):
            log.warning("link_silent")
            self.link.renew()
        self.on_tick(now)
        dropped, self._dropped = self._inbox.dropped - self._dropped, self._inbox.dropped
        if dropped:
            detail = f"{dropped} messages came faster than they could be read, and were dropped"
            self.refuse("-", b"", Corrupt("MESSAGE_UNREADABLE", detail=detail))

    def alive(self) -> bool:
        """False when the thread was started and died."""
        return self._thread is None or self._thread.is_alive()

    def queue(self) -> tuple[int, int, int]:
        """Messages and bytes that wait, messages that were dropped."""
        return *self._inbox.waiting(), self._inbox.dropped

    def status(self) -> Status:
        """A snapshot from any thread."""
        return self.sending.status(
            link_up=self.link.up,
            link_fault=self.link.fault,
            refused=self._refusals.count,
            fault=self.fault,
        )
