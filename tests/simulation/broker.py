"""The virtual broker: drops, doubles, delays, forgets, is cut off one way, and carries poison."""

from collections import Counter

import msgspec

from protocol import wire
from protocol.clock import ClockState, Reading
from protocol.codec import Draft, encode
from protocol.errors import Corrupt
from protocol.ids import CENTRAL
from protocol.journal import chain
from protocol.wire import Batch
from tests.builders import received
from tests.simulation.nodes import TOPICS, sign_as
from tests.simulation.words import SHOPS, Wrong

STORM = 600  # messages in ten seconds on one topic; the busiest honest one has 150
POISONS = ("noise", "cut off", "altered", "on another's topic", "replayed", "forged")


def _forged(payload: bytes) -> bytes:
    """What would follow this batch, in its writer's name but without its key."""
    try:
        batch = wire.decode(Batch, payload)
    except Corrupt:
        return payload[:-1]
    seq = batch.first + batch.n
    at = Reading(1, 0, ClockState.TRUSTED)
    draft = Draft(id=f"forged-{seq}", body=received(f"forged-{seq}"), at=at)
    data = encode(draft, stream=batch.stream, epoch=batch.epoch, seq=seq)
    last = chain(batch.last, data)
    forged = msgspec.structs.replace(
        batch, first=seq, n=1, prev=batch.last, last=last, events=(msgspec.Raw(data),)
    )
    return wire.encode(wire.sign(forged, sign_as("rogue")))


class Broker:
    """The part of a `World` between the nodes."""

    def __init__(self) -> None:
        self.poison: set[bytes] = set()  # payloads that nobody honest sent
        self.traffic: Counter[tuple[int, str]] = Counter()  # per ten seconds and topic
        self._retained: dict[str, bytes] = {}
        self._cut: dict[str, str] = {}  # node -> up, down or both: what is lost
        self._link: dict[str, int] = {}  # node -> number of its connection
        self._seen: list[tuple[str, str, bytes]] = []  # lately, for a rogue's replays

    def hearers(self, topic: str) -> list[str]:
        parsed = TOPICS.parse(topic)
        assert parsed is not None
        if parsed.branch == "up":
            return [CENTRAL]
        return [parsed.name] if parsed.branch == "dn" else SHOPS

    def send(self, sender: str, topic: str, payload: bytes, *, retain: bool) -> bool:
        """What a node publishes; True when its side of the connection took it."""
        if self._cut.get(sender) in {"up", "both"}:
            self.fault("lost in partition")
            return True  # a half-open link looks alive
        self.traffic[self.now_ms // 10_000, topic] += 1
        if self.traffic[self.now_ms // 10_000, topic] > STORM:
            raise Wrong(f"seed {self.seed}: a storm on {topic}")
        if retain:
            self._retained[topic] = payload
        for hearer in self.hearers(topic):
            link = self._link.get(hearer, 0)
            if not retain and self.chance(0.05, "net"):
                self.fault("dropped")
                continue
            self.deliver(hearer, topic, payload, link)
            if not retain and self.chance(0.05, "net"):
                self.fault("doubled")
                self.deliver(hearer, topic, payload, link)
            if self.chance(0.01, "poison"):
                self._poisoned(hearer, topic, payload)
        return True

    def _poisoned(self, hearer: str, topic: str, payload: bytes) -> None:
        """A rogue, or a bad cable, has touched a message."""
        how = self.rng.choice(POISONS)
        bad = bytearray(payload)
        if how == "forged":
            bad = bytearray(_forged(payload))
        elif how == "noise":
            bad = bytearray(self.rng.randbytes(self.rng.randint(0, 80)))
        elif how == "cut off":
            del bad[self.rng.randrange(len(bad)) :]
        elif how == "altered":
            bad[self.rng.randrange(len(bad))] ^= 1 << self.rng.randrange(8)
        elif how == "replayed":
            if self._seen:
                hearer, topic, payload = self.rng.choice(self._seen)
            bad = bytearray(payload)
        else:
            bad = bytearray(payload)
            others = [s for s in SHOPS if f"/{s}/" not in topic]
            parsed = TOPICS.parse(topic)
            assert parsed is not None
            if parsed.branch == "up":
                topic = TOPICS.up(self.rng.choice(others), parsed.leaf)
            elif parsed.branch == "dn":
                hearer = self.rng.choice(others)
                topic = TOPICS.dn(hearer, parsed.leaf)
        self.fault(f"poison: {how}")
        self.poison.add(bytes(bad))
        self._seen = [*self._seen[-20:], (hearer, topic, payload)]
        self.deliver(hearer, topic, bytes(bad), self._link.get(hearer, 0))

    def deliver(self, hearer: str, topic: str, payload: bytes, link: int) -> None:
        delay_ms = self.rng.uniform(1, 40)
        if self.chance(0.03, "net"):
            self.fault("delayed and overtaken")
            delay_ms = self.rng.uniform(100, 30_000)

        def arrive() -> None:
            node = self.nodes[hearer]
            if not node.up or hearer in self.off:
                return
            if self._link.get(hearer) != link and self.rng.random() < 0.8:
                return  # of an older connection; sometimes a broker delivers it all the same
            if self._cut.get(hearer) in {"down", "both"}:
                self.fault("lost in partition")
                return
            node.inbox.append((topic, payload))
            self.at(self.rng.uniform(1, 15), lambda: self.turn(hearer))

        self.at(delay_ms, arrive)

    def connect(self, name: str) -> None:
        """A link comes up: a new session, and what the broker retained."""
        if name in self.off or self.nodes[name].up:
            return
        node = self.nodes[name]
        node.session = self.hex16()
        self._link[name] = self._link.get(name, 0) + 1
        node.linked(self.now_ms)
        self.linked(name)
        for topic, payload in self._retained.items():
            if name in self.hearers(topic):
                self.deliver(name, topic, payload, self._link[name])

    def disconnect(self, name: str, *, will: bool = True) -> None:
        """The broker notices and publishes the will; the node notices too."""
        node = self.nodes[name]
        if not node.up:
            return
        topic, payload = node.hello(alive=False)
        node.unlinked()
        if will:
            self._retained[topic] = payload
            for hearer in self.hearers(topic):
                self.deliver(hearer, topic, payload, self._link.get(hearer, 0))

    def broker_restarts(self) -> None:
        self.node_fault("broker restarts and forgets")
        for name in [CENTRAL, *SHOPS]:
            self.disconnect(name, will=False)
            self._link[name] = self._link.get(name, 0) + 1
            self.at(self.rng.uniform(200, 8_000), lambda name=name: self.connect(name))
        self._retained.clear()
