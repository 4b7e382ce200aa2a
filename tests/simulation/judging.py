"""What must hold, by the numbers of the invariants that Tillmesh promises.

Watched all through a run: 3 what was acknowledged stays (`World._check_promise`), 4 all places of
a product sum to zero, 7 a trusted reading holds the true instant. Judged at the end:

     1 exactly once     every answer given stands at head office, once
     2 order            sequences without a gap, parents form a tree, two children are a fork
     3 chain            every hash is the one its bytes give
     4 stock            goods come from somewhere, and nothing stays in transit
     5 ledger           tables equal a rebuild in another order; shop and head office agree
     6 receipts         numbers without a gap within (till, generation), along every branch
     7 time             trusted times of one boot never decrease
     8 price            each sale has the newest price that its shop knew
     9 cash             what the tenders say is what the sales say
    10 idempotent       what was asked twice stands once (the till asks again after a power cut)
    12 grand total      the day's totals are the sum of the sales
    13 liveness         all is level within bounded virtual time once faults end
    14 confinement      what nobody honest sent is refused, crashes nobody, moves nobody's books
    15 compatibility    what only a newer version knows arrives with its bytes untouched

Not here, because the simulation has no paper, people or secrets: 11 print, and 6 again with real
receipts, in `tests/powercuts`; 16 rights in `tests/edge/test_people.py` and
`tests/central/web`; 17 secrecy in `tests/chaos`.
"""

from collections import Counter
from hashlib import sha256

from protocol.clock import ClockState
from protocol.codec import body_of, decode
from protocol.events import PriceSet, SaleCompleted
from protocol.ids import CENTRAL, shop_stream, to_stream
from protocol.journal import ORIGIN, Stored, parent_of
from tests.simulation.business import UNPRICED_MINOR
from tests.simulation.stores import ListStore
from tests.simulation.words import SHOPS, Wrong


