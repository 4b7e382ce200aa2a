"""Head office on the wire: shops' journals come in, its own streams go out, neighbours' figures."""

import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import structlog
from sqlalchemy import select

from central import watching
from central.manifests import Manifests
from central.pictures import Pictures
from central.recording import Desk
from central.sharing import Share
from protocol import wire
from protocol.clockstatus import status_of
from protocol.errors import Corrupt, Refusal, Unavailable, define
from protocol.ids import ALL, CENTRAL, shop_stream, to_stream, zone_stream
from protocol.journal import Position
from protocol.ledger import shelf
from protocol.node import signing
from protocol.node.mqttlink import Broker, Message
from protocol.node.replicator import React, Replicator
from protocol.node.sending import clk_of
from protocol.node.side import Side
from protocol.node.sqljournal import Recorded, SqlRecords
from protocol.node.tables import READ
from protocol.topics import Topic, Topics, shard_of
from protocol.wire import (
    Ack,
    Beacon,
    CertificateAnswer,
    CertificateRequest,
    Heartbeat,
    Hello,
    Manifest,
    Request,
    StockFigures,
)

log = structlog.get_logger("syncing")

SHELF = shelf("")
BEACON_S = 10.0
REPORT_S = 3.0
RENEW_LOOK_S = 3600.0
BROKER_LOG = "$SYS/broker/log/E"
BEATS_S = 0.25  # heartbeats are written together, at most this often
PICTURES_BUSY_S = 0.02  # what they may take of one tick
FIGURES_S = 0.05  # first change at once, then at most this often per shop
FIGURE_REST_S = 0.0002  # and for each figure so much longer: every neighbour writes it
FIGURES_REST_S = 0.5
FIGURES_MAX = 1_500  # per message
FIGURES_BYTES = 100_000

define(
    {
        "STRANGER_AT_BROKER": (
            "The broker turned a connection away: {detail}.",
            "消息服务器拒绝了一个连接：{detail}。",
        ),
    }
)


class Shop(msgspec.Struct, frozen=True):
    """What the wire needs to know of a shop."""

    zone: str
    group: str
    public_key: str


class LinkStatus(msgspec.Struct, frozen=True):
    """How head office's link is."""

    broker_up: bool
    greeted: tuple[str, ...]
    resends: int
    refused: int
    fault: str
    stopped: dict[str, str]
    denied: bool = False  # the broker refuses head office's account


def portions(rows: Sequence[tuple[str, int]]) -> list[tuple[tuple[str, int], ...]]:
    """Cut figures so that each message is one that a peer takes; at least one portion."""
    parts: list[tuple[tuple[str, int], ...]] = []
    start, size = 0, 0
    for n, (sku, _) in enumerate(rows):
        more = 6 * len(sku) + 30  # a character is six bytes at most
        if n > start and (size + more > FIGURES_BYTES or n - start >= FIGURES_MAX):
            parts.append(tuple(rows[start:n]))
            start, size = n, 0
        size += more
    return [*parts, tuple(rows[start:])]


class Changed(msgspec.Struct):
    """What changed on one shop's shelf, and up to which place of its journal that counts."""

    figures: dict[str, int]
    upto: Position


