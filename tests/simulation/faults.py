"""What goes wrong with machines: power, disks, clocks, backups, copies, versions, the network."""

from collections import Counter

from protocol.codec import decode
from protocol.ids import CENTRAL, shop_stream, to_stream
from protocol.journal import ORIGIN
from tests.simulation.business import newer_version
from tests.simulation.clocks import JUMPS_MS
from tests.simulation.words import SHOPS

KINDS = (
    "net",
    "cut",
    "down",
    "kill",
    "restore",
    "clock",
    "clone",
    "disk",
    "poison",
    "version",
    "central",
)
BACKUPS_MS = 40_000  # an operator restores none of head office that is older
DOWN = ["all", "zone/z", *map(to_stream, SHOPS)]


class Faults:
    """The part of a `World` that breaks things; each seed weighs the kinds anew."""

    def __init__(self) -> None:
        self.calm = False
        self.faults: Counter[str] = Counter()
        self.node_faults: Counter[str] = Counter()  # the headline: what befell machines
        self.kinds = {k: self.rng.choice([0.2, 1, 3]) for k in KINDS}
        self.backups: dict[str, object] = {}
        self._backed_up_ms = 0  # head office's
        self.spare: dict[str, object] = {}  # shop -> the other machine with its name
        self.busy: dict[str, int] = {}  # node -> until when its disk is slow
        self.perhaps: dict[str, set[str]] = {s: set() for s in SHOPS}  # on a lost disk
        self.forked: set[str] = set()  # streams whose writer was set back or doubled

    def chance(self, p: float, kind: str) -> bool:
        return not self.calm and self.rng.random() < p * self.kinds[kind]

    def fault(self, kind: str) -> None:
        self.faults[kind] += 1

    def node_fault(self, kind: str) -> None:
        self.node_faults[kind] += 1
        self.faults[kind] += 1

    def weather(self) -> None:
        """Every few virtual seconds."""
        if self.calm:
            return
        name = self.rng.choice([CENTRAL, *SHOPS])
        shop = self.rng.choice(SHOPS)
        if self.chance(0.2, "cut"):
            self._partition(shop)
        if self.chance(0.08, "down"):
            self.broker_restarts()
        if self.chance(0.2, "kill") and name not in self.off:
            self.node_fault("power cut")
            self.power_off(name)
        if self.chance(0.15, "clock"):
            self._clock_jumps(name)
        if self.chance(0.1, "disk"):
            self._disk(name)
        if self.chance(0.05, "version"):
            self._updated(shop)
        self._backups(shop)
        if self.chance(0.03, "clone") and shop not in self.off and shop not in self.spare:
            self._cloned(shop)
        self.at(self.rng.uniform(3_000, 10_000), self.weather)

    def _backups(self, shop: str) -> None:
        if self.chance(0.2, "restore") and shop not in self.off and shop not in self.spare:
            self.backups[shop] = self.nodes[shop].store.backup()
        ready = shop in self.backups and shop not in self.off and shop not in self.spare
        if self.chance(0.08, "restore") and ready:
            self._restore(shop)
        if CENTRAL in self.off:
            return
        young = self.now_ms - self._backed_up_ms < BACKUPS_MS
        if self.chance(0.02, "central") and CENTRAL in self.backups and young:
            self._restore_central()
        else:
            self.backups[CENTRAL] = self.nodes[CENTRAL].store.backup()
            self._backed_up_ms = self.now_ms

    # -- network ----------------------------------------------------------------------------

    def _partition(self, shop: str) -> None:
        how = self.rng.choice(["up", "down", "both"])
        self.node_fault(f"partition {how}")
        self._cut[shop] = how
        lasts_ms = self.rng.choice([2_000, 15_000, 60_000, 90_000])

        def heal() -> None:
            self._cut.pop(shop, None)
            self.disconnect(shop)  # the keep-alive has noticed
            self.at(self.rng.uniform(100, 3_000), lambda: self.connect(shop))

        self.at(lasts_ms, heal)

    # -- power and disks --------------------------------------------------------------------

    def power_off(self, name: str, *, back_ms: float = 0) -> None:
        """All that was not synced is gone; some time later it boots."""
        self.disconnect(name, will=self.rng.random() < 0.8)
        self.off.add(name)
        epoch = self.hex16()
        node = self.nodes[name]
        keep = name == CENTRAL or self.keeps_epoch  # head office: one row, not per process
        node.store.power_cut(node.store.epoch if keep else epoch)
        node.forget()
        self.at(back_ms or self.rng.uniform(500, 20_000), lambda: self.power_on(name))

    def power_on(self, name: str) -> None:
        self.off.discard(name)
        self.nodes[name].clock.now_ms = self.now_ms
        self.nodes[name].clock.boot()
        latest_ms = 50 if name in self.hasty else 1_000
        self.at(self.rng.uniform(10, latest_ms), lambda: self.connect(name))
        self.asks_again(name)

    def _disk(self, name: str) -> None:
        node = self.nodes[name]
        if self.rng.random() < 0.5:
            self.node_fault("slow disk")
            self.busy[name] = self.now_ms + self.rng.randint(500, 8_000)
            return
        self.node_fault("full disk")
        node.store.full = True

        def freed() -> None:
            node.store.full = False

        self.at(self.rng.uniform(2_000, 20_000), freed)

    def _clock_jumps(self, name: str) -> None:
        how = self.rng.choice([*JUMPS_MS, "a time server lies"])
        self.node_fault(f"clock: {how}")
        clock = self.nodes[name].clock
        if how in JUMPS_MS:
            clock.off_ms += JUMPS_MS[how]
        else:
            clock.lies = 1 - clock.lies

    def _updated(self, shop: str) -> None:
        self.node_fault("updated to the next release")
        self.nodes[shop].store.newer = newer_version

    # -- backups and copies -----------------------------------------------------------------

    def at_central(self, shop: str) -> set[str]:
        events = self.nodes[CENTRAL].store.everything(shop_stream(shop))
        return {decode(e.data).id for e in events}

    def _restore(self, shop: str) -> None:
        """The disk died; an old backup goes in. What head office had not got yet is lost."""
        self.node_fault("old backup restored")
        node = self.nodes[shop]
        own = shop_stream(shop)
        self.disconnect(shop)
        self.forked.add(own)
        self.perhaps[shop] |= set(self.told[shop]) - self.at_central(shop)
        last = node.store.head(own)
        epoch = node.store.epoch if self.keeps_epoch else self.hex16()
        generation = int(node.store.state("generation") or 1)
        node.store.restore(self.backups[shop], epoch)  # type: ignore[arg-type]
        node.forget()
        if node.store.head(own) != last:  # `last-head` stands beside the database
            with node.store.begin() as tx:
                tx.set_state("generation", str(generation + 1))
                tx.set_state("checkpoints", "")
            node.forget()
        self.off.add(shop)
        back_ms = self.rng.uniform(500, 5_000)
        self.at(back_ms, lambda: self.power_on(shop))
        if self.rng.random() < 0.5:
            self.waits.add(shop)
            return
        self.fault("acts before it asked")
        if self.rng.random() < 0.7:
            self.hasty.add(shop)
        else:
            self.at(back_ms + self.rng.uniform(1, 1_500), lambda: self.sells_once(shop))

    def _restore_central(self) -> None:
        """Head office's disk died; shops refill what its backup lacks."""
        self.node_fault("head office restored")
        node = self.nodes[CENTRAL]
        self.disconnect(CENTRAL, will=self.rng.random() < 0.5)
        held = {s: self.at_central(s) for s in SHOPS}
        lost = {e.position.hash for s in SHOPS for e in node.store.everything(shop_stream(s))}
        node.store.restore(self.backups[CENTRAL], self.hex16())  # type: ignore[arg-type]
        node.forget()
        self.forked |= set(DOWN)
        self.void |= lost
        for shop in SHOPS:  # what stood nowhere else: a branch whose machine is gone
            elsewhere = self.at_central(shop) | self._gives(self.nodes[shop], shop)
            if shop in self.spare:
                elsewhere |= self._gives(self.spare[shop], shop)
            self.perhaps[shop] |= held[shop] - elsewhere
        self.off.add(CENTRAL)
        self.at(self.rng.uniform(500, 5_000), lambda: self.power_on(CENTRAL))

    def _gives(self, node: object, shop: str) -> set[str]:
        """What a shop's machine will send: its line, and branches where nodes give them back."""
        store, own = node.store, shop_stream(shop)  # type: ignore[attr-defined]
        if self.gives_branches_back:
            return set(store.ids(own))
        return {decode(e.data).id for e in store.line(own, 0, 100_000)}

    def _cloned(self, shop: str) -> None:
        """The disk was copied into a second machine, and both run under one name."""
        self.node_fault("cloned disk")
        self.forked.add(shop_stream(shop))
        mine = self.nodes[shop]
        self.spare[shop] = self.boot(shop, mine.store.twin(self.hex16()))
        until_ms = self.now_ms + self.rng.uniform(10_000, 60_000)

        def takes_over() -> None:
            if self.calm or self.now_ms > until_ms:
                self._fenced(shop, mine)
                return
            self._swap(shop)
            self.at(self.rng.uniform(1_000, 8_000), takes_over)

        self.at(self.rng.uniform(500, 3_000), takes_over)

    def _swap(self, shop: str) -> None:
        """The other machine connects, and the broker throws this one out."""
        if shop in self.off:
            return
        self.disconnect(shop, will=self.rng.random() < 0.5)
        self.nodes[shop], self.spare[shop] = self.spare[shop], self.nodes[shop]
        self.connect(shop)

    def _fenced(self, shop: str, mine: object) -> None:
        """The operator has seen the alarm: the copy is switched off for good."""
        if shop in self.off:
            self.at(1_000, lambda: self._fenced(shop, mine))
            return
        if self.nodes[shop] is not mine:
            self._swap(shop)
        copy = self.spare.pop(shop)
        own = shop_stream(shop)
        here = self.at_central(shop) | self.nodes[shop].store.ids(own)
        self.perhaps[shop] |= set(self.told[shop]) - here
        copy.store.close()  # type: ignore[attr-defined]

    def asks_still(self, shop: str) -> bool:
        """A restored shop waits until it holds what head office has of its stream."""
        if shop in self.waits:
            stream, central = shop_stream(shop), self.nodes[CENTRAL].store
            theirs, mine = central.head(stream), self.nodes[shop].store
            head = mine.head(stream)
            lacks_it = head != ORIGIN and central.hash_at(stream, head.seq) != head.hash
            if theirs == ORIGIN or lacks_it or mine.find(stream, theirs.hash):
                self.waits.discard(shop)  # there is nothing that it could be given back
        return shop in self.waits
