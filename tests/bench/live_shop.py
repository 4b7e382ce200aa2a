"""A shop with a real journal and a real connection, in a process of its own.

    python -m tests.bench.live_shop '{"store":..., "folder":..., "port":..., "pair":..., ...}'

Says `ready` when it is connected; then one line in, one line out:
`sell RATE SECONDS` -> [[seq, committed at], ...]   `seen` -> [[at, store, upto], ...] of neighbours
Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import json
import sys
import time
from pathlib import Path

import msgspec

from edge import neighbours
from protocol import wire
from protocol.clock import ClockState, Reading
from protocol.codec import Draft
from protocol.node import logs
from protocol.node.certificates import client_context
from protocol.node.mqttlink import Broker, Message
from protocol.topics import Topic
from protocol.wire import StockFigures
from tests.bench.journal_bench import sale
from tests.wired import WiredShop


class Place(msgspec.Struct):
    """Where the shop lives and whom it calls."""

    store: str
    folder: str
    port: int
    central_key: str
    pair: str = ""
    authority: str = ""


class LiveShop(WiredShop):
    """Sells at a rate, and notes when it hears of its neighbours."""

    def __init__(self, place: Place) -> None:
        tls = None
        if place.pair:
            tls = lambda: client_context(Path(place.authority), Path(place.pair))  # noqa: E731
        broker = Broker("127.0.0.1", place.port, client_id=place.store, tls=tls)
        super().__init__(place.store, Path(place.folder), broker, place.central_key)
        engine = self.books.database.write
        neighbours.neighbour.create(engine)
        neighbours.neighbour_stock.create(engine)
        side = self.wire.side
        self.wire.side = msgspec.structs.replace(side, hears=lambda t: t.leaf != "clock")
        self.wire.on_message = self._hear
        self.seen: list[tuple[float, str, int]] = []

    def _hear(self, topic: Topic, message: Message) -> None:
        figures = wire.decode(StockFigures, message.payload)
        if figures.store != self.store:
            with self.books.database.begin() as tx:
                neighbours.take(tx, figures)
            self.seen.append((time.monotonic(), figures.store, figures.upto))

    def one_sale(self) -> tuple[int, float]:
        self.count += 1
        at = Reading(1_795_000_000_000, 5, ClockState.TRUSTED)
        draft = Draft(id=f"{self.store}-{self.count}", body=sale(self.count, self.store), at=at)
        with self.books.begin() as tx:
            seq = self.books.record(tx, {self.stream: [draft]})[-1].envelope.seq
        return seq, time.monotonic()

    def run(self, rate: float, seconds: float) -> list[tuple[int, float]]:
        start, sold = time.monotonic(), []
        for n in range(int(rate * seconds)):
            time.sleep(max(0.0, start + n / rate - time.monotonic()))
            sold.append(self.one_sale())
        return sold


def main() -> None:
    logs.set_up(sys.stderr)
    shop = LiveShop(msgspec.json.decode(sys.argv[1], type=Place))
    shop.one_sale()
    shop.wire.start()
    while not any(sender.acked.seq for _, _, sender in shop.wire.sending.senders()):
        time.sleep(0.05)
    print("ready", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        answer = shop.run(*map(float, rest)) if word == "sell" else shop.seen
        print(json.dumps(answer), flush=True)
    shop.close()


if __name__ == "__main__":
    main()
