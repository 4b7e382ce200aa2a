"""The real replicator of `protocol.node` in virtual time: its thread's turns are called one by one.

Everything of it runs (inbox, refusals, sending, giving back, Ed25519) but the thread, paho and the
wall clock: the link is the world's broker, and `time.monotonic` is the world's time.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from protocol.codec import Draft
from protocol.errors import Unavailable
from protocol.events import Event
from protocol.ids import CENTRAL, shop_stream, to_stream
from protocol.journal import ORIGIN, Position, Stored
from protocol.node.mqttlink import Broker, Message
from protocol.node.replicator import Replicator, Side
from protocol.node.signing import NodeKey
from protocol.node.sqljournal import Recorded
from tests.powercuts.disk import apsw_engines
from tests.simulation.business import forwarded
from tests.simulation.clocks import SimClock
from tests.simulation.nodes import TOPICS
from tests.simulation.sqlstores import SqlStore
from tests.simulation.stores import Crash
from tests.simulation.words import SHOPS, SQL_EVERY
from tests.simulation.world import Report, World, run


def key_of(node: str) -> NodeKey:
    """One and the same key for a name, in every run."""
    return NodeKey(Ed25519PrivateKey.from_private_bytes(node.encode().ljust(32, b".")))


KEYS = {name: key_of(name) for name in [CENTRAL, *SHOPS]}


@contextmanager
def virtual_time(now_ms: Callable[[], int], random_hex: Callable[[int], str]) -> Iterator[None]:
    """`protocol.node` asks the world for the time, and for chance."""
    time = SimpleNamespace(
        monotonic=lambda: 1_000 + now_ms() / 1_000,
        monotonic_ns=lambda: (1_000_000 + now_ms()) * 1_000_000,
    )
    with ExitStack() as patches:
        for module in ("refusing", "replicator", "sending", "witnessing"):
            patches.enter_context(patch(f"protocol.node.{module}.time", time))
        patches.enter_context(patch("protocol.node.replicator.random_hex", random_hex))
        yield


class _Link:
    """In place of `MqttLink`: hands over to the world's broker."""

    fault = ""
    denied = False
    cloned = False

    def __init__(self, send: Callable[[str, bytes, bool], bool]) -> None:
        self.up = False
        self.broken = False
        self._send = send

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        return self.up and self._send(topic, payload, retain)

    def renew(self) -> None:
        self.broken = True


def _side(name: str) -> Side:
    """As `central.syncing` and `edge.syncing` say who is who."""
    if name == CENTRAL:
        return Side(
            node=CENTRAL,
            topics=TOPICS,
            subscriptions=[],
            state_topic=TOPICS.all("state"),
            hello_topic=lambda peer: TOPICS.dn(peer, "state"),
            batch_topic=lambda peer: TOPICS.dn(peer, "journal"),
            ack_topic=lambda peer: TOPICS.dn(peer, "ack"),
            sources_for=lambda peer: [("all", True), ("zone/z", True), (to_stream(peer), False)],
            accepts=lambda peer, stream: stream == shop_stream(peer),
            key_of=lambda peer: KEYS[peer].public_hex,
            peer_of=lambda topic: topic.name,
            hears=lambda topic: topic.branch == "up",
            writes=list,
            follows=list,
            tick_s=0.0,
            returns_own=True,
        )
    own = shop_stream(name)
    follows = ("all", "zone/z", to_stream(name))
    return Side(
        node=name,
        topics=TOPICS,
        subscriptions=[],
        state_topic=TOPICS.up(name, "state"),
        batch_topic=lambda _: TOPICS.up(name, "journal"),
        ack_topic=lambda _: TOPICS.up(name, "ack"),
        sources_for=lambda _: [(own, False)],
        accepts=lambda _, stream: stream in (*follows, own),
        key_of=lambda _: KEYS[CENTRAL].public_hex,
        peer_of=lambda _: CENTRAL,
        hears=lambda topic: topic.branch != "up",
        writes=lambda: [own],
        follows=lambda: follows,
        tick_s=0.0,
    )


