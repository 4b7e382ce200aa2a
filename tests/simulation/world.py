"""A whole chain in virtual time: broker, partitions, power cuts, old backups; one seed, one course.

    report = run(seed)          # raises Wrong with the seed in its words

Everything random comes from one `random.Random(seed)`. Till the calm phase faults happen; then all
heals, and everything that a till was told must stand at head office, once and in order.
"""

import heapq
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.codec import body_of, decode
from protocol.events import TransferForwarded
from protocol.ids import CENTRAL, shop_stream
from protocol.journal import ORIGIN, Stored
from tests.simulation.business import arrival, head_office_event, shop_event
from tests.simulation.judging import SHOPS, Judge, Wrong
from tests.simulation.nodes import TOPICS, Node, draft
from tests.simulation.stores import Crash, ListStore, SqlStore, Store

STORMY_MS = 240_000
CALM_MS = 400_000
TURN_MS = 250
STORM = 600  # messages in ten seconds on one topic; the busiest honest one has 150


class World(Judge):
    """One run. `make_node` and `make_store` are where a mutant comes in."""

    def __init__(
        self,
        seed: int,
        *,
        real_sql: bool = False,
        make_node: type[Node] = Node,
        make_store: type[ListStore] = ListStore,
        keeps_epoch: bool = False,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.calm = False
        self.faults: Counter[str] = Counter()
        self.told: dict[str, list[str]] = {s: [] for s in SHOPS}
        self.perhaps: set[str] = set()  # on a disk that was set back, or never confirmed
        self.forked: set[str] = set()  # streams that were set back
        self.kinds = {
            k: self.rng.choice([0.2, 1, 3]) for k in ("net", "cut", "down", "kill", "restore")
        }
        self._make_node = make_node
        self._keeps_epoch = keeps_epoch
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._n = 0
        self._folder = tempfile.TemporaryDirectory(prefix="tillmesh-sim-") if real_sql else None
        self._promised: dict[str, str] = {}  # shop -> the hash that was acknowledged last
        self._traffic: Counter[tuple[int, str]] = Counter()  # per ten seconds and topic
        self._retained: dict[str, bytes] = {}
        self._cut: dict[str, str] = {}  # node -> up, down or both: what is lost
        self._link: dict[str, int] = {}  # node -> number of its connection
        self._off: set[str] = set()  # without power
        self._hasty: set[str] = set()
        self._waits: set[str] = set()  # restored, asks before it acts
        self._backups: dict[str, object] = {}
        self.nodes: dict[str, Node] = {}
        for name in [CENTRAL, *SHOPS]:
            store: Store = (
                SqlStore(name, self.hex16(), Path(self._folder.name))
                if self._folder
                else make_store(name, self.hex16())
            )
            self._boot(name, store)

    # -- time and chance --------------------------------------------------------------------

    def hex16(self) -> str:
        return f"{self.rng.getrandbits(64):016x}"

    def at(self, delay_ms: float, act: Callable[[], None]) -> None:
        self._n += 1
        heapq.heappush(self._heap, (self.now_ms + max(1, int(delay_ms)), self._n, act))

    def chance(self, p: float, kind: str) -> bool:
        return not self.calm and self.rng.random() < p * self.kinds[kind]

    def fault(self, kind: str) -> None:
        self.faults[kind] += 1

    # -- nodes ------------------------------------------------------------------------------

    def _boot(self, name: str, store: Store) -> None:
        node = self._make_node(
            name,
            store,
            send=lambda topic, payload, retain: self._send(name, topic, payload, retain=retain),
            random_hex=self.hex16,
            shops=SHOPS,
        )
        node.on_kept = self._noticed
        node.crash_in_keep = lambda: self._crash_in_keep(name)
        self.nodes[name] = node

    def _crash_in_keep(self, name: str) -> str:
        if not self.chance(0.004, "kill"):
            return ""
        self.fault("power cut while keeping")
        return self.rng.choice(["before", "after"])

    def _turn(self, name: str) -> None:
        if name in self._off:
            return
        try:
            self.nodes[name].turn(self.now_ms)
        except Crash:
            self._power_off(name)
            return
        if name != CENTRAL:
            self._check_promise(name)

    def _check_promise(self, shop: str) -> None:
        """What head office acknowledged it holds, now and after any power cut."""
        source = self.nodes[shop].sources.get(shop_stream(shop))
        for sender in source.senders.values() if source else ():
            acked = sender.acked
            if acked != ORIGIN and self._promised.get(shop) != acked.hash:
                self._promised[shop] = acked.hash
        held = self.nodes[CENTRAL].store
        promised = self._promised.get(shop)
        if promised and held.find(shop_stream(shop), promised) is None:
            raise Wrong(f"seed {self.seed}: acknowledged to {shop}, and then lost")

    def _ticking(self, name: str) -> None:
        self._turn(name)
        self.at(TURN_MS, lambda: self._ticking(name))

    def connect(self, name: str) -> None:
        """A link comes up: a new session, and what the broker retained."""
        if name in self._off or self.nodes[name].up:
            return
        node = self.nodes[name]
        node.session = self.hex16()
        self._link[name] = self._link.get(name, 0) + 1
        node.linked(self.now_ms)
        if name in self._hasty:  # restored, and sells while its lost events are on their way
            self._hasty.discard(name)
            for _ in range(3):
                self.at(self.rng.uniform(1, 120), lambda: self._sells_once(name))
        for topic, payload in self._retained.items():
            if name in self._hearers(topic):
                self._deliver(name, topic, payload, self._link[name])

    def disconnect(self, name: str, *, will: bool = True) -> None:
        """The broker notices and publishes the will; the node notices too."""
        node = self.nodes[name]
        if not node.up:
            return
        topic, payload = node.hello(alive=False)
        node.unlinked()
        if will:
            self._retained[topic] = payload
            for hearer in self._hearers(topic):
                self._deliver(hearer, topic, payload, self._link.get(hearer, 0))

    def _power_off(self, name: str) -> None:
        self.disconnect(name, will=self.rng.random() < 0.8)
        self._off.add(name)
        epoch = self.hex16()
        node = self.nodes[name]
        keep = name == CENTRAL or self._keeps_epoch  # head office: one row, not per process
        node.store.power_cut(node.store.epoch if keep else epoch)
        node.forget()
        self.at(self.rng.uniform(500, 20_000), lambda: self._power_on(name))

    def _power_on(self, name: str) -> None:
        self._off.discard(name)
        latest_ms = 50 if name in self._hasty else 1_000
        self.at(self.rng.uniform(10, latest_ms), lambda: self.connect(name))

    # -- broker -----------------------------------------------------------------------------

    def _hearers(self, topic: str) -> list[str]:
        parsed = TOPICS.parse(topic)
        assert parsed is not None
        if parsed.branch == "up":
            return [CENTRAL]
        return [parsed.name] if parsed.branch == "dn" else SHOPS

    def _send(self, sender: str, topic: str, payload: bytes, *, retain: bool) -> bool:
        if self._cut.get(sender) in {"up", "both"}:
            self.fault("lost in partition")
            return True  # a half-open link looks alive
        self._traffic[self.now_ms // 10_000, topic] += 1
        if self._traffic[self.now_ms // 10_000, topic] > STORM:
            raise Wrong(f"seed {self.seed}: a storm on {topic}")
        if retain:
            self._retained[topic] = payload
        for hearer in self._hearers(topic):
            link = self._link.get(hearer, 0)
            if not retain and self.chance(0.05, "net"):
                self.fault("dropped")
                continue
            self._deliver(hearer, topic, payload, link)
            if not retain and self.chance(0.05, "net"):
                self.fault("doubled")
                self._deliver(hearer, topic, payload, link)
        return True

    def _deliver(self, hearer: str, topic: str, payload: bytes, link: int) -> None:
        delay_ms = self.rng.uniform(1, 40)
        if self.chance(0.03, "net"):
            self.fault("delayed and overtaken")
            delay_ms = self.rng.uniform(100, 30_000)

        def arrive() -> None:
            node = self.nodes[hearer]
            if not node.up or hearer in self._off:
                return
            if self._link.get(hearer) != link and self.rng.random() < 0.8:
                return  # of an older connection; sometimes a broker delivers it all the same
            if self._cut.get(hearer) in {"down", "both"}:
                self.fault("lost in partition")
                return
            node.inbox.append((topic, payload))
            self.at(self.rng.uniform(1, 15), lambda: self._turn(hearer))

        self.at(delay_ms, arrive)

    # -- faults -----------------------------------------------------------------------------

    def _weather(self) -> None:
        if self.calm:
            return
        name = self.rng.choice([CENTRAL, *SHOPS])
        shop = self.rng.choice(SHOPS)
        if self.chance(0.2, "cut"):
            self._partition(shop)
        if self.chance(0.08, "down"):
            self._broker_restarts()
        if self.chance(0.2, "kill") and name not in self._off:
            self.fault("power cut")
            self._power_off(name)
        if self.chance(0.2, "restore") and shop not in self._off:
            self._backups[shop] = self.nodes[shop].store.backup()
        if self.chance(0.08, "restore") and shop in self._backups and shop not in self._off:
            self._restore(shop)
        self.at(self.rng.uniform(3_000, 10_000), self._weather)

    def _partition(self, shop: str) -> None:
        how = self.rng.choice(["up", "down", "both"])
        self.fault(f"partition {how}")
        self._cut[shop] = how
        lasts_ms = self.rng.choice([2_000, 15_000, 60_000])

        def heal() -> None:
            self._cut.pop(shop, None)
            self.disconnect(shop)  # the keep-alive has noticed
            self.at(self.rng.uniform(100, 3_000), lambda: self.connect(shop))

        self.at(lasts_ms, heal)

    def _broker_restarts(self) -> None:
        self.fault("broker restarts and forgets")
        for name in [CENTRAL, *SHOPS]:
            self.disconnect(name, will=False)
            self._link[name] = self._link.get(name, 0) + 1
            self.at(self.rng.uniform(200, 8_000), lambda name=name: self.connect(name))
        self._retained.clear()

    def _restore(self, shop: str) -> None:
        """The disk died; an old backup goes in. What head office had not got yet is lost."""
        self.fault("old backup restored")
        node = self.nodes[shop]
        self.disconnect(shop)
        self.forked.add(shop_stream(shop))
        self.perhaps |= set(self.told[shop]) - self.at_central(shop)
        epoch = node.store.epoch if self._keeps_epoch else self.hex16()
        node.store.restore(self._backups[shop], epoch)  # type: ignore[arg-type]
        node.forget()
        self._off.add(shop)
        back_ms = self.rng.uniform(500, 5_000)
        self.at(back_ms, lambda: self._power_on(shop))
        if self.rng.random() < 0.5:
            self._waits.add(shop)
            return
        self.fault("acts before it asked")
        if self.rng.random() < 0.7:
            self._hasty.add(shop)
        else:
            self.at(back_ms + self.rng.uniform(1, 1_500), lambda: self._sells_once(shop))

    # -- business ---------------------------------------------------------------------------

    def at_central(self, shop: str) -> set[str]:
        events = self.nodes[CENTRAL].store.everything(shop_stream(shop))
        return {decode(e.data).id for e in events}

    def _asks_still(self, shop: str) -> bool:
        """A restored shop waits until it holds what head office has of its stream."""
        if shop in self._waits:
            stream, central = shop_stream(shop), self.nodes[CENTRAL].store
            theirs, mine = central.head(stream), self.nodes[shop].store
            head = mine.head(stream)
            lacks_it = head != ORIGIN and central.hash_at(stream, head.seq) != head.hash
            if theirs == ORIGIN or lacks_it or mine.find(stream, theirs.hash):
                self._waits.discard(shop)  # there is nothing that it could be given back
        return shop in self._waits

    def _sell(self, shop: str) -> None:
        if self.calm:
            return
        self._sells_once(shop)
        self.at(self.rng.expovariate(1 / 1_500), lambda: self._sell(shop))

    def _sells_once(self, shop: str) -> None:
        if not self.calm and shop not in self._off and not self._asks_still(shop):
            self._n += 1
            id_ = f"{shop}-{self._n}"
            self._record(shop, id_, shop_event(self.rng, shop, SHOPS, id_))

    def _record(self, shop: str, id_: str, body: object) -> None:
        store = self.nodes[shop].store
        cut_now = self.chance(0.004, "kill")
        try:
            with store.begin() as tx:
                tx.append(shop_stream(shop), [draft(id_, body)])  # type: ignore[arg-type]
                tx.fault_point(cut_now)
        except Crash:
            self.fault("power cut while selling")
            self._power_off(shop)
            return
        self.told[shop].append(id_)
        self._turn(shop)

    def _rule(self) -> None:
        if self.calm:
            return
        if CENTRAL not in self._off:
            for _ in range(self.rng.choice([1, 1, 1, 30])):
                self._n += 1
                stream, body = head_office_event(self.rng, SHOPS, f"h-{self._n}")
                with self.nodes[CENTRAL].store.begin() as tx:
                    tx.append(stream, [draft(f"h-{self._n}", body)])
            self._turn(CENTRAL)
        self.at(self.rng.expovariate(1 / 4_000), self._rule)

    def _noticed(self, node: Node, kept: Sequence[Stored]) -> None:
        """A shop sees goods coming, and takes them in some seconds later."""
        for event in kept:
            body = body_of(decode(event.data))
            if not node.central and isinstance(body, TransferForwarded):
                goods = arrival(body)
                self.at(
                    self.rng.uniform(2_000, 15_000),
                    lambda goods=goods: self._takes_in(node.name, goods),
                )

    def _takes_in(self, shop: str, goods: object) -> None:
        if shop in self._off or self._asks_still(shop):
            self.at(2_000, lambda: self._takes_in(shop, goods))
            return
        self._record(shop, goods.receipt, goods)  # type: ignore[attr-defined]

    # -- the run ----------------------------------------------------------------------------

    def _go_until(self, end_ms: int, done: Callable[[], bool] = lambda: False) -> bool:
        looked_ms = self.now_ms
        while self._heap and self._heap[0][0] <= end_ms:
            self.now_ms, _, act = heapq.heappop(self._heap)
            act()
            if self.now_ms - looked_ms >= 1_000:
                looked_ms = self.now_ms
                if done():
                    return True
        self.now_ms = end_ms
        return done()

    def run(self) -> None:
        """Storm, calm, judgement."""
        for name in self.nodes:
            self.at(self.rng.uniform(1, 500), lambda name=name: self.connect(name))
            self.at(self.rng.uniform(1, TURN_MS), lambda name=name: self._ticking(name))
        for shop in SHOPS:
            self.at(self.rng.uniform(1, 3_000), lambda shop=shop: self._sell(shop))
        self.at(self.rng.uniform(1, 3_000), self._rule)
        self.at(self.rng.uniform(1, 3_000), self._weather)
        self._go_until(STORMY_MS)
        self.calm = True
        self._cut.clear()
        settled = self._go_until(self.now_ms + 60_000, lambda: False)
        settled = self._go_until(self.now_ms + CALM_MS, self.level)
        if not settled:
            raise Wrong(f"seed {self.seed}: no convergence\n{self.state()}")
        self.judge()

    def close(self) -> None:
        for node in self.nodes.values():
            node.store.close()
        if self._folder:
            self._folder.cleanup()

    # -- judgement --------------------------------------------------------------------------


class Report:
    """What a run saw."""

    def __init__(self, world: World) -> None:
        self.seed = world.seed
        self.faults = world.faults
        self.events = sum(len(world.nodes[CENTRAL].store.everything(s)) for s in world.streams())
        self.forks = sum(world.forks(s) for s in world.streams())
        self.digest = world.digest()


def run(seed: int, **how: object) -> Report:
    """One seed from storm to judgement."""
    world = World(seed, **how)  # type: ignore[arg-type]
    try:
        world.run()
        return Report(world)
    finally:
        world.close()