class Figures:
    """Changed shelves on their way to the neighbours, conflated shop by shop."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], Changed] = {}  # group, store
        self._next_at: dict[tuple[str, str], float] = {}

    def changed(self, group: str, store: str, figures: dict[str, int], upto: Position) -> None:
        """This is what lies in this shop now, at this place of its journal."""
        known = self._pending.setdefault((group, store), Changed({}, upto))
        known.figures.update(figures)
        known.upto = upto

    def due(self, now_s: float) -> list[tuple[str, str, Changed]]:
        """(group, store, what changed) that may be sent now.

        Every neighbour writes them, so many figures rest longer than those of a sale.
        """
        out: list[tuple[str, str, Changed]] = []
        for pair in [p for p in self._pending if now_s >= self._next_at.get(p, now_s)]:
            changed = self._pending.pop(pair)
            rest = min(FIGURES_REST_S, len(changed.figures) * FIGURE_REST_S)
            self._next_at[pair] = now_s + FIGURES_S + rest
            out.append((*pair, changed))
        return out


class Syncing:
    """Ingest and distribution in one thread."""

    def __init__(
        self,
        desk: Desk,
        *,
        key: signing.NodeKey,
        react: React,
        tls: Callable[[], ssl.SSLContext],
        share: Share | None = None,
        renew: Callable[[str, str], str],
    ) -> None:
        books, settings, clock, hub = desk.books, desk.settings, desk.clock, desk.hub
        self._books = books
        self._clock = clock
        self._key = key
        self._hub = hub
        self._renew = renew
        self._tls = settings.mqtt.tls
        self._topics = Topics(settings.chain)
        self._shops: dict[str, Shop] | None = None
        self._figures = Figures()
        self._beats: dict[str, tuple[Heartbeat, int]] = {}  # with the instant of its arrival
        self._beats_at = 0.0
        self._pictures = Pictures()
        self._share = share
        self.started = False
        self._reported_at = 0.0
        self._beacon_at = self._renew_at = 0.0
        watching.watch.create_all(books.database.write)
        mqtt = settings.mqtt
        self.replicator = Replicator(
            self._side(),
            Broker(
                mqtt.host,
                mqtt.port,
                client_id=share.name if share else CENTRAL,
                username=share.name if share and mqtt.tls else mqtt.username,
                password=mqtt.password(),
                tls=tls if mqtt.tls else None,
                others=mqtt.others,
            ),
            books=books,
            key=key,
            clock=clock,
            react=react,
        )
        self.replicator.on_hello = self._hello
        self.replicator.on_message = self._message
        self.replicator.on_ack = self._acked
        self.replicator.on_tick = self._tick
        self.replicator.on_link = self._link
        self._manifests = Manifests(books, key, clock)
        books.listeners.append(self._recorded)

    def _side(self) -> Side:
        topics, share = self._topics, self._share
        if share is not None:
            return msgspec.structs.replace(
                self._whole_side(),
                subscriptions=[BROKER_LOG] if self._tls else [],
                state_topic=topics.worker(share.name),
                hears=lambda topic: topic.branch == "up" and shard_of(topic.name) in share.shards,
                tails=lambda: share.leads,
            )
        return self._whole_side()

    def _whole_side(self) -> Side:
        topics = self._topics
        return Side(
            node=CENTRAL,
            topics=topics,
            subscriptions=topics.for_central() + ([BROKER_LOG] if self._tls else []),
            state_topic=topics.all("state"),
            hello_topic=lambda peer: topics.dn(peer, "state"),
            batch_topic=lambda peer: topics.dn(peer, "journal"),
            ack_topic=lambda peer: topics.dn(peer, "ack"),
            sources_for=self._sources_for,
            accepts=lambda peer, stream: stream == shop_stream(peer),
            key_of=self._key_of,
            peer_of=lambda topic: topic.name,
            hears=lambda topic: topic.branch == "up",
            writes=list,
            follows=list,
            tick_s=0.02,  # neighbours' figures wait for it
            returns_own=True,
            overhears=self._broker_says,
        )

    def start(self) -> None:
        """Connect and go on for ever."""
        self.started = True
        self.replicator.start()

    def stop(self) -> None:
        """Say good-bye."""
        self.replicator.stop()

    def status(self) -> LinkStatus:
        """From any thread; in a process of pages, what the ingest workers report."""
        if not self.started and not self._books.database.sqlite:
            return self._of_workers()
        state = self.replicator.status()
        return LinkStatus(
            broker_up=state.link_up,
            greeted=state.greeted,
            resends=state.resends,
            refused=state.refused,
            fault=state.fault or state.link_fault,
            stopped=state.stopped,
            denied=self.replicator.link.denied,
        )

    # -- who is who -------------------------------------------------------------------------

    def _known(self) -> dict[str, Shop]:
        shops = self._shops
        if shops is None:
            store, node = READ["store"], READ["node"]
            with self._books.database.reading() as connection:
                rows = connection.execute(
                    select(
                        store.c.store, store.c.zone, store.c.stock_group, node.c.public_key
                    ).outerjoin(node, node.c.store == store.c.store)
                ).all()
            shops = {r[0]: Shop(r[1], r[2], r[3] or "") for r in rows}
            self._shops = shops
        return shops

    def _sources_for(self, peer: str) -> list[tuple[str, bool]]:
        shop = self._known().get(peer)
        if shop is None:
            return []
        return [(ALL, True), (zone_stream(shop.zone), True), (to_stream(peer), False)]

    def _key_of(self, peer: str) -> str | None:
        shop = self._known().get(peer)
        return shop.public_key if shop else None

    # -- after a commit, in the committing thread: only remember ----------------------------

    def _recorded(self, recorded: Sequence[Recorded]) -> None:
        if any(r.envelope.type in {"StoreAdded", "NodeAccepted", "NodeRevoked"} for r in recorded):
            self._shops = None
        shops = self._known()
        tips = {r.stored.stream: r.stored.position for r in recorded}
        moved: dict[str, dict[str, int]] = {}
        for place, sku, qty in self._books.shelves:
            moved.setdefault(place, {})[sku] = qty
        for place, figures in moved.items():
            store = place.removeprefix(SHELF)
            if store in shops and place in tips:  # a shop's stream is called as its shelf
                self._figures.changed(shops[store].group, store, figures, tips[place])

    # -- in the replication thread ----------------------------------------------------------

    def _link(self, up: bool) -> None:  # noqa: FBT001 - a callback
        self._manifests.linked()
        self._hub.publish("link", {"broker": up})

    def _shared(self) -> set[str]:
        return {str(ALL), *(zone_stream(shop.zone) for shop in self._known().values())}

    def _tell_of(self, made: Manifest) -> bool:
        topic = self._topics.manifest(made.stream)
        return self.replicator.publish(topic, made, qos=1, retain=True)

    def _hello(self, peer: str, hello: Hello) -> None:
        with self._books.database.begin() as tx:
            watching.greeted(tx, hello, now_ms=self._clock.read().at_ms)
        self._hub.publish("shop", {"store": peer, "alive": hello.alive})

    def _acked(self, peer: str, ack: Ack) -> None:
        self._hub.publish(
            "ack", {"store": peer, "cursors": {c.stream: c.upto for c in ack.cursors}}
        )

    def _message(self, topic: Topic, message: Message) -> None:
        if topic.leaf == "hb":
            heart = wire.decode(Heartbeat, message.payload)
            if heart.node != topic.name or topic.name not in self._known():
                raise Corrupt("MESSAGE_UNREADABLE", detail=f"{heart.node} beats as {topic.name}")
            # The last one counts, however many come.
            self._beats[topic.name] = heart, self._clock.read().at_ms
        elif topic.leaf == "req":
            question = wire.decode(Request, message.payload)
            if question.kind == "stock" and topic.name in self._known():
                self._pictures.ask(topic.name)
        elif topic.leaf == "cert":
            self._certify(topic.name, wire.decode(CertificateRequest, message.payload))
        else:
            raise Corrupt("MESSAGE_UNREADABLE", detail=f"nothing is known of {topic.leaf}")

    def _broker_says(self, message: Message) -> bool:
        """The broker's own log: who came without a certificate that holds?"""
        if not message.topic.startswith("$SYS/"):
            return False
        text = message.payload.decode("utf-8", "replace")
        leads = self._share is None or self._share.leads  # one of several tells it
        if leads and "certificate" in text:
            detail = text.rpartition(":")[2].strip()
            fault = Refusal("STRANGER_AT_BROKER", detail=detail[:100])
            self.replicator.refuse("$SYS/broker", message.payload, fault)
        return True

    def _certify(self, store: str, asked: CertificateRequest) -> None:
        """A new certificate before the old one ends, for whoever holds the shop's journal key."""
        public = self._key_of(store) or ""
        if asked.node != store:
            raise Corrupt("MESSAGE_UNREADABLE", detail=f"{asked.node} asks as {store}")
        wire.check_signature(asked, lambda data, sig: signing.check(public, data, sig))
        answer = CertificateAnswer(node=CENTRAL, certificate=self._renew(store, asked.csr))
        signed = wire.sign(answer, self._key.sign)
        self.replicator.publish(self._topics.dn(store, "cert"), signed, qos=1)

    def _neighbours(self, asker: str) -> list[str]:
        shops = self._known()
        mine = shops.get(asker)
        return [s for s, shop in shops.items() if mine and s != asker and shop.group == mine.group]

    def _show_pictures(self, now_s: float) -> None:
        """Neighbour by neighbour, so that a question of few bytes holds nobody up."""
        self._pictures.begin(now_s, self._neighbours)
        while (pair := self._pictures.next()) is not None:
            asker, store = pair
            for figures in self._picture(store):
                self.replicator.publish(self._topics.dn(asker, "rsp"), figures, qos=1)
            if time.monotonic() - now_s > PICTURES_BUSY_S:
                return

    def _write_beats(self) -> None:
        beats, self._beats = self._beats, {}
        with suppress(Unavailable), self._books.database.begin() as tx:  # the next one tells it
            for _, (heart, at_ms) in sorted(beats.items()):
                watching.beat(tx, heart, now_ms=at_ms)
        for store in beats:
            self._hub.publish("shop", {"store": store, "alive": True})

    def _picture(self, store: str) -> list[StockFigures]:
        """All that lies in a shop."""
        stock = READ["stock"]
        query = select(stock.c.sku, stock.c.qty_milli).where(stock.c.place == shelf(store))
        with self._books.database.reading() as connection:
            found = {row.sku: row.qty_milli for row in connection.execute(query).all()}
            head = SqlRecords(connection).head(shop_stream(store))
        return self._told(store, Changed(found, head), full=True)

    def _told(self, store: str, changed: Changed, *, full: bool = False) -> list[StockFigures]:
        at_ms, upto = self._clock.read().at_ms, changed.upto
        return [
            StockFigures(
                store=store, epoch=upto.epoch, upto=upto.seq, at=at_ms, full=full, figures=part
            )
            for part in portions(sorted(changed.figures.items()))
        ]

    def _tick(self, now_s: float) -> None:
        for group, store, changed in self._figures.due(now_s):
            for figures in self._told(store, changed):
                self.replicator.publish(self._topics.group(group), figures)
                self._hub.publish(
                    "stock", {"store": store, "at": figures.at, "figures": figures.figures}
                )
        self._show_pictures(now_s)
        if self._beats and now_s - self._beats_at >= BEATS_S:
            self._beats_at = now_s
            self._write_beats()
        self._look_at_leases(now_s)
        own = self.replicator.link.broker.tls
        if own and now_s - self._renew_at >= RENEW_LOOK_S:
            self._renew_at = now_s
            own()  # a new certificate in time; the next connection shows it
        leads = self._share is None or self._share.leads
        if leads and self.replicator.link.up:
            self._manifests.look(now_s, self._shared, self._tell_of)
        if leads and now_s - self._beacon_at >= BEACON_S and self.replicator.link.up:
            self._beacon_at = now_s
            if status_of(self._clock).contested:  # nobody may follow a time that is disputed
                return
            beacon = Beacon(node=CENTRAL, clk=clk_of(self._clock))
            self.replicator.publish(self._topics.all("clock"), wire.sign(beacon, self._key.sign))

    def workers(self) -> list[watching.WorkerReport]:
        """The ingest workers that spoke lately."""
        with self._books.database.reading() as connection:
            return watching.workers(connection, self._clock.read().at_ms)

    def _of_workers(self) -> LinkStatus:
        found = self.workers()
        return LinkStatus(
            broker_up=any(w.broker_up for w in found),
            greeted=tuple(sorted({peer for w in found for peer in w.greeted})),
            resends=sum(w.resends for w in found),
            refused=sum(w.refused for w in found),
            fault=next((w.fault for w in found if w.fault), "" if found else "no ingest worker"),
            stopped={k: v for w in found for k, v in w.stopped.items()},
            denied=any(w.denied for w in found),
        )

    # -- one of several workers -----------------------------------------------------------------

    def _look_at_leases(self, now_s: float) -> None:
        """Take over shards that are free, give back what is more than our share."""
        share = self._share
        if share is None:
            return
        self._report(share, now_s)
        if not self.replicator.link.up:
            return
        gone, fresh = share.look(now_s, self._leave)
        for shard in gone:
            self._leave(shard)
        for shard in fresh:
            self.replicator.link.follow(self._topics.for_shard(shard))
        if fresh:
            for store in self._known():
                if shard_of(store) in fresh:
                    self.replicator.introduce(store)
        if gone or fresh:
            log.info("shards_leased", worker=share.name, shards=sorted(share.shards))

    def _report(self, share: Share, now_s: float) -> None:
        if now_s - self._reported_at < REPORT_S:
            return
        self._reported_at = now_s
        state = self.status()
        report = watching.WorkerReport(
            name=share.name,
            seen_ms=self._clock.read().at_ms,
            broker_up=state.broker_up,
            denied=state.denied,
            shards=tuple(sorted(share.shards)),
            greeted=state.greeted,
            resends=state.resends,
            refused=state.refused,
            fault=state.fault,
            stopped=state.stopped,
        )
        with suppress(Unavailable), self._books.database.begin() as tx:
            watching.working(tx, report)

    def _leave(self, shard: int) -> None:
        self.replicator.link.unfollow(self._topics.for_shard(shard))
        for store in self._known():
            if shard_of(store) == shard:
                self.replicator.forget(store)