class RealNode:
    """What the world asks of a node, answered by a `Replicator` over real books."""

    def __init__(
        self,
        name: str,
        store: SqlStore,
        *,
        clock: SimClock,
        send: Callable[[str, bytes, bool], bool],
        random_hex: Callable[[], str],
        shops: Sequence[str],
    ) -> None:
        self.name = name
        self.store = store
        self.clock = clock
        self.central = name == CENTRAL
        self.refusals: list[tuple[str, bytes]] = []
        self.pruned = 0
        self.on_kept: Callable[[Any, Sequence[Stored]], None] = lambda *_: None
        self.crash_in_keep: Callable[[], str] = lambda: ""
        self._send = send
        self._kept: list[Stored] = []
        self.forget()

    def forget(self) -> None:
        """A new process over the same disk."""
        self.inbox: list[tuple[str, bytes]] = []
        self.replicator = Replicator(
            _side(self.name),
            Broker("", 0, self.name),
            books=self.store.books,
            key=KEYS[self.name],
            clock=self.clock,
            react=self._react if self.central else None,
        )
        self.replicator.link = _Link(self._send)  # type: ignore[assignment]
        self.replicator.on_kept = lambda recorded: self._kept.extend(r.stored for r in recorded)
        refuse = self.replicator.refuse

        def noted(topic: str, payload: bytes, fault: Any) -> None:
            self.refusals.append((str(fault), payload))
            refuse(topic, payload, fault)

        self.replicator.refuse = noted  # type: ignore[method-assign]

    # -- the link ---------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        return self.replicator.link.up

    def linked(self, now_ms: int) -> None:
        self._will = self.replicator._will()  # with a new session, as paho asks at every connection
        self.replicator.link.up = True
        self.replicator._inbox.tell("up")

    def unlinked(self) -> None:
        self.replicator.link.up = False
        self.replicator._inbox.tell("down")

    def hello(self, *, alive: bool) -> tuple[str, bytes]:
        """The will, that the broker has had since the connection came up."""
        assert not alive
        return self._will

    # -- turns ------------------------------------------------------------------------------

    def turn(self, now_ms: int) -> None:
        if self.crash_in_keep():
            self.store.disk.cut_after = self.store.disk.cut_after or 1 + now_ms % 40
        messages, self.inbox = self.inbox, []
        for topic, payload in messages:
            self.replicator._arrived(Message(topic, payload))
        if self.store.full:
            return  # the thread waits for the disk; what came is in its inbox
        try:
            self.replicator._turn()
        except (Unavailable, DBAPIError):
            if not self.store.disk.dead:
                raise
        if self.store.disk.dead:
            raise Crash
        kept, self._kept = self._kept, []
        if kept:
            self.on_kept(self, kept)

    def _react(self, tx: Connection, recorded: Sequence[Recorded]) -> None:
        """Head office forwards transfers, in the same transaction."""
        for event in recorded:
            for stream, body, id_ in forwarded(event.envelope, event.body):
                self.store.books.record(tx, {stream: [self.draft(id_, body)]})

    def draft(self, id_: str, body: Event) -> Draft:
        """An event at this node's time."""
        return Draft(id=id_, body=body, at=self.clock.read())

    # -- for whoever looks on ---------------------------------------------------------------

    def acked(self) -> Position:
        own = shop_stream(self.name)
        for peer, source, sender in self.replicator.sending.senders():
            if (peer, source.stream) == (CENTRAL, own):
                return sender.acked
        return ORIGIN

    def stops(self) -> set[str]:
        return {sender.stopped for *_, sender in self.replicator.sending.senders()} - {""}


class RealWorld(World):
    """A `World` of real nodes, whose branches come back after a fork."""

    gives_branches_back = True

    def __init__(self, seed: int) -> None:
        super().__init__(seed, make_node=RealNode)  # type: ignore[arg-type]

    def new_store(self, name: str) -> SqlStore:  # type: ignore[override]
        return SqlStore(name, self.hex16(), self.folder, self.rng)


def run_real(seed: int) -> Report:
    """One seed on real nodes."""
    world: list[RealWorld] = []
    chance = random.Random(seed)
    hexes = lambda digits: f"{chance.getrandbits(4 * digits):0{digits}x}"  # noqa: E731
    with apsw_engines(), virtual_time(lambda: world[0].now_ms if world else 0, hexes):
        world.append(RealWorld(seed))
        try:
            world[0].run()
            return Report(world[0])  # type: ignore[arg-type]
        finally:
            world[0].close()


def course(seed: int) -> Report:
    """Every twentieth seed runs real nodes on SQLite over a disk whose power is cut."""
    return run_real(seed) if seed % SQL_EVERY == 0 else run(seed)