class Judge:
    """The end of a `World`: looks at its stores and says what is wrong."""

    def wrong(self, number: int, text: str) -> Wrong:
        return Wrong(f"seed {self.seed}: invariant {number}: {text}")

    def streams(self) -> list[str]:
        return ["all", "zone/z", *map(shop_stream, SHOPS), *map(to_stream, SHOPS)]

    # -- all through ------------------------------------------------------------------------

    def watch(self) -> None:
        """4 and 7, every few virtual seconds."""
        for name, node in self.nodes.items():
            if name in self.off:
                continue
            self._sums_to_zero(name, node.store)
            clock = node.clock
            clock.now_ms = self.now_ms
            reading = clock.read()
            if reading.state is ClockState.TRUSTED and (
                abs(reading.at_ms - clock.true_ms) > reading.u_ms + 1
            ):
                raise self.wrong(7, f"{name} trusts {reading}, true is {clock.true_ms}")

    def _sums_to_zero(self, name: str, store: ListStore) -> None:
        by_sku: Counter[str] = Counter()
        for (_, sku), qty in store.stock().items():
            by_sku[sku] += qty
        if any(by_sku.values()):
            raise self.wrong(4, f"at {name} goods came from nowhere: {by_sku}")

    # -- the end ----------------------------------------------------------------------------

    def level(self) -> bool:
        """13: has everybody what is his?"""
        central = self.nodes[CENTRAL].store
        if self.coming or self.off or self.spare:
            return False
        for shop in SHOPS:
            mine = self.nodes[shop].store
            if self.asks_still(shop):
                return False  # it may not sell again before it has what it lost
            pairs = [(shop_stream(shop), mine, central)]
            pairs += [(s, central, mine) for s in ("all", "zone/z", to_stream(shop))]
            for stream, writer, follower in pairs:
                head = writer.head(stream)
                same = follower.head(stream) == head
                held = head == ORIGIN or follower.find(stream, head.hash) is not None
                if not (same or (stream in self.forked and held)):
                    return False
            own = shop_stream(shop)
            if self._gets_branches(own) and mine.ids(own) != central.ids(own):
                return False
        return True

    def _gets_branches(self, own: str) -> bool:
        """Do head office and this shop give each other the branches that gave way?"""
        return self.gives_branches_back and own in self.forked

    def standing(self) -> str:
        lines = [f"faults {dict(self.faults)}", f"coming {self.coming}, spare {set(self.spare)}"]
        for name, node in self.nodes.items():
            heads = {s: node.store.head(s).seq for s in self.streams()}
            lines.append(f"{name} up={node.up} {heads} {node.stops()} forked {self.forked}")
        return "\n".join(lines)

    def judge(self) -> None:
        central = self.nodes[CENTRAL].store
        self.watch()
        for shop in SHOPS:
            mine = self.nodes[shop].store
            self._judge_stream(shop_stream(shop), mine, central)
            for stream in ("all", "zone/z", to_stream(shop)):
                self._judge_stream(stream, central, mine)
            self._judge_answers(shop)
            self._judge_shelf(shop)
        for stream in self.streams():
            self._judge_tree(stream, central)
        for name, node in self.nodes.items():
            if not node.store.folds_agree():
                raise self.wrong(5, f"{name} rebuilds other tables than it has")
        self._judge_sales(central)
        self._judge_transit(central)
        self._judge_refusals()

    def _judge_stream(self, stream: str, writer: ListStore, follower: ListStore) -> None:
        """1, 2, 15: the follower holds what the writer wrote, byte for byte, once."""
        written = writer.line(stream, 0, 100_000)
        followed = follower.line(stream, 0, 100_000)
        if stream not in self.forked:
            skip = max(0, len(followed) - len(written))  # the writer has pruned
            first = min(e.position.seq for e in [*written, *followed[:1]]) if followed else 1
            rest = [e for e in followed if e.position.seq > skip + first - 1]
            if written != (rest if written else []) or (followed and first != 1):
                raise self.wrong(1, f"{stream} reads otherwise at its follower")
        held = {e.position.hash: e.data for e in follower.everything(stream)}
        if len(held) != len(follower.everything(stream)) or follower.copies(stream):
            raise self.wrong(1, f"{stream} holds an event twice")
        if any(held.get(e.position.hash) != e.data for e in written):
            raise self.wrong(1, f"{stream} lacks events at its follower")

    def _judge_tree(self, stream: str, store: ListStore) -> None:
        """2, 3, 6, 7: walk from every event to its parent."""
        events = {e.position.hash: e for e in store.everything(stream)}
        children: Counter[str] = Counter()
        numbers: dict[str, dict[str, int]] = {ORIGIN.hash: {}}
        times: dict[str, int] = {}
        by_place: dict[tuple[str, int], str] = {}
        for event in sorted(events.values(), key=lambda e: e.position.seq):
            at = event.position
            envelope = decode(event.data)
            if by_place.setdefault((at.epoch, at.seq), at.hash) != at.hash:
                raise self.wrong(2, f"{stream} has two events at {at.epoch} {at.seq}")
            named = parent_of(envelope)
            parent = named.hash if named else by_place.get((at.epoch, at.seq - 1), "")
            if parent not in numbers:
                raise self.wrong(2, f"{stream} {at.seq} has no parent")
            hashed = sha256(bytes.fromhex(parent) + event.data).hexdigest()
            if (hashed, at.epoch, at.seq) != (at.hash, envelope.epoch, envelope.seq):
                raise self.wrong(3, f"{stream} {at.seq} has another hash")
            children[parent] += 1
            numbers[at.hash] = self._number(numbers[parent], event)
            # A shop has an epoch for each boot; head office's goes on over boots. What the hardware
            # clock said alone may be taken back.
            if stream.startswith("shop/") and envelope.clk == "trusted":
                if envelope.ts < times.get(at.epoch, 0):
                    raise self.wrong(7, f"{stream} {at.seq}: time went back")
                times[at.epoch] = envelope.ts
        extra = sum(n - 1 for n in children.values() if n > 1)
        if extra and not store.forks(stream):
            raise self.wrong(2, f"{stream} has forked and nobody says so")

    def _number(self, before: dict[str, int], event: Stored) -> dict[str, int]:
        body = body_of(decode(event.data))
        if not isinstance(body, SaleCompleted):
            return before
        series, _, number = body.receipt_number.rpartition("-")
        last = before.get(series, 0)
        if int(number) != last + 1:
            raise self.wrong(6, f"{event.stream}: {body.receipt_number} follows {last}")
        return {**before, series: int(number)}

    def _judge_answers(self, shop: str) -> None:
        """1, 10: every answer that a till was given stands at head office: once, in order."""
        events = self.nodes[CENTRAL].store.everything(shop_stream(shop))
        found = Counter(decode(e.data).id for e in events)
        lost = [i for i in self.told[shop] if not found[i] and i not in self.perhaps[shop]]
        if lost:
            raise self.wrong(1, f"{shop} lost {lost[:5]}")
        twice = [i for i, n in found.items() if n > 1 and not i.startswith("epoch-")]
        if shop_stream(shop) in self.forked:  # done on both branches, and counted on both
            twice = [i for i in twice if not i.startswith("r-") and i not in self.retried]
        if twice:
            raise self.wrong(1, f"{shop} doubled {twice[:5]}")
        if shop_stream(shop) in self.forked:
            return
        ids = [i for e in events if not (i := decode(e.data).id).startswith("epoch-")]
        told = [i for i in dict.fromkeys(self.told[shop]) if i not in self.retried]
        if told != [i for i in ids if i not in self.retried]:
            raise self.wrong(1, f"{shop} in another order")

    def _judge_shelf(self, shop: str) -> None:
        """5: shop and head office see the same shelf."""
        own = shop_stream(shop)
        if own in self.forked and not self._gets_branches(own):
            return
        shelf = f"shop/{shop}"
        mine, theirs = (
            {k: v for k, v in self.nodes[n].store.stock().items() if k[0] == shelf}
            for n in (shop, CENTRAL)
        )
        if mine != theirs:
            raise self.wrong(5, f"{shop} counts its stock otherwise: {mine} {theirs}")

    def _judge_sales(self, central: ListStore) -> None:
        """8, 9, 12: every sale priced again; tenders and day totals are their sums."""
        prices = [
            (e.position.seq, f"zone/z@{e.position.seq}", body)
            for e in central.everything("zone/z")
            if isinstance(body := body_of(decode(e.data)), PriceSet)
        ]
        sales = [
            body
            for shop in SHOPS
            for e in central.everything(shop_stream(shop))
            if isinstance(body := body_of(decode(e.data)), SaleCompleted)
        ]
        for sale in sales:
            line = sale.lines[0]
            if line.unit_price_minor * line.qty_milli // 1000 != sale.total_minor:
                raise self.wrong(8, f"{sale.sale} does not add up")
            if "zone/z" in self.forked:
                continue
            upto = self.known_price[sale.sale]
            known = [(v, b) for n, v, b in prices if b.sku == line.sku and n <= upto]
            version, price = (
                (known[-1][0], known[-1][1].price_minor) if known else ("", UNPRICED_MINOR)
            )
            if (line.price_version, line.unit_price_minor) != (version, price):
                raise self.wrong(8, f"{sale.sale} has {line.price_version}, not {version}")
        takings = sum(s.total_minor for s in sales)
        if central.sum_of("sales_day", 1) != takings:
            raise self.wrong(12, "the days' totals are not the sum of the sales")
        if central.sum_of("shift_tender", 1) != takings:
            raise self.wrong(9, "the tenders are not the sum of the sales")

    def _judge_transit(self, central: ListStore) -> None:
        """4: what left a shop came in at another, unless one of them was set back."""
        steady = [s for s in SHOPS if shop_stream(s) not in self.forked]
        if set(map(to_stream, SHOPS)) & self.forked:
            return
        for (place, sku), qty in central.stock().items():
            ends = place.removeprefix("transit/").split(">")
            if place.startswith("transit/") and set(ends) <= set(steady):
                raise self.wrong(4, f"{qty} of {sku} stay in {place}")

    def _judge_refusals(self) -> None:
        """14: only what nobody honest sent was refused."""
        refused = {
            why for n in self.nodes.values() for why, what in n.refusals if what not in self.poison
        }
        if refused:
            raise self.wrong(14, f"refused {refused}")

    def digest(self) -> str:
        """One figure for the whole course."""
        digest = sha256()
        for name, node in self.nodes.items():
            for stream in self.streams():
                digest.update(f"{name} {stream} {node.store.head(stream)}".encode())
            digest.update(repr(sorted(node.store.stock().items())).encode())
        digest.update(repr(sorted(self.faults.items())).encode())
        return digest.hexdigest()
