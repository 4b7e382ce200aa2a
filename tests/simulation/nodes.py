"""A simulated node: real `protocol.replication`, `codec`, `journal`, `wire`; no threads, no clock.

It does what `protocol.node.replicator` and `protocol.node.sending` do, over a `Store`.
"""

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from protocol import wire
from protocol.checkpoints import Checkpoint, Checkpoints
from protocol.clock import Clock, Reading
from protocol.codec import Draft, body_of, decode
from protocol.errors import Corrupt
from protocol.events import Event
from protocol.ids import CENTRAL, shop_stream, to_stream
from protocol.journal import ORIGIN, Position, Stored
from protocol.replication import Accepted, Gap, Known, Sender, Sessions, Source, cut, judge
from protocol.topics import Topics
from protocol.wire import Ack, Batch, Clk, Cursor, Hello
from tests.simulation.stores import Full, ListStore

TOPICS = Topics("sim")
GREET_AGAIN_MS = 2_000
GAP_QUIET_MS = 500
BATCH_EVENTS = 12  # small, so that windows and batches matter
CHECKPOINT_MS = 5_000  # how often a shop notes what head office holds
KEEPS_MS = 45_000  # a shop prunes only what head office has held for longer; its backups are newer
PRUNE_MS = 5_000  # how often it looks


def sign_as(node: str) -> Callable[[bytes], str]:
    """A signature that is cheap to make and that only this node's name gives."""
    return lambda data: hashlib.blake2b(data, key=node.encode(), digest_size=8).hexdigest()


def cursor_at(stream: str, at: Position, *, status: str = "ok", reason: str = "") -> Cursor:
    return Cursor(
        stream=stream, epoch=at.epoch, upto=at.seq, hash=at.hash, status=status, reason=reason
    )


