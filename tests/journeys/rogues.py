"""A chain in one process over a real Mosquitto, and somebody who writes what he should not.

Shops `a` and `b` run as they do in production, with their own databases and threads. Shop `x` is
known to head office, but its key is in the hands of the rogue.
"""

import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import func, select

from central.compose import compose as compose_office
from central.settings import Https, Mqtt, Names, sqlite_url
from central.settings import Settings as OfficeSettings
from central.stores import Store
from edge.compose import Shop
from edge.settings import MqttSettings
from protocol import wire
from protocol.clock import Clock
from protocol.enrolment import EnrolRequest
from protocol.events import Event
from protocol.journal import ORIGIN, Position, Stored
from protocol.node import certificates
from protocol.node.books import Books
from protocol.node.signing import NodeKey, make_key
from protocol.node.tables import READ, journal, parked, refused, stream_head
from protocol.topics import Topics
from protocol.wire import Ack, Batch, Clk, Cursor, Hello
from tests.builders import received
from tests.edge.shop_builder import FixedClock, build, settings_for
from tests.servers import MtlsServer, Server, mosquitto_server

NOW_MS = 1_795_000_000_000
EPOCH = "e" * 16


def until(what: str, holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)
    return found


def head_of(books: Books, stream: str) -> Position:
    with books.database.reading() as connection:
        c = stream_head.c
        row = connection.execute(select(c.epoch, c.seq, c.hash).where(c.stream == stream)).first()
        return Position(*row) if row else ORIGIN


def reasons(books: Books) -> list[tuple[str, str, str]]:
    """Refused messages: topic, code, detail; oldest first."""
    with books.database.reading() as connection:
        c = refused.c
        return [
            tuple(r) for r in connection.execute(select(c.topic, c.code, c.detail).order_by(c.n))
        ]


def parked_of(books: Books, stream: str) -> dict[int, str]:
    with books.database.reading() as connection:
        rows = connection.execute(
            select(parked.c.seq, parked.c.reason).where(parked.c.stream == stream)
        )
        return {r.seq: r.reason for r in rows}


def on_hand(books: Books, store: str, sku: str = "bun") -> int:
    stock = READ["stock"].c
    with books.database.reading() as connection:
        query = select(stock.qty_milli).where(stock.place == f"shop/{store}", stock.sku == sku)
        return connection.execute(query).scalar() or 0


def count_of(books: Books, stream: str) -> int:
    with books.database.reading() as connection:
        return connection.execute(
            select(func.count()).select_from(journal).where(journal.c.stream == stream)
        ).scalar_one()


