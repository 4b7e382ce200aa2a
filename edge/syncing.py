"""The shop on the wire: its journal goes up, head office's streams come down, neighbours' stock."""

import shutil
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge import neighbours
from edge.checkpoints import Noting
from edge.credentials import Credentials
from edge.node import ShopNode
from protocol import wire
from protocol.errors import Corrupt
from protocol.ids import ALL, CENTRAL, shop_stream, to_stream, zone_stream
from protocol.node import signing
from protocol.node.certificates import client_context
from protocol.node.mqttlink import Broker, Message
from protocol.node.ntpclock import NtpClock
from protocol.node.replicator import Replicator
from protocol.node.sending import clk_of, cursor_at
from protocol.node.side import Side
from protocol.node.sqljournal import SqlRecords
from protocol.topics import Topic, Topics
from protocol.wire import (
    Ack,
    Beacon,
    CertificateAnswer,
    CertificateRequest,
    ClockFacts,
    Complaint,
    Heartbeat,
    Hello,
    Manifest,
    Request,
    StockFigures,
)

HEARTBEAT_S = 15.0
CENTRAL_SILENT_S = 45.0
RENEW_LOOK_S = 60.0
VERSION = "0.1.0"


class LinkStatus(msgspec.Struct, frozen=True):
    """What the till's header tells apart."""

    broker_up: bool
    central_up: bool
    unsynced: int  # events that head office has not acknowledged
    fault: str
    stopped: str  # head office refuses our journal: why
    refused: int  # messages that this node refused
    cloned: bool  # another machine uses our name
    denied: bool = False  # the broker refuses this shop's account


class ShopFacts(msgspec.Struct, frozen=True):
    """What a heartbeat says beside the wire's own figures."""

    complaints: dict[str, Complaint] = {}
    clock: ClockFacts | None = None


