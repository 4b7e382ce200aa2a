"""What must hold at the end of a run: level, promises kept once and in order, goods conserved."""

from collections import Counter
from hashlib import sha256

from protocol.codec import decode
from protocol.errors import Corrupt
from protocol.ids import CENTRAL, shop_stream, to_stream
from protocol.journal import ORIGIN, verify
from tests.simulation.business import stock
from tests.simulation.stores import Store

SHOPS = ["a", "b", "c"]


class Wrong(AssertionError):
    """An invariant does not hold."""


class Judge:
    """The end of a `World`: looks at its stores and says what is wrong."""

    def level(self) -> bool:
        central = self.nodes[CENTRAL].store
        for shop in SHOPS:
            mine = self.nodes[shop].store
            stream = shop_stream(shop)
            head = mine.head(stream)
            if self._asks_still(shop):
                return False  # it may not sell again before it has what it lost
            if stream in self.forked:
                if head != ORIGIN and central.find(stream, head.hash) is None:
                    return False
            elif central.head(stream) != head:
                return False
            for down in ("all", "zone/z", to_stream(shop)):
                if mine.head(down) != central.head(down):
                    return False
        return True

    def state(self) -> str:
        lines = [f"faults {dict(self.faults)}"]
        for name, node in self.nodes.items():
            heads = {
                s: node.store.head(s).seq
                for s in ["all", "zone/z", *map(shop_stream, SHOPS), *map(to_stream, SHOPS)]
            }
            stops = [s.stopped for x in node.sources.values() for s in x.senders.values()]
            lines.append(f"{name} up={node.up} {heads} {set(stops)} {set(node.refusals)}")
        return "\n".join(lines)

    def judge(self) -> None:
        central = self.nodes[CENTRAL].store
        for shop in SHOPS:
            self._judge_stream(shop_stream(shop), self.nodes[shop].store, central)
            for stream in ("all", "zone/z", to_stream(shop)):
                self._judge_stream(stream, central, self.nodes[shop].store)
            self._judge_shop(shop)
        everything = [e for s in self.streams() for e in central.everything(s)]
        by_sku: Counter[str] = Counter()
        for (_, sku), qty in stock(everything).items():
            by_sku[sku] += qty
        if any(by_sku.values()):
            raise Wrong(f"seed {self.seed}: goods came from nowhere: {by_sku}")
        refused = {r for n in self.nodes.values() for r in n.refusals}
        if refused:
            raise Wrong(f"seed {self.seed}: refused {refused}")

    def streams(self) -> list[str]:
        return ["all", "zone/z", *map(shop_stream, SHOPS), *map(to_stream, SHOPS)]

    def forks(self, stream: str) -> int:
        """Parents with more than one child at head office."""
        events = self.nodes[CENTRAL].store.everything(stream)
        line = self.nodes[CENTRAL].store.line(stream, 0, 100_000)
        starts = [e for e in events if decode(e.data).type == "EpochStarted"]
        on_line = {e.position.hash for e in line}
        return sum(e.position.hash not in on_line for e in starts)

    def _judge_stream(self, stream: str, writer: Store, follower: Store) -> None:
        written = writer.line(stream, 0, 100_000)
        followed = follower.line(stream, 0, 100_000)
        for line in (written, followed):
            try:
                verify(stream, line)
            except Corrupt as fault:
                raise Wrong(f"seed {self.seed}: {fault}") from None
        if stream not in self.forked and written != followed:
            raise Wrong(f"seed {self.seed}: {stream} reads otherwise at its follower")
        held = [e.position.hash for e in follower.everything(stream)]
        if len(held) != len(set(held)) or follower.copies(stream):
            raise Wrong(f"seed {self.seed}: {stream} holds an event twice")
        if not {e.position.hash for e in written} <= set(held):
            raise Wrong(f"seed {self.seed}: {stream} lacks events at its follower")

    def _judge_shop(self, shop: str) -> None:
        """Every sale that a till was told of stands at head office: once, in order."""
        events = self.nodes[CENTRAL].store.everything(shop_stream(shop))
        found = Counter(decode(e.data).id for e in events)
        lost = [i for i in self.told[shop] if not found[i] and i not in self.perhaps]
        if lost:
            raise Wrong(f"seed {self.seed}: {shop} lost {lost[:5]}")
        twice = [i for i, n in found.items() if n > 1 and i not in self.perhaps]
        twice = [i for i in twice if not i.startswith(("epoch-", "r-"))]
        if twice:
            raise Wrong(f"seed {self.seed}: {shop} doubled {twice[:5]}")
        if shop_stream(shop) in self.forked:
            return
        ids = [decode(e.data).id for e in events if not decode(e.data).id.startswith("epoch-")]
        if list(dict.fromkeys(self.told[shop])) != ids:
            raise Wrong(f"seed {self.seed}: {shop} in another order")
        mine = stock(self.nodes[shop].store.everything(shop_stream(shop)))
        if mine != stock(events):
            raise Wrong(f"seed {self.seed}: {shop} counts its stock otherwise")

    def digest(self) -> str:
        """One figure for the whole course."""
        digest = sha256()
        for name, node in self.nodes.items():
            for stream in self.streams():
                digest.update(f"{name} {stream} {node.store.head(stream)}".encode())
        digest.update(repr(sorted(self.faults.items())).encode())
        return digest.hexdigest()
