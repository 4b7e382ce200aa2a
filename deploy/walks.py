"""The four walks that must hold, over the real pages, processes, broker and devices.

Each walk says step by step what it saw; a step that does not hold raises `WalkBroken`.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import create_engine, text

from central.compose import compose as compose_office
from deploy import bakery
from deploy.chain import TILL, Chain, Shop
from deploy.visitors import Clerk, Officer, new_id

WAIT_S = 20.0
CUT_SALES = 300
SALES_A_SECOND = 20
TO_HQ = "commit at A -> head office"
TO_B = "commit at A -> B"
PINS = {store: pin for _, _, role, pin, (store,) in bakery.PEOPLE if role == "manager"}
CODE = {row["sku"]: row["codes"] for row in bakery.goods()}
SKU = "P0001"  # red bean bread, in the group of the bakery promotion
MOVED = "P0010"  # cranberry bread, of which A has more than twenty


class WalkBroken(Exception):
    """A step that does not hold, in words."""


class Eyes:
    """A second connection to a database: what it reads is what others can see."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)

    def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    def one(self, query: str, **values: object) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(query, **values)
        return found[0][0] if found else None

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()


def until(what: str, holds: Callable[[], Any], *, seconds: float = WAIT_S) -> Any:
    """Wait until something holds and return it; WalkBroken when it never does."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise WalkBroken(f"{what}: not within {seconds:g} s")
        time.sleep(0.001)


def demand(what: str, *, holds: object) -> None:
    """Stop when it does not hold."""
    if not holds:
        raise WalkBroken(what)


class Walks:
    """A running chain, with a manager at each till and a buyer at head office."""

    def __init__(self, chain: Chain, say: Callable[[str], None] = print) -> None:
        self.chain = chain
        self.say = say
        self.a, self.b = chain.shops["S1"], chain.shops["S2"]
        self.hq = Eyes(chain.office_settings().database_url)
        self.eyes = {s.store: Eyes(f"sqlite:///{s.database}") for s in chain.shops.values()}
        self.officer = Officer(chain.central_url)
        self.officer.sign_in(*bakery.HQ_ACCOUNTS[0][::3])
        self.clerks = {shop.store: self._clerk(shop) for shop in chain.shops.values()}
        self.hops: dict[str, list[float]] = {
            "commit at A -> head office": [],
            "commit at A -> B": [],
        }

    def _clerk(self, shop: Shop) -> Clerk:
        until(
            f"{shop.store} knows goods and people",
            lambda: (
                self.eyes[shop.store].one("select count(*) from price")
                and self.eyes[shop.store].one("select count(*) from person")
            ),
        )
        clerk = Clerk(shop.url)
        clerk.pair_and_sign_in(shop.pairing_code(), PINS[shop.store])
        return clerk

    def close(self) -> None:
        """Give connections back."""
        for eyes in (self.hq, *self.eyes.values()):
            eyes.close()

    def prepare(self) -> None:
        """Opening stock in both shops, an open shift at both tills."""
        for store, clerk in self.clerks.items():
            lines = [{"sku": s, "qty_milli": q} for s, q in bakery.opening_stock(store)]
            clerk.call(
                "/api/documents/count",
                {"document": new_id(), "lines": lines, "opening": True, "note": "开业盘点"},
            )
            clerk.page("/shift")
            clerk.form("/shift/open", float="200.00", shift=new_id())
        self.settled()

    # -- what can be seen -------------------------------------------------------------------

    def on_hand(self, eyes: Eyes, store: str, sku: str = SKU) -> int:
        """What a database has on a shop's shelf, thousandths."""
        return (
            eyes.one(
                "select qty_milli from stock where place = :p and sku = :s",
                p=f"shop/{store}",
                s=sku,
            )
            or 0
        )

    def seen_by_neighbour(self, viewer: str, store: str, sku: str = SKU) -> int | None:
        """What a shop's cache says of its neighbour."""
        found = self.eyes[viewer].one(
            "select qty_milli from neighbour_stock where store = :st and sku = :s", st=store, s=sku
        )
        return None if found is None else int(found)

    def sum_of_places(self, sku: str) -> int:
        """All places of a product at head office; zero by the law of double entry."""
        return int(self.hq.one("select sum(qty_milli) from stock where sku = :s", s=sku) or 0)

    def in_chain(self, sku: str) -> int:
        """Goods on the shelves and on their way."""
        found = self.hq.one(
            "select sum(qty_milli) from stock where sku = :s "
            "and (place like 'shop/%' or place like 'transit/%')",
            s=sku,
        )
        return int(found or 0)

    def digest(self, eyes: Eyes, store: str) -> str:
        """The proof of a shelf."""
        return str(eyes.one("select digest from shelf_digest where place = :p", p=f"shop/{store}"))

    def head(self, eyes: Eyes, stream: str) -> tuple[Any, ...]:
        """Head or cursor of a stream."""
        found = eyes.rows("select seq, hash from stream_head where stream = :s", s=stream)
        return found[0] if found else (0, "")

    def settled(self) -> None:
        """Head office and shops stand at the same places, with the same shelves."""
        for store, eyes in self.eyes.items():
            stream = f"shop/{store}"
            until(
                f"head office holds all of {store}",
                lambda eyes=eyes, s=stream: self.head(self.hq, s) == self.head(eyes, s),
            )
            demand(
                f"the shelf of {store} has two digests",
                holds=self.digest(eyes, store) == self.digest(self.hq, store),
            )

    def receipts(self, shop: Shop) -> str:
        """All paper of a shop's till."""
        return "\n".join(shop.devices.receipts(TILL))

    # -- walk 1 -----------------------------------------------------------------------------

    def sale(self, sales: int = 200) -> None:
        """A sale with the bakery promotion, then many, each seen at head office and at B."""
        clerk, eyes = self.clerks["S1"], self.eyes["S1"]
        before = self.on_hand(eyes, "S1")
        for _ in range(3):
            basket = clerk.scan(CODE[SKU])
        demand("buy 2 get 1: 3 x 6.00 must cost 12.00", holds=basket["total_minor"] == 1_200)
        demand(
            "the line must say which promotion",
            holds=any(p["rule"] == "bread-3for2" for x in basket["lines"] for p in x["promotions"]),
        )
        paid = clerk.pay_cash(basket, 2_000)
        demand("change of 20.00 for 12.00", holds=paid["change_minor"] == 800)
        self.say(f"  sold 3 for 2: ¥12.00, change ¥8.00, receipt {paid['receipt_number']}")
        until(
            "the Chinese receipt is on paper",
            lambda: all(
                words in self.receipts(self.a)
                for words in ("红豆面包", "面包买二送一", paid["receipt_number"])
            ),
        )
        demand("strict printer found faults", holds=not self.a.devices.faults())
        now = before - 3_000
        demand("stock at A went down by 3", holds=self.on_hand(eyes, "S1") == now)
        until("head office sees it", lambda: self.on_hand(self.hq, "S1") == now)
        until("B sees it", lambda: self.seen_by_neighbour("S2", "S1") == now)
        until("head office priced it again and agrees", lambda: self._agreed(paid["sale"]))
        self.say("  receipt in Chinese, stock down at A, at head office and in B's view; repriced")
        self._by_phone(clerk)
        for _ in range(sales):
            self._timed_sale(clerk)
        self.settled()
        self.say(f"  {sales} sales, every shelf agrees")

    def _by_phone(self, clerk: Clerk) -> None:
        """Scan-pay whose reply is lost: asked about, one capture, one sale."""
        provider = self.a.devices.provider
        if provider is None:
            return
        provider.script("lost-answer")
        basket = clerk.scan(CODE["P0100"])
        attempt = new_id().replace("-", "")
        asked = {"attempt": attempt, "sale": basket["sale"], "kind": "scan"}
        asked |= {"amount_minor": basket["total_minor"], "code": "134512345678901234"}
        clerk.call("/api/till/payments", asked)
        look = f"/api/till/payments/{attempt}"
        until("the sale is paid by phone", lambda: clerk.call(look)["paid"] is not None)
        demand("one capture", holds=provider.captured == [attempt] and not provider.reversed)
        self.say("  paid by phone although the reply was lost: one capture, one sale")

    def _agreed(self, sale: str) -> bool:
        found = self.hq.one("select outcome from reprice_result where sale = :s", s=sale)
        return found == "agreed"

    def _timed_sale(self, clerk: Clerk) -> None:
        start = time.monotonic()
        want = self.on_hand(self.eyes["S1"], "S1", "P0100") - 1_000
        paid = clerk.sell(CODE["P0100"])
        done = time.monotonic()
        until(
            "visible at head office",
            lambda: self.hq.one("select 1 from sale where sale = :s", s=paid["sale"]),
        )
        self.hops[TO_HQ].append(time.monotonic() - done)
        until("visible at B", lambda: self.seen_by_neighbour("S2", "S1", "P0100") == want)
        self.hops[TO_B].append(time.monotonic() - done)
        time.sleep(max(0.0, 1 / SALES_A_SECOND - (time.monotonic() - start)))

    # -- walk 2 -----------------------------------------------------------------------------

    def push(self) -> None:
        """A price and a promotion in force in both shops; a rule that no shop can read refused."""
        self.officer.set_price(SKU, "6.60")
        document = {
            "name": {"zh": "吐司九折", "en": "Toast, 10 % off"},
            "type": "percent_off",
            "select": {"groups": ["toast"]},
            "percent": 10,
        }
        self.officer.publish("toast-10", document)
        for store in self.clerks:
            until(f"{store} answers with toast-10", lambda s=store: "toast-10@1" in self._rules(s))
        hashes = {self._in_force(store)[0] for store in self.clerks}
        demand("both shops name one rule-set hash", holds=len(hashes) == 1)
        toast = next(r for r in bakery.goods() if r["group"] == "toast")
        for store, clerk in self.clerks.items():
            basket = clerk.scan(CODE[SKU])
            demand(f"{store} sells at 6.60", holds=basket["total_minor"] == 660)
            basket = clerk.scan(toast["codes"])
            wanted = round(float(toast["price"]) * 10)
            demand(f"{store} takes 10 % off toast", holds=basket["discount_minor"] == wanted)
            clerk.call("/api/till/clear", {})
        self.say(f"  6.60 and toast-10 in force in both shops, rule set {hashes.pop()[:12]}")
        self._push_unreadable()

    def _in_force(self, store: str) -> tuple[Any, ...]:
        found = self.hq.rows(
            "select rules_hash, rules, refused from rules_in_force where store = :s", s=store
        )
        return found[0] if found else ("", "", "")

    def _rules(self, store: str) -> str:
        return str(self._in_force(store)[1])

    def _push_unreadable(self) -> None:
        office = compose_office(self.chain.office_settings())
        try:
            office.campaigns.publish_unchecked(
                {"id": "from-the-future", "type": "moon_phase", "phase": "full"}, by="admin"
            )
        finally:
            office.books.database.close()
        for store in self.clerks:
            until(
                f"{store} refuses the rule with its reason",
                lambda s=store: (
                    "from-the-future" in str(self._in_force(s)[2])
                    and "moon_phase" in str(self._in_force(s)[2])
                ),
            )
            demand(f"{store} keeps its other rules", holds="bread-3for2@1" in self._rules(store))
        self.say("  a rule of a newer kind: refused by both shops, head office sees why")

    # -- walk 3 -----------------------------------------------------------------------------

    def transfer(self) -> None:
        """Ten go, nine come; and the van that is faster than the news."""
        total = self.in_chain(MOVED)
        transfer = self._dispatch(10_000)
        until("B sees it coming", lambda: self._line(self.eyes["S2"], transfer) == 10_000)
        until("head office has it in transit", lambda: self._in_transit() == 10_000)
        self._demand_sums(total)
        self._receive(transfer, 9_000)
        until("one piece stays in dispute", lambda: self._in_transit() == 1_000)
        until(
            "A hears what arrived",
            lambda: (
                self.eyes["S1"].one(
                    "select sum(qty_milli) from transfer_receipt where transfer = :t", t=transfer
                )
                == 9_000
            ),
        )
        rows = self.officer.call("/api/transfers")["rows"]
        demand("head office lists the dispute", holds=any(transfer in str(r) for r in rows))
        self._demand_sums(total)
        self.say("  10 sent, 9 received, 1 in dispute; the sum of all places never moved")
        self._by_note(total)

    def _by_note(self, total: int) -> None:
        self.chain.broker.kill()
        transfer = self._dispatch(10_000)
        note = self._note(transfer)
        self._receive(transfer, 10_000, by_note=note)
        demand("the news has not come", holds=self._line(self.eyes["S2"], transfer) is None)
        self.chain.broker.start()
        until("A's news reaches B", lambda: self._line(self.eyes["S2"], transfer) == 10_000)
        self.settled()
        until("nothing but the dispute is in transit", lambda: self._in_transit() == 1_000)
        self._demand_sums(total)
        self.say("  10 received by the note's QR before A's news came; settled when it did")

    def _dispatch(self, qty_milli: int) -> str:
        transfer = new_id()
        lines = [{"sku": MOVED, "qty_milli": qty_milli}]
        self.clerks["S1"].call(
            "/api/documents/dispatch", {"document": transfer, "to_store": "S2", "lines": lines}
        )
        return transfer

    def _note(self, transfer: str) -> str:
        """The text of the note's QR, read from the paper in the driver's hand."""
        return until("the note is printed", lambda: self._read_note(transfer))

    def _read_note(self, transfer: str) -> str | None:
        for paper in self.a.devices.receipts(TILL):
            for line in paper.splitlines():
                if transfer in line and "TM1" in line:
                    return line[line.index("TM1") :].split("]")[0].strip()
        return None

    def _receive(self, transfer: str, qty_milli: int, by_note: str = "") -> None:
        self.clerks["S2"].call(
            f"/api/transfers/{transfer}/receive",
            {
                "receipt": new_id(),
                "lines": [{"sku": MOVED, "qty_milli": qty_milli}],
                "by_note": by_note,
            },
        )

    def _line(self, eyes: Eyes, transfer: str) -> int | None:
        found = eyes.one("select qty_milli from transfer_line where transfer = :t", t=transfer)
        return None if found is None else int(found)

    def _in_transit(self) -> int:
        found = self.hq.one(
            "select sum(qty_milli) from stock where place like 'transit/%' and sku = :s", s=MOVED
        )
        return int(found or 0)

    def _demand_sums(self, total: int) -> None:
        demand("all places sum to zero", holds=self.sum_of_places(MOVED) == 0)
        demand("no piece was made or lost", holds=self.in_chain(MOVED) == total)

    # -- walk 4 -----------------------------------------------------------------------------

    def cut_off(self) -> None:
        """No broker for 300 sales and two prices; power cuts in between; nothing lost."""
        chain, clerk = self.chain, self.clerks["S1"]
        before = self.hq.one("select count(*) from sale where store = 'S1'")
        chain.broker.kill()
        chain.broker.wipe()
        self.officer.set_price("P0002", "7.70")
        paid = [clerk.sell(CODE["P0003"]) for _ in range(CUT_SALES // 2)]
        clerk.scan(CODE["P0004"])
        self.a.process.kill()
        chain.central.kill()
        self.a.process.start()
        self.a.process.wait_for()
        basket = clerk.call("/api/till/basket")
        kept = [x["sku"] for x in basket["lines"]]
        demand("the basket survives kill -9", holds=kept == ["P0004"])
        paid.append(clerk.pay_cash(basket))
        chain.central.start()
        chain.central.wait_for()
        self.officer.set_price("P0002", "7.90")
        paid += [clerk.sell(CODE["P0003"]) for _ in range(CUT_SALES - len(paid))]
        self.say(f"  {len(paid)} sales without a broker, edge and head office killed in between")
        chain.broker.wipe()
        chain.broker.start()
        self.settled()
        self._demand_all_there(paid, int(before))
        until(
            "the last price is in force at A",
            lambda: (
                self.eyes["S1"].one(
                    "select price_minor from price where sku = 'P0002' "
                    "order by effective_from_ms desc, rank desc"
                )
                == 790
            ),
        )
        self._prove()

    def _demand_all_there(self, paid: list[Any], before: int) -> None:
        rows = self.hq.rows(
            "select sale, receipt_number, seq from sale where store = 'S1' order by seq"
        )
        demand("no sale is doubled or missing", holds=len(rows) == before + len(paid))
        ours = {p["sale"]: p["receipt_number"] for p in paid}
        seen = [(sale, number) for sale, number, _ in rows if sale in ours]
        demand("every sale has its receipt number", holds=dict(seen) == ours)
        demand("order is kept", holds=[n for _, n in seen] == [p["receipt_number"] for p in paid])
        demand("numbers have no gap", holds=_gap_free(n for _, n, _ in rows))
        self.say(f"  head office has all {len(rows)} sales of A once, in order, numbers gap-free")

    def _prove(self) -> None:
        """Stop everything; `verify` and `rebuild` on all three databases."""
        chain = self.chain
        digests = {s: self.digest(self.hq, s) for s in self.eyes}
        for shop in chain.shops.values():
            shop.process.stop()
        chain.central.stop()
        for name, run in [("central", chain.central_command)] + [
            (s.store, s.command) for s in chain.shops.values()
        ]:
            for word in ("verify", "rebuild"):
                answer = run(word)
                said = answer.stdout + answer.stderr
                demand(f"{word} of {name}: {said}", holds=answer.returncode == 0)
        for store, eyes in self.eyes.items():
            for where in (self.hq, eyes):
                same = self.digest(where, store) == digests[store]
                demand(f"a rebuild gives {store} the same digest", holds=same)
        chain.central.start()
        for shop in chain.shops.values():
            shop.process.start()
            shop.process.wait_for()
        chain.central.wait_for()
        self.say("  verify passes on all three databases; rebuilds give the same digests")


def _gap_free(numbers: Iterable[str]) -> bool:
    """Per till and generation: 1, 2, 3, ..."""
    last: dict[str, int] = {}
    for number in numbers:
        series, _, counter = number.rpartition("-")
        if int(counter) != last.get(series, 0) + 1:
            return False
        last[series] = int(counter)
    return True