class Syncing:
    """Start it and forget it: selling never waits for anything here."""

    def __init__(
        self,
        node: ShopNode,
        *,
        key: signing.NodeKey,
        credentials: Credentials,
        shop_facts: Callable[[], ShopFacts],
    ) -> None:
        books, settings, clock, hub = node.books, node.settings, node.clock, node.hub
        self._key = key
        self._credentials = credentials
        self._renew_at = 0.0
        self._tended = False  # on this connection
        self.welcomed = threading.Event()  # head office holds no event of our journal that we lack
        self._books = books
        self._settings = settings
        self._clock = clock
        self._hub = hub
        self._facts = shop_facts
        self._topics = Topics(settings.chain)
        self._stream = shop_stream(settings.store)
        self._central_seen = 0.0
        self._heard_ms = 0
        self._beat_at = 0.0
        self._lacks = ""
        self.on_manifest: Callable[[Manifest], None] = lambda _: None
        self._acked_seq = self._acked_before()
        self._noting = Noting(node)
        self._follows = (ALL, zone_stream(settings.zone), to_stream(settings.store), self._stream)
        self.replicator = Replicator(
            self._side(),
            self._broker(),
            books=books,
            key=key,
            clock=clock,
        )
        self.replicator.on_ack = self._acked
        self.replicator.on_hello = self._hello
        self.replicator.on_message = self._message
        self.replicator.on_tick = self._tick
        self.replicator.on_link = self._link

    def _broker(self) -> Broker:
        mqtt = self._settings.mqtt
        password = ""
        if mqtt.password_file:
            password = signing.read_secret(Path(mqtt.password_file))
        return Broker(
            mqtt.host,
            mqtt.port,
            client_id=self._settings.store,
            username=mqtt.username,
            password=password,
            tls=self._context if mqtt.tls else None,
            others=mqtt.others,
        )

    def _context(self) -> ssl.SSLContext:
        return client_context(self._settings.authority_path, self._settings.pair_path)

    def _side(self) -> Side:
        s, topics = self._settings, self._topics
        names = {"", s.store, s.zone, s.group}
        return Side(
            node=s.store,
            topics=topics,
            subscriptions=topics.for_store(s.store, s.zone, s.group),
            state_topic=topics.up(s.store, "state"),
            batch_topic=lambda _: topics.up(s.store, "journal"),
            ack_topic=lambda _: topics.up(s.store, "ack"),
            sources_for=lambda _: [(self._stream, False)],
            accepts=lambda _, stream: stream in self._follows,
            key_of=lambda _: s.central_public_key,
            peer_of=lambda _: CENTRAL,
            hears=lambda topic: topic.branch != "up" and topic.name in names,
            writes=lambda: [self._stream],
            follows=lambda: self._follows[:-1],
            witnesses=True,
        )

    def start(self) -> None:
        """Connect and go on for ever."""
        self.replicator.start()

    def stop(self) -> None:
        """Say good-bye."""
        self.replicator.stop()

    def _acked_before(self) -> int:
        with self._books.database.reading() as connection:
            return self._books.journal.acked(connection, CENTRAL, self._stream).seq

    def heard_ms(self) -> int:
        """When head office last said anything, UTC ms by our clock; 0 for never."""
        return self._heard_ms

    def status(self) -> LinkStatus:
        """From any thread."""
        state = self.replicator.status()
        with self._books.database.reading() as connection:
            head = SqlRecords(connection).head(self._stream)
        return LinkStatus(
            broker_up=state.link_up,
            central_up=state.link_up and time.monotonic() - self._central_seen < CENTRAL_SILENT_S,
            unsynced=max(0, head.seq - self._acked_seq),
            fault=state.fault or state.link_fault,
            stopped=next(iter(state.stopped.values()), ""),
            refused=state.refused,
            cloned=self.replicator.link.cloned,
            denied=self.replicator.link.denied,
        )

    # -- in the replication thread ----------------------------------------------------------

    def _changed(self) -> None:
        self._hub.publish("link", {"broker": self.replicator.link.up})

    def _link(self, up: bool) -> None:  # noqa: FBT001 - a callback
        if up:
            question = Request(node=self._settings.store, kind="stock")
            self.replicator.publish(self._topics.up(self._settings.store, "req"), question, qos=1)
            self._beat_at = 0.0
        else:
            self._central_seen = 0.0
            self._tended = False
        self._changed()

    def _hello(self, _peer: str, hello: Hello) -> None:
        if hello.alive:
            self._heard()
        else:
            self._central_seen = 0.0
        self._changed()

    def _heard(self) -> None:
        self._central_seen = time.monotonic()
        self._heard_ms = self._clock.read().at_ms

    def _acked(self, _peer: str, ack: Ack) -> None:
        fresh = time.monotonic() - self._central_seen >= CENTRAL_SILENT_S
        self._heard()
        self._noting.heard(ack)
        for cursor in ack.cursors:
            if cursor.stream == self._stream and cursor.status != "refused":
                with self._books.database.reading() as connection:
                    ours = SqlRecords(connection).hash_at(self._stream, cursor.upto)
                if ours == cursor.hash:
                    self._acked_seq = cursor.upto
                    self.welcomed.set()
                    if not self._tended:
                        self._renew_at = 0.0  # it hears us: what is due is asked now
                elif not self.welcomed.is_set():
                    self._lacks = cursor.hash  # our own events that head office gives back
        if fresh:
            self._changed()

    def _message(self, topic: Topic, message: Message) -> None:
        if topic.leaf == "clock":
            self._beacon(wire.decode(Beacon, message.payload))
        elif topic.leaf == "manifest":
            self._told_of(wire.decode(Manifest, message.payload))
        elif topic.leaf == "cert":
            self._renewed(wire.decode(CertificateAnswer, message.payload))
        elif topic.leaf in {"stock", "rsp"}:
            figures = wire.decode(StockFigures, message.payload)
            if figures.store != self._settings.store:
                with self._books.database.begin() as tx:
                    neighbours.take(tx, figures)
                self._hub.publish("neighbours", {"store": figures.store, "at": figures.at})
        else:
            raise Corrupt("MESSAGE_UNREADABLE", detail=f"nothing is known of {topic.leaf}")

    def _beacon(self, beacon: Beacon) -> None:
        public = self._settings.central_public_key
        wire.check_signature(beacon, lambda data, sig: signing.check(public, data, sig))
        self._heard()
        if isinstance(self._clock, NtpClock) and beacon.clk.state in {"trusted", "holdover"}:
            self._clock.take_beacon(beacon.clk.at_ms, beacon.clk.u_ms)

    def _told_of(self, made: Manifest) -> None:
        """How far head office is with a stream that we follow."""
        public = self._settings.central_public_key
        wire.check_signature(
            made, lambda data, sig: signing.check(public, data, sig), stream=made.stream
        )
        if made.stream in self._follows:
            self.on_manifest(made)

    def _renewed(self, answer: CertificateAnswer) -> None:
        public = self._settings.central_public_key
        wire.check_signature(answer, lambda data, sig: signing.check(public, data, sig))
        before = self._credentials.held().serial
        if self._credentials.take(answer.certificate).serial != before:
            self.replicator.link.renew()  # the old one holds until then

    def _tend_certificate(self) -> None:
        """Note in the journal what is new, and ask for the next one in time."""
        self._tended = self.welcomed.is_set()
        if self.welcomed.is_set():  # else a restored shop's journal would fork
            self._credentials.note()
        csr = self._credentials.request(self._clock.read().at_ms)
        if csr:
            asked = CertificateRequest(node=self._settings.store, csr=csr)
            topic = self._topics.up(self._settings.store, "cert")
            self.replicator.publish(topic, wire.sign(asked, self._key.sign), qos=1)

    def _got_back(self) -> None:
        """Restored, and the events that were lost are here again."""
        with self._books.database.reading() as connection:
            if SqlRecords(connection).find(self._stream, self._lacks) is not None:
                self._lacks = ""
                self.welcomed.set()

    def _tick(self, now_s: float) -> None:
        if self._lacks:
            self._got_back()
        if now_s - self._renew_at >= RENEW_LOOK_S and self.replicator.link.up:
            self._renew_at = now_s
            self._tend_certificate()
        if now_s - self._beat_at < HEARTBEAT_S or not self.replicator.link.up:
            return
        self._beat_at = now_s
        with self._books.database.reading() as connection:
            records = SqlRecords(connection)
            head = records.head(self._stream)
            cursors = tuple(cursor_at(s, records.head(s)) for s in self._follows[:-1])
        facts = self._facts()
        beat = Heartbeat(
            node=self._settings.store,
            sess=self.replicator.session,
            now=self._clock.read().at_ms,
            head=head.seq,
            acked=self._acked_seq,
            clk=clk_of(self._clock),
            cursors=cursors,
            health={part: f"{one.state} {one.code}" for part, one in facts.complaints.items()},
            complaints=facts.complaints,
            disk_free=shutil.disk_usage(self._settings.data_dir).free,
            unsynced=max(0, head.seq - self._acked_seq),
            version=VERSION,
            clock=facts.clock,
        )
        self.replicator.publish(self._topics.up(self._settings.store, "hb"), beat)