class Node:
    """Head office or a shop. `send(topic, payload, retain)` hands over to the broker."""

    def __init__(
        self,
        name: str,
        store: ListStore,
        *,
        clock: Clock,
        send: Callable[[str, bytes, bool], bool],
        random_hex: Callable[[], str],
        shops: Sequence[str],
    ) -> None:
        self.name = name
        self.store = store
        self.clock = clock
        self.shops = shops
        self.central = name == CENTRAL
        self.up = False  # connected to the broker
        self.session = ""
        self.refusals: list[tuple[str, bytes]] = []  # why, and what was not taken
        self.pruned = 0
        self.on_kept: Callable[[Node, Sequence[Stored]], None] = lambda *_: None
        self.crash_in_keep: Callable[[], str] = lambda: ""
        self.snapshot: Callable[[int], tuple[Position, int] | None] = lambda _: None
        self._send = send
        self._random_hex = random_hex
        self.forget()

    def forget(self) -> None:
        """What a power cut takes from memory."""
        self.sources: dict[str, Source] = {}
        self._limits: dict[str, int] = {}
        self._sessions = Sessions(take_turns=not self.central)
        self._gaps: dict[str, tuple[Position, int]] = {}
        self._hello_ms = 0
        self._looked_ms = 0
        self._notes = Checkpoints(shop_stream(self.name), CHECKPOINT_MS, self._noted())
        self.inbox: list[tuple[str, bytes]] = []

    # -- who is who -------------------------------------------------------------------------

    def follows(self) -> list[str]:
        if self.central:
            return [shop_stream(s) for s in self.shops]
        return ["all", "zone/z", to_stream(self.name)]

    def _sources_for(self, peer: str) -> list[tuple[str, bool]]:
        if self.central:
            return [("all", True), ("zone/z", True), (to_stream(peer), False)]
        return [(shop_stream(self.name), False)]

    def _accepts(self, peer: str, stream: str) -> bool:
        if self.central:
            return stream == shop_stream(peer)
        return stream in [*self.follows(), shop_stream(self.name)]

    # -- speaking ---------------------------------------------------------------------------

    def _publish(self, topic: str, message: msgspec.Struct, *, retain: bool = False) -> bool:
        return self.up and self._send(topic, wire.encode(message), retain)

    def _topic(self, peer: str, leaf: str) -> str:
        return TOPICS.dn(peer, leaf) if self.central else TOPICS.up(self.name, leaf)

    def hello(self, *, alive: bool = True) -> tuple[str, bytes]:
        """The birth, or the will that the broker publishes for us."""
        shop = shop_stream(self.name)
        message = Hello(
            node=self.name,
            sess=self.session,
            epoch=self.store.epoch,
            alive=alive,
            heads=() if self.central else (cursor_at(shop, self.store.head(shop)),),
            cursors=()
            if self.central
            else tuple(cursor_at(s, self.store.head(s)) for s in self.follows()),
        )
        topic = TOPICS.all("state") if self.central else TOPICS.up(self.name, "state")
        return topic, wire.encode(wire.sign(message, sign_as(self.name)))

    def _introduce(self, peer: str) -> None:
        """Greet one shop on its own topic: what all may hear, it may have missed."""
        if self.up:
            self._send(TOPICS.dn(peer, "state"), self.hello()[1], False)

    def _say_hello(self, now_ms: int) -> None:
        self._hello_ms = now_ms
        if self.up:
            self._send(*self.hello(), True)

    def linked(self, now_ms: int) -> None:
        """Connected: a new session."""
        self.up = True
        self._say_hello(now_ms)

    def unlinked(self) -> None:
        self.up = False
        self._lost()
        self._gaps.clear()

    def _lost(self, peer: str = "") -> None:
        for source in self.sources.values():
            for name, sender in source.senders.items():
                if peer in ("", name):
                    sender.lost_link()

    # -- listening --------------------------------------------------------------------------

    def turn(self, now_ms: int) -> None:
        """Take what came, keep it in one transaction, answer, then send what is due."""
        messages, self.inbox = self.inbox, []
        group: list[tuple[str, Batch, bytes]] = []
        for name, payload in messages:
            topic = TOPICS.parse(name)
            assert topic is not None
            peer = topic.name if self.central else CENTRAL
            try:
                if topic.leaf == "journal":
                    batch = wire.decode(Batch, payload)
                    self._check(batch, peer, batch.stream)
                    group.append((peer, batch, payload))
                elif topic.leaf == "ack":
                    self._acked(peer, wire.decode(Ack, payload), now_ms)
                else:
                    self._greeted(peer, wire.decode(Hello, payload), now_ms)
            except Corrupt as fault:
                self.refusals.append((str(fault), payload))
        self._ingest(group, now_ms)
        self._tick(now_ms)
        if self.up:
            self._pump(now_ms)
        self.prune(now_ms)

    def _check(self, message: Batch | Ack | Hello, peer: str, stream: str = "") -> None:
        if message.node != peer or (stream and not self._accepts(peer, stream)):
            raise Corrupt("MESSAGE_UNREADABLE", detail="another's topic or stream")
        wire.check_signature(message, lambda data, sig: sign_as(peer)(data) == sig)

    def _greeted(self, peer: str, hello: Hello, now_ms: int) -> None:
        self._check(hello, peer)
        if not hello.alive:
            if self._sessions.of(peer) == hello.sess:
                self._lost(peer)
            return
        born = self._sessions.of(peer) != hello.sess
        if not self._sessions.begin(peer, hello.sess):
            return
        told = {c.stream: c for c in (*hello.cursors, *hello.heads)}
        for stream, shared in self._sources_for(peer):
            source = self._source(stream, shared=shared)
            if stream in told:
                source.follower(peer).greet(told[stream], self.store)
        if self.central:
            self._introduce(peer)
            self._give_back(peer, hello)
            answer = [
                cursor_at(c.stream, self.store.head(c.stream), status="welcome")
                for c in hello.heads
            ]
            self._send_ack(peer, answer, now_ms)
        elif born:
            self._say_hello(now_ms)

    def _give_back(self, peer: str, hello: Hello) -> None:
        for told in hello.heads:
            ours = self.store.head(told.stream)
            known = told.upto == 0 or self.store.hash_at(told.stream, told.upto) == told.hash
            self._limits[told.stream] = ours.seq if known and ours.seq > told.upto else 0
            self._source(told.stream, shared=False).follower(peer).greet(told, self.store)

    def _acked(self, peer: str, ack: Ack, now_ms: int) -> None:
        self._check(ack, peer)
        if ack.sess != self.session:
            return
        if not self.central:
            self._note(ack)
        shared = dict(self._sources_for(peer))
        for cursor in ack.cursors:
            if cursor.stream not in self.sources and cursor.stream not in shared:
                continue
            source = self._source(cursor.stream, shared=shared.get(cursor.stream, False))
            sender = source.follower(peer)
            if not sender.greeted:
                sender.greet(cursor, self.store)
            else:
                sender.on_ack(now_ms, cursor, self.store)

    # -- keeping ----------------------------------------------------------------------------

    def _ingest(self, group: list[tuple[str, Batch, bytes]], now_ms: int) -> None:
        if not group:
            return
        answers: dict[str, dict[str, Cursor]] = {}
        kept: list[Stored] = []
        crash = self.crash_in_keep()
        try:
            with self.store.begin() as tx:
                for peer, batch, payload in group:
                    cursor = self._take(tx, batch, payload, kept, now_ms)
                    if cursor is not None:
                        answers.setdefault(peer, {})[batch.stream] = cursor
                self.before_commit(answers, now_ms)
                tx.fault_point(crash == "before")
        except Full:
            return  # no acknowledgement: they will send again
        if kept:
            self.on_kept(self, kept)  # what is coming stands in the tables, whatever happens now
        self.store.fault_point(crash == "after")
        self.after_commit(answers, now_ms)

    def _take(
        self, tx: ListStore, batch: Batch, payload: bytes, kept: list[Stored], now_ms: int
    ) -> Cursor | None:
        try:
            verdict = judge(batch, tx)
        except Corrupt as fault:
            self.refusals.append((str(fault), payload))
            head = tx.head(batch.stream)
            return cursor_at(batch.stream, head, status="refused", reason=fault.code)
        if isinstance(verdict, Accepted):
            tx.keep(verdict)
            kept += verdict.events
            self._react(tx, verdict.events)
        return self._answer(batch.stream, verdict, now_ms)

    def before_commit(self, answers: dict[str, dict[str, Cursor]], now_ms: int) -> None:
        """Nothing: an acknowledgement before the commit would be a lie."""

    def after_commit(self, answers: dict[str, dict[str, Cursor]], now_ms: int) -> None:
        for peer, cursors in answers.items():
            self._send_ack(peer, list(cursors.values()), now_ms)

    def _answer(self, stream: str, verdict: Accepted | Known | Gap, now_ms: int) -> Cursor | None:
        if isinstance(verdict, Gap):
            cursor, at_ms = self._gaps.get(stream, (ORIGIN, -GAP_QUIET_MS))
            if cursor == verdict.cursor and now_ms - at_ms < GAP_QUIET_MS:
                return None
            self._gaps[stream] = (verdict.cursor, now_ms)
            return cursor_at(stream, verdict.cursor, status="gap")
        fork = isinstance(verdict, Accepted) and verdict.fork
        return cursor_at(stream, verdict.tip, status="fork" if fork else "ok")

    def _react(self, tx: ListStore, events: Sequence[Stored]) -> None:
        """Head office forwards transfers, in the same transaction."""
        if not self.central:
            return
        from tests.simulation.business import forwarded  # noqa: PLC0415 - it builds on nodes

        for event in events:
            envelope = decode(event.data)
            for stream, body, id_ in forwarded(envelope, body_of(envelope)):
                tx.append(stream, [self.draft(id_, body)])

    def _send_ack(self, peer: str, cursors: list[Cursor], now_ms: int) -> None:
        ack = Ack(
            node=self.name,
            sess=self._sessions.of(peer),
            now=now_ms,
            cursors=tuple(cursors),
        )
        self._publish(self._topic(peer, "ack"), wire.sign(ack, sign_as(self.name)))

    # -- sending ----------------------------------------------------------------------------

    def _source(self, stream: str, *, shared: bool) -> Source:
        if stream not in self.sources:
            head_seq = self.store.head(stream).seq
            self.sources[stream] = Source(stream, shared=shared, head_seq=head_seq)
        return self.sources[stream]

    def _tick(self, now_ms: int) -> None:
        greeted, unheard = False, set()
        for source in self.sources.values():
            for peer, sender in source.senders.items():
                if sender.tick(now_ms):
                    unheard.add(peer)
                greeted |= sender.greeted
        if self.central:
            for peer in sorted(unheard):
                self._introduce(peer)
            unheard.clear()
        if self.up and (unheard or not greeted) and now_ms - self._hello_ms > GREET_AGAIN_MS:
            self._say_hello(now_ms)

    def _pump(self, now_ms: int) -> None:
        busy = True
        while busy:
            busy = False
            for source in self.sources.values():
                head_seq = self._limits.get(source.stream, self.store.head(source.stream).seq)
                busy |= self._send_tail(source, head_seq, now_ms)
                for peer, sender in source.senders.items():
                    after = sender.due(head_seq)
                    batch = None if after is None else self._cut(sender.stream, after, now_ms)
                    if batch is not None and self._publish(self._topic(peer, "journal"), batch):
                        self.was_sent(sender, batch, now_ms)
                        busy = True

    def was_sent(self, sender: Sender, batch: Batch, now_ms: int) -> None:
        sender.sent(now_ms, batch.first + batch.n - 1)

    def _send_tail(self, source: Source, head_seq: int, now_ms: int) -> bool:
        after = source.tail_due(head_seq)
        topic = TOPICS.tail(source.stream)
        if after is None or topic is None:
            return False
        batch = self._cut(source.stream, after, now_ms)
        if batch is None or not self._publish(topic, batch):
            return False
        source.tail_sent(now_ms, batch.first + batch.n - 1)
        return True

    def _cut(self, stream: str, after_seq: int, now_ms: int) -> Batch | None:
        rows = self.store.line(stream, max(0, after_seq - 1), BATCH_EVENTS + 2)
        previous = ORIGIN
        if after_seq and rows and rows[0].position.seq == after_seq:
            previous = rows.pop(0).position
        elif after_seq:
            previous = self.store.base(stream)
            if previous.seq != after_seq:
                return None
        events = cut(rows, events_max=BATCH_EVENTS, bytes_max=wire.BATCH_BYTES_MAX)
        if not events:
            return None
        last, reading = events[-1].position, self.clock.read()
        batch = Batch(
            node=self.name,
            epoch=last.epoch,
            stream=stream,
            first=previous.seq + 1,
            n=len(events),
            prev=previous.hash,
            last=last.hash,
            sent=now_ms,
            clk=Clk(reading.state.value, reading.u_ms, reading.at_ms),
            events=tuple(msgspec.Raw(e.data) for e in events),
        )
        return wire.sign(batch, sign_as(self.name))

    def draft(self, id_: str, body: Event) -> Draft:
        """An event at this node's time."""
        return Draft(id=id_, body=body, at=self.clock.read())

    def acked(self) -> Position:
        """How far head office has acknowledged this shop's journal."""
        source = self.sources.get(shop_stream(self.name))
        sender = source.senders.get(CENTRAL) if source else None
        return sender.acked if sender else ORIGIN

    def stops(self) -> set[str]:
        """Why streams stand still."""
        return {s.stopped for x in self.sources.values() for s in x.senders.values() if s.stopped}

    # -- forgetting -------------------------------------------------------------------------

    def _noted(self) -> list[Checkpoint]:
        text = self.store.state("checkpoints")
        return msgspec.json.decode(text, type=list[Checkpoint]) if text else []

    def _note(self, ack: Ack) -> None:
        """As `edge.checkpoints` does."""
        own, now = shop_stream(self.name), self.clock.read()
        changed = self._notes.heard(
            ack,
            lambda seq: self.store.hash_at(own, seq),
            trusted_ms=now.at_ms if now.state.trusted else None,
        )
        if changed and not self.store.full:
            with self.store.begin() as tx:
                tx.set_state("checkpoints", msgspec.json.encode(self._notes.kept).decode())

    def limit(self, now: Reading) -> tuple[int, int] | None:
        """The last event that may go, and when head office said that it has it."""
        own = shop_stream(self.name)
        found = self._notes.newest(
            lambda seq: self.store.hash_at(own, seq), noted_by_ms=now.surely_past_ms - KEEPS_MS
        )
        place = found.place(own) if found else None
        return (place.seq, found.ack.now) if found and place else None

    def prune(self, now_ms: int) -> None:
        """A shop forgets what head office has long held: as `edge.pruning` does."""
        now = self.clock.read()
        if self.central or now_ms - self._looked_ms < PRUNE_MS or not now.state.trusted:
            return
        self._looked_ms = now_ms
        limit, own = self.limit(now), shop_stream(self.name)
        sealed = self.snapshot(min(limit[0], self.store.parted(own))) if limit else None
        if limit is None or sealed is None or self.store.full:
            return
        place, sealed_ms = sealed
        held = self.store.hash_at(own, place.seq) == place.hash
        if place.seq > self.store.low(own) and held and sealed_ms - limit[1] >= KEEPS_MS:
            with self.store.begin() as tx:
                self.pruned += tx.prune(own, place)
