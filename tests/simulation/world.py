"""A whole chain in virtual time: broker, disks, clocks, old backups, copies; one seed, one course.

    report = run(seed)          # raises Wrong with the seed in its words

Everything random comes from one `random.Random(seed)`. Till the calm phase faults happen; then all
heals, and everything that a till was told must stand at head office, once and in order.
"""

import heapq
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.codec import body_of, decode
from protocol.events import Event, TransferForwarded
from protocol.ids import CENTRAL, shop_stream
from protocol.journal import ORIGIN, Position, Stored
from tests.simulation.broker import Broker
from tests.simulation.business import arrival, head_office_event, shop_event
from tests.simulation.clocks import SimClock
from tests.simulation.faults import Faults
from tests.simulation.judging import Judge
from tests.simulation.nodes import Node
from tests.simulation.stores import Crash, Full, ListStore
from tests.simulation.words import SHOPS, Wrong

STORMY_MS = 240_000
CALM_MS = 400_000
TURN_MS = 250
WATCH_MS = 10_000


class World(Broker, Faults, Judge):
    """One run. `make_node` and `make_store` are where a mutant comes in."""

    gives_branches_back = False  # `protocol.node.returning`, which real nodes have

    def __init__(
        self,
        seed: int,
        *,
        make_node: type[Node] = Node,
        make_store: type[ListStore] = ListStore,
        keeps_epoch: bool = False,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_ms = 0
        Broker.__init__(self)
        Faults.__init__(self)
        self.told: dict[str, list[str]] = {s: [] for s in SHOPS}
        self.retried: set[str] = set()  # asked again after a power cut
        self.known_price: dict[str, int] = {}  # sale -> how far the shop knew the zone's prices
        self.promised: dict[str, str] = {}  # shop -> the hash that was acknowledged last
        self.void: set[str] = set()  # hashes that were on head office's lost disk
        self.off: set[str] = set()  # without power
        self.hasty: set[str] = set()
        self.waits: set[str] = set()  # restored, asks before it acts
        self.keeps_epoch = keeps_epoch
        self._unanswered: dict[str, list[tuple[str, Event | None]]] = {s: [] for s in SHOPS}
        self.coming = 0  # goods that were announced and are not in yet
        self._make_node = make_node
        self._make_store = make_store
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._n = 0
        self._folder = tempfile.TemporaryDirectory(prefix="tillmesh-sim-")
        self.folder = Path(self._folder.name)
        self.nodes: dict[str, Node] = {}
        for name in [CENTRAL, *SHOPS]:
            self.nodes[name] = self.boot(name, self.new_store(name))

    def new_store(self, name: str) -> ListStore:
        """An empty disk."""
        return self._make_store(name, self.hex16())

    # -- time and chance --------------------------------------------------------------------

    def hex16(self) -> str:
        return f"{self.rng.getrandbits(64):016x}"

    def at(self, delay_ms: float, act: Callable[[], None]) -> None:
        self._n += 1
        heapq.heappush(self._heap, (self.now_ms + max(1, int(delay_ms)), self._n, act))

    # -- nodes ------------------------------------------------------------------------------

    def boot(self, name: str, store: ListStore) -> Node:
        node = self._make_node(
            name,
            store,
            clock=SimClock(self.rng),
            send=lambda topic, payload, retain: self.send(name, topic, payload, retain=retain),
            random_hex=self.hex16,
            shops=SHOPS,
        )
        node.on_kept = self._noticed
        node.snapshot = lambda upto: self._sealed(name, upto)
        node.crash_in_keep = lambda: self._crash_in_keep(name)
        return node

    def _sealed(self, shop: str, upto: int) -> tuple[Position, int] | None:
        """What head office's snapshot says over HTTPS: the shop's place there, and the time."""
        if CENTRAL in self.off or shop in self.off or shop in self._cut or upto < 1:
            return None
        held, own = self.nodes[CENTRAL].store, shop_stream(shop)
        found = held.line(own, min(upto, held.parted(own)) - 1, 1)
        return (found[0].position, self.now_ms) if found else None

    def _crash_in_keep(self, name: str) -> str:
        if not self.chance(0.004, "kill"):
            return ""
        self.node_fault("power cut while keeping")
        return self.rng.choice(["before", "after"])

    def turn(self, name: str) -> None:
        if name in self.off:
            return
        busy_ms = self.busy.get(name, 0) - self.now_ms
        if busy_ms > 0:
            self.at(busy_ms, lambda: self.turn(name))
            return
        node = self.nodes[name]
        node.clock.now_ms = self.now_ms
        try:
            node.turn(self.now_ms)
        except Crash:
            self.power_off(name)
            return
        if name != CENTRAL:
            self._check_promise(name)

    def _check_promise(self, shop: str) -> None:
        """What head office acknowledged it holds, now and after any power cut (3, 13)."""
        promised = self.nodes[shop].acked()
        if promised != ORIGIN:
            self.promised[shop] = promised.hash
        held = self.nodes[CENTRAL].store
        told = self.promised.get(shop)
        if told and told not in self.void and held.find(shop_stream(shop), told) is None:
            raise Wrong(f"seed {self.seed}: acknowledged to {shop}, and then lost")

    def _ticking(self, name: str) -> None:
        if name not in self.busy or self.busy[name] <= self.now_ms:
            self.turn(name)
        self.at(TURN_MS, lambda: self._ticking(name))

    def _asks_time(self, name: str) -> None:
        if name not in self.off and name not in self._cut:
            clock = self.nodes[name].clock
            clock.now_ms = self.now_ms
            clock.ask()
        self.at(30_000, lambda: self._asks_time(name))

    def linked(self, name: str) -> None:
        """A shop that acts before it asked does so now."""
        if name in self.hasty:  # restored, and sells while its lost events are on their way
            self.hasty.discard(name)
            for _ in range(3):
                self.at(self.rng.uniform(1, 120), lambda: self.sells_once(name))

    # -- business ---------------------------------------------------------------------------

    def _sell(self, shop: str) -> None:
        if self.calm:
            return
        self.sells_once(shop)
        if shop in self.spare and self.rng.random() < 0.5:
            self._sells_at_copy(shop)
        self.at(self.rng.expovariate(1 / 1_500), lambda: self._sell(shop))

    def sells_once(self, shop: str) -> None:
        if not self.calm and shop not in self.off and not self.asks_still(shop):
            self._n += 1
            self._record(shop, f"{shop}-{self._n}", None)

    def _sells_at_copy(self, shop: str) -> None:
        """The machine that is not connected sells too, on its own disk."""
        self._n += 1
        spare = self.spare[shop]
        if spare.store.full:
            return
        try:
            self._write(spare, f"{shop}-{self._n}", None, crashes=0.0)
        except Crash:  # its disk was about to lose power when it was thrown out
            spare.store.power_cut(self.hex16())
            spare.forget()
            return
        self.told[shop].append(f"{shop}-{self._n}")

    def _write(self, node: Node, id_: str, body: Event | None, *, crashes: float = 0.004) -> None:
        """One transaction: the event, and the receipt number if it is a sale."""
        store, own = node.store, shop_stream(node.name)
        node.clock.now_ms = self.now_ms
        with store.begin() as tx:
            if tx.has_id(own, id_):
                return  # asked again: the same answer, nothing new
            if body is None:
                newer = store.newer is not ListStore.older
                body = shop_event(self.rng, store, SHOPS, id_, newer=newer)
            tx.append(own, [node.draft(id_, body)])
            self.known_price[id_] = tx.head("zone/z").seq
            tx.fault_point(self.chance(crashes, "kill"))
        store.fault_point(self.chance(crashes / 2, "kill"))

    def _record(self, shop: str, id_: str, body: Event | None) -> None:
        try:
            self._write(self.nodes[shop], id_, body)
        except Full:
            if body is not None:  # goods at the door wait; a customer goes away
                self.at(2_000, lambda: self._record(shop, id_, body))
            return
        except Crash:
            self.node_fault("power cut while selling")
            self._unanswered[shop].append((id_, body))
            self.retried.add(id_)
            self.power_off(shop)
            return
        self.told[shop].append(id_)
        if body is not None:
            self.coming -= 1
        self.turn(shop)

    def asks_again(self, shop: str) -> None:
        """After a power cut the till asks again under the same id (10)."""
        waiting, self._unanswered[shop] = self._unanswered.get(shop, []), []
        for id_, body in waiting:
            self.at(self.rng.uniform(1, 500), lambda i=id_, b=body: self._retry(shop, i, b))

    def _retry(self, shop: str, id_: str, body: Event | None) -> None:
        if shop in self.off or self.asks_still(shop):
            self.at(1_000, lambda: self._retry(shop, id_, body))
            return
        self._record(shop, id_, body)

    def _rule(self) -> None:
        if self.calm:
            return
        if CENTRAL not in self.off and not self.nodes[CENTRAL].store.full:
            try:
                self._rules(self.nodes[CENTRAL])
            except Crash:
                self.node_fault("power cut while speaking")
                self.power_off(CENTRAL)
            self.turn(CENTRAL)
        self.at(self.rng.expovariate(1 / 4_000), self._rule)

    def _rules(self, node: Node) -> None:
        node.clock.now_ms = self.now_ms
        for _ in range(self.rng.choice([1, 1, 1, 30])):
            self._n += 1
            stream, body = head_office_event(self.rng, SHOPS, f"h-{self._n}")
            with node.store.begin() as tx:
                tx.append(stream, [node.draft(f"h-{self._n}", body)])

    def _noticed(self, node: Node, kept: Sequence[Stored]) -> None:
        """A shop sees goods coming, and takes them in some seconds later."""
        for event in kept:
            body = body_of(decode(event.data))
            if not node.central and isinstance(body, TransferForwarded):
                goods = arrival(body)
                self.coming += 1
                self.at(
                    self.rng.uniform(2_000, 15_000),
                    lambda goods=goods: self._takes_in(node.name, goods),
                )

    def _takes_in(self, shop: str, goods: Event) -> None:
        if shop in self.off or self.asks_still(shop):
            self.at(2_000, lambda: self._takes_in(shop, goods))
            return
        self._record(shop, goods.receipt, goods)  # type: ignore[attr-defined]

    # -- the run ----------------------------------------------------------------------------

    def _watch(self) -> None:
        self.watch()
        self.at(WATCH_MS, self._watch)

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
            self.at(self.rng.uniform(1, 3_000), lambda name=name: self._asks_time(name))
        for shop in SHOPS:
            self.at(self.rng.uniform(1, 3_000), lambda shop=shop: self._sell(shop))
        self.at(self.rng.uniform(1, 3_000), self._rule)
        self.at(self.rng.uniform(1, 3_000), self.weather)
        self.at(WATCH_MS, self._watch)
        self._go_until(STORMY_MS)
        self.calm = True
        self._cut.clear()
        self._go_until(self.now_ms + 60_000)
        if not self._go_until(self.now_ms + CALM_MS, self.level):
            raise Wrong(f"seed {self.seed}: no convergence\n{self.standing()}")
        self.judge()

    def close(self) -> None:
        for node in [*self.nodes.values(), *self.spare.values()]:
            node.store.close()
        self._folder.cleanup()


class Report:
    """What a run saw."""

    def __init__(self, world: World) -> None:
        self.seed = world.seed
        self.faults = world.faults
        self.node_faults = world.node_faults
        self.events = sum(len(world.nodes[CENTRAL].store.everything(s)) for s in world.streams())
        self.forks = sum(world.nodes[CENTRAL].store.forks(s) for s in world.streams())
        self.pruned = sum(node.pruned for node in world.nodes.values())
        self.virtual_ms = world.now_ms
        self.digest = world.digest()


def run(seed: int, **how: object) -> Report:
    """One seed from storm to judgement."""
    world = World(seed, **how)  # type: ignore[arg-type]
    try:
        world.run()
        return Report(world)
    finally:
        world.close()