class Rogue:
    """A client of the broker that publishes anything, counts what passes, and has a shop's key."""

    def __init__(
        self,
        broker: Server,
        topics: Topics,
        key: NodeKey,
        *,
        name: str = "rogue",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.topics, self.key = topics, key
        self.seen: Counter[str] = Counter()
        self.heard: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_message = self._note
        self._client.on_connect = lambda client, *_: client.subscribe("pos/#")
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        until("the rogue is connected", self._client.is_connected)

    def _note(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        self.seen[message.topic] += 1
        self.heard.append((message.topic, message.payload))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def throw(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        self._client.publish(topic, payload, qos=qos, retain=retain)

    def messages_a_second(self, seconds: float = 1.0) -> float:
        before = self.seen.total()
        time.sleep(seconds)
        return (self.seen.total() - before) / seconds

    # -- signed by shop x ---------------------------------------------------------------------

    def batch(self, events: list[Stored], *, parent: Position = ORIGIN, **changes: Any) -> Batch:
        last = events[-1].position
        batch = Batch(
            node="x",
            epoch=last.epoch,
            stream=events[0].stream,
            first=parent.seq + 1,
            n=len(events),
            prev=parent.hash,
            last=last.hash,
            sent=NOW_MS,
            clk=Clk("trusted", 5, NOW_MS),
            events=tuple(msgspec.Raw(e.data) for e in events),
        )
        return wire.sign(msgspec.structs.replace(batch, **changes), self.key.sign)

    def send(self, batch: Batch, *, store: str = "x") -> None:
        self.throw(self.topics.up(store, "journal"), msgspec.json.encode(batch))

    def hello(self, *heads: Cursor, cursors: tuple[Cursor, ...] = (), **changes: Any) -> None:
        hello = Hello(
            node="x", sess="5" * 16, epoch=EPOCH, heads=heads, cursors=cursors, now=NOW_MS
        )
        signed = wire.sign(msgspec.structs.replace(hello, **changes), self.key.sign)
        self.throw(self.topics.up("x", "state"), msgspec.json.encode(signed))

    def ack(self, sess: str, *cursors: Cursor) -> None:
        signed = wire.sign(Ack(node="x", sess=sess, now=NOW_MS, cursors=cursors), self.key.sign)
        self.throw(self.topics.up("x", "ack"), msgspec.json.encode(signed))

    def beat(self, **changes: Any) -> None:
        values = {
            "p": 1,
            "node": "x",
            "sess": "s",
            "now": NOW_MS,
            "head": 1,
            "acked": 1,
            "clk": {"state": "trusted", "u_ms": 5, "at_ms": NOW_MS},
            **changes,
        }
        self.throw(self.topics.up("x", "hb"), msgspec.json.encode(values))


class House:
    """Broker, head office, shops `a` and `b`, and the rogue with the key of `x`."""

    def __init__(
        self,
        folder: Path,
        broker: Server,
        *,
        clock: Clock | None = None,
        clocks: dict[str, Clock] | None = None,
        tls: bool = False,
    ) -> None:
        self.folder, self.broker, self.tls = folder, broker, tls
        self.clock = clock or FixedClock(NOW_MS)
        self.clocks = clocks or {}  # of nodes that have one of their own
        self.topics = Topics("bakery")
        (folder / "hq").mkdir(exist_ok=True)
        settings = OfficeSettings(
            chain="bakery",
            name=Names(zh="小麦", en="Wheat"),
            data_dir=folder / "hq",
            database_url=sqlite_url(folder / "hq"),
            https=Https(port=8743),
            mqtt=Mqtt(port=broker.port, tls=tls),
        )
        make_key(settings.key_path)
        self.office = compose_office(settings, clock=self.clocks.get("central", self.clock))
        for store in ("a", "b", "x"):
            shop = Store(
                store=store,
                name_zh=store,
                name_en=store,
                zone="east",
                group="town",
                tz="Asia/Shanghai",
            )
            self.office.stores.add_store(shop, by="ann")
        self.shops: dict[str, Shop] = {s: self.build(s) for s in ("a", "b")}
        for store, shop in self.shops.items():
            self._accept(store, shop.key)
        key = make_key(folder / "x.key")
        self._accept("x", key)
        context = None
        if tls:
            for store in ("a", "b"):
                self.certify(store)
            context = self.context_of_x()
        self.rogue = Rogue(broker, self.topics, key, tls=context)
        self._said = 0

    def _accept(self, store: str, key: NodeKey) -> None:
        line = f"tillmesh-node {store} ed25519 {key.public_hex}"
        self.office.stores.accept_node(line, by="ann")

    def certify(self, store: str) -> None:
        """Keys and a certificate for a shop, as `tillmesh-edge enrol` puts them there."""
        shop = self.shops[store]
        settings, tls = shop.settings, certificates.ec.generate_private_key(certificates.CURVE)
        asked = EnrolRequest(
            store=store,
            token=self.office.enrolment.invite(store, by="ann").token,
            csr=certificates.make_csr(tls, store),
            public_key=shop.key.public_hex,
        )
        asked = msgspec.structs.replace(asked, sig=shop.key.sign(asked.signed_part()))
        answer = self.office.enrolment.enrol(asked, address="here")
        certificates.keep(settings.authority_path, answer.authority.encode())
        pair = certificates.key_pem(tls) + answer.certificate.encode()
        certificates.keep(settings.pair_path, pair)

    def context_of_x(self) -> ssl.SSLContext:
        """What the rogue connects with: x's own certificate."""
        assert isinstance(self.broker, MtlsServer)
        return self.broker.issue("x")()

    def build(self, store: str) -> Shop:
        folder = self.folder / store
        folder.mkdir(exist_ok=True)
        settings = settings_for(
            folder,
            store=store,
            chain="bakery",
            group="town",
            central_public_key=self.office.key.public_hex,
            mqtt=MqttSettings(port=self.broker.port, tls=self.tls),
        )
        clock = self.clocks.get(store, self.clock)
        return build(folder, clock=clock, settings=settings, empty=True)

    def start(self) -> None:
        self.office.start()
        for shop in self.shops.values():
            shop.start()
        for store, shop in self.shops.items():
            until(f"{store} is welcome", shop.syncing.welcomed.is_set)
            until(f"{store} has its shelf proven", lambda s=store: self.level(s))

    def stop(self) -> None:
        self.rogue.close()
        for shop in self.shops.values():
            shop.stop()
        self.office.stop()

    def level(self, store: str) -> bool:
        mine = head_of(self.shops[store].books, f"shop/{store}")
        return bool(mine.seq) and mine == head_of(self.office.books, f"shop/{store}")

    def say(self, store: str, *bodies: Event) -> Position:
        """Something happens in a shop."""
        node = self.shops[store].node
        drafts = []
        for body in bodies or (received(str(self._said)),):
            self._said += 1
            drafts.append(node.draft(body, event=f"said-{store}-{self._said}"))
        with node.books.begin() as tx:
            node.books.record(tx, {node.stream: drafts})
        return head_of(node.books, node.stream)

    def flows(self, seconds: float = 60.0) -> None:
        """News of both shops reaches head office, and head office's news reaches them.

        How fast is shown by `make bench`: a test on a busy machine only asks whether.
        """
        for store in self.shops:
            want = self.say(store)
            stream = f"shop/{store}"
            until(
                f"{store}'s news at head office",
                lambda s=stream, w=want: head_of(self.office.books, s).seq >= w.seq,
                seconds,
            )
        self._said += 1
        self.office.catalogue.define_group(f"g{self._said}", zh="组", en="group", by="ann")
        want = head_of(self.office.books, "all")
        for store, shop in self.shops.items():
            until(
                f"head office's news at {store}",
                lambda b=shop.books, w=want: head_of(b, "all") == w,
                seconds,
            )

    def quiet(self, *, most: float = 8.0, seconds: float = 6.0) -> None:
        """Nobody talks in a loop."""
        end = time.monotonic() + seconds
        while (rate := self.rogue.messages_a_second()) > most:
            assert time.monotonic() < end, f"{rate:g} messages a second: {self.rogue.seen}"

    def faults(self) -> list[str]:
        """What the replication threads stumbled over."""
        nodes = {"hq": self.office.syncing, **{s: x.syncing for s, x in self.shops.items()}}
        return [f"{n}: {s.replicator.fault}" for n, s in nodes.items() if s.replicator.fault]


@contextmanager
def house(folder: Path, before: Callable[[House], None] = lambda _: None) -> Iterator[House]:
    """A running house; `before` acts while nothing runs yet."""
    with mosquitto_server() as broker:
        made = House(folder, broker)
        try:
            before(made)
            made.start()
            yield made
        finally:
            made.stop()
