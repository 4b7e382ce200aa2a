"""A shop with its own journal and its own connection, without the rest of an edge."""

import time
from collections.abc import Callable
from pathlib import Path

from central.compose import HeadOffice
from central.stores import Store
from protocol.ids import ALL, CENTRAL, shop_stream, to_stream, zone_stream
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.mqttlink import Broker
from protocol.node.replicator import Replicator, Side
from protocol.node.signing import NodeKey, make_key
from protocol.node.sqljournal import SqlRecords, read_line
from protocol.topics import Topics
from tests.builders import StillClock, books_at, draft, received, sale

PATIENCE_S = 90.0
CHAIN = "chain"


def eventually(met: Callable[[], object]) -> None:
    """Wait for a condition, generously."""
    until = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


class WiredShop:
    """A shop with its own journal and its own connection, without the rest of an edge."""

    def __init__(self, store: str, folder: Path, broker: Broker, central_key: str) -> None:
        self.store, self.stream = store, shop_stream(store)
        self.key: NodeKey = make_key(folder / f"{store}.key")
        self.books = books_at(Database(f"sqlite:///{folder}/{store}.db"), store, f"{store:a<16}")
        self.count = 0
        self._broker = broker
        topics = Topics(CHAIN)
        self._side = Side(
            node=store,
            topics=topics,
            subscriptions=topics.for_store(store, "z", "g"),
            state_topic=topics.up(store, "state"),
            batch_topic=lambda _: topics.up(store, "journal"),
            ack_topic=lambda _: topics.up(store, "ack"),
            sources_for=lambda _: [(self.stream, False)],
            accepts=lambda *_: True,
            key_of=lambda _: central_key,
            peer_of=lambda _: CENTRAL,
            writes=lambda: [self.stream],
            follows=lambda: [ALL, zone_stream("z"), to_stream(store)],
            hears=lambda topic: topic.branch != "grp" and topic.leaf != "clock",
        )
        self.wire = self._wired()

    def _wired(self) -> Replicator:
        return Replicator(
            self._side, self._broker, books=self.books, key=self.key, clock=StillClock()
        )

    def rewire(self, key: NodeKey) -> None:
        """The same books, with a new key."""
        self.wire.stop()
        self.key = key
        self.wire = self._wired()
        self.wire.start()

    def sell(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            name = f"{self.store}-{self.count}"
            body = sale(name) if self.count % 3 else received(name)
            with self.books.begin() as tx:
                self.books.record(tx, {self.stream: [draft(body, name)]})

    def line(self, books: Books | None = None) -> list[bytes]:
        with (books or self.books).database.reading() as c:
            return [s.data for s in read_line(c, self.stream, 0, limit=10_000)]

    def level(self, office: HeadOffice) -> bool:
        """Is all that it said there, and all that is said to everybody here?"""
        if self.line(office.books) != self.line():
            return False
        with office.books.database.reading() as c:
            head = SqlRecords(c).head(ALL)
        with self.books.database.reading() as c:
            return SqlRecords(c).head(ALL) == head

    def close(self) -> None:
        self.wire.stop()
        self.books.database.close()


def enrol(office: HeadOffice, shops: list[WiredShop]) -> None:
    """Head office knows these shops and their keys."""
    for shop in shops:
        row = Store(store=shop.store, name_zh="店", name_en="S", zone="z", group="g", tz="UTC")
        office.stores.add_store(row, by="t")
        line = f"tillmesh-node {shop.store} ed25519 {shop.key.public_hex}"
        office.stores.accept_node(line, by="t")
