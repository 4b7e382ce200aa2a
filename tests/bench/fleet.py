"""Many shops in one process: real chains, real signatures, real batches, without their databases.

They greet, keep a window of batches under way each and wait for head office's acknowledgement, as
`protocol.replication` demands of a shop.

    python -m tests.bench.fleet PORT NAMES_FILE EVENTS [CHAIN PAIR AUTHORITY]    prints events/s
"""

import queue
import sys
import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import wire
from protocol.clock import ClockState, Reading
from protocol.codec import Draft, encode
from protocol.events import EpochStarted
from protocol.journal import ORIGIN, Position, Stored, chain
from protocol.node import logs
from protocol.node.certificates import client_context
from protocol.node.mqttlink import Broker, Message, MqttLink
from protocol.node.signing import NodeKey
from protocol.replication import WINDOW_BATCHES, cut, window_after
from protocol.topics import Topics
from protocol.wire import Ack, Batch, Clk, Cursor, Hello
from tests.bench.journal_bench import sale

CHAIN = "bench"
EPOCH = "b" * 16
AT_MS = 1_795_000_000_000
SETTLE_S = 180.0


class ShopAtSea(msgspec.Struct):
    """One simulated shop: its batches, how many left, how many are acknowledged."""

    store: str
    key: NodeKey
    batches: list[Batch]
    head: Position
    sent: int = 0
    acked: int = 0  # batches
    window: int = WINDOW_BATCHES
    credit: int = 400  # events
    sent_ms: list[float] = []
    welcomed: bool = False

    def may_send(self) -> bool:
        """Within the window and the credit; one batch always."""
        flying = self.batches[self.acked : self.sent]
        return len(flying) < self.window and sum(b.n for b in flying) < self.credit


def key_of(store: str) -> NodeKey:
    """The same key in every process of a run, so that nothing needs to be handed over."""
    return NodeKey(Ed25519PrivateKey.from_private_bytes(store.encode().ljust(32, b"#")))


def events_of(store: str, count: int) -> list[Stored]:
    stream, at = f"shop/{store}", Reading(AT_MS, 5, ClockState.TRUSTED)
    head = ORIGIN
    stored = []
    for n in range(count):
        body = (
            EpochStarted(node=store, parent_epoch="", parent_seq=0, parent_hash=ORIGIN.hash)
            if n == 0
            else sale(n, store)
        )
        draft = Draft(id=f"{store}-{n}", body=body, at=at, actor="li", till="1")
        data = encode(draft, stream=stream, epoch=EPOCH, seq=n + 1)
        head = Position(EPOCH, n + 1, chain(head.hash, data))
        stored.append(Stored(stream, head, data))
    return stored


def batch_of(store: str, key: NodeKey, before: Position, events: tuple[Stored, ...]) -> Batch:
    last = events[-1].position
    return wire.sign(
        Batch(
            node=store,
            epoch=EPOCH,
            stream=f"shop/{store}",
            first=before.seq + 1,
            n=len(events),
            prev=before.hash,
            last=last.hash,
            sent=AT_MS,
            clk=Clk("trusted", 5, AT_MS),
            events=tuple(msgspec.Raw(e.data) for e in events),
        ),
        key.sign,
    )


def shop(store: str, count: int) -> ShopAtSea:
    key = key_of(store)
    left = events_of(store, count)
    head = left[-1].position
    before, batches = ORIGIN, []
    while left:
        part = cut(left, events_max=wire.BATCH_EVENTS_MAX, bytes_max=wire.BATCH_BYTES_MAX)
        batches.append(batch_of(store, key, before, part))
        before, left = part[-1].position, left[len(part) :]
    return ShopAtSea(store, key, batches, head)


def greeting(one: ShopAtSea, topics: Topics) -> tuple[str, bytes]:
    at = one.head
    hello = Hello(
        node=one.store,
        sess=f"{one.store:0>16}"[:16],
        epoch=EPOCH,
        heads=(Cursor(stream=f"shop/{one.store}", epoch=at.epoch, upto=at.seq, hash=at.hash),),
        cursors=(),
        now=AT_MS,
    )
    return topics.up(one.store, "state"), wire.encode(wire.sign(hello, one.key.sign))


class Fleet:
    """Drives the shops over one connection; single thread."""

    def __init__(
        self, broker: Broker, shops: list[ShopAtSea], *, chain: str = CHAIN, own: str = "+"
    ) -> None:
        self.topics = Topics(chain)
        self.shops = {one.store: one for one in shops}
        self._arrived: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._link = MqttLink(
            broker,
            [f"pos/1/{chain}/dn/{own}/ack"],
            on_message=self._arrived.put,
            on_up=lambda: self._arrived.put(None),
            on_down=lambda reason: None,
        )

    def _pump(self, one: ShopAtSea) -> None:
        while one.sent < len(one.batches) and one.may_send():
            data = wire.encode(one.batches[one.sent])
            assert self._link.publish(self.topics.up(one.store, "journal"), data)
            one.sent += 1
            one.sent_ms.append(time.monotonic() * 1000)

    def _take(self, message: Message) -> None:
        topic = self.topics.parse(message.topic)
        assert topic is not None
        one = self.shops[topic.name]
        for cursor in wire.decode(Ack, message.payload).cursors:
            assert cursor.status in {"welcome", "ok"}, cursor
            one.welcomed = True
            done = [n for n, b in enumerate(one.batches, 1) if b.last == cursor.hash]
            for n in range(one.acked, max([one.acked, *done])):
                one.window = window_after(one.window, time.monotonic() * 1000 - one.sent_ms[n])
            one.acked = max([one.acked, *done])
            one.credit = cursor.credit
        self._pump(one)

    def run(self) -> float:
        """Seconds from the first greeting to the last acknowledgement."""
        self._link.start()
        assert self._arrived.get(timeout=30) is None
        start = time.perf_counter()
        for one in self.shops.values():
            topic, data = greeting(one, self.topics)
            assert self._link.publish(topic, data)
        until = time.monotonic() + SETTLE_S
        while any(one.acked < len(one.batches) for one in self.shops.values()):
            message = self._arrived.get(timeout=max(0.1, until - time.monotonic()))
            if message is not None:
                self._take(message)
        seconds = time.perf_counter() - start
        self._link.stop()
        return seconds


def main() -> None:
    port, names, events = int(sys.argv[1]), Path(sys.argv[2]).read_text().split(), int(sys.argv[3])
    logs.set_up(sys.stderr)
    shops = [shop(name, events // len(names)) for name in names]
    if len(sys.argv) > 4:
        chain, pair, authority = sys.argv[4:]
        tls = lambda: client_context(Path(authority), Path(pair))  # noqa: E731
        broker = Broker("127.0.0.1", port, client_id=names[0], tls=tls)
        fleet = Fleet(broker, shops, chain=chain, own=names[0])
    else:
        fleet = Fleet(Broker("127.0.0.1", port, client_id="fleet"), shops)
    print("ready", flush=True)
    sys.stdin.readline()
    print(events / fleet.run(), flush=True)


if __name__ == "__main__":
    main()
