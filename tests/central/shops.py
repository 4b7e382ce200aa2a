"""A shop's own books in a test, and the way of its events into head office."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from central.compose import HeadOffice
from promotions.basket import BasketLine, Context
from promotions.engine import price
from promotions.rule import parse
from promotions.ruleset import RuleSet, compile_rules
from protocol.clock import ClockState, Reading
from protocol.codec import Draft
from protocol.events import (
    AppliedRule,
    Counted,
    Event,
    Gift,
    Moved,
    ReceivedLine,
    RefusedRule,
    RulesInForce,
    SaleCompleted,
    SaleLine,
    StockCounted,
    StockDigest,
    Tender,
    TransferDispatched,
    TransferReceived,
)
from protocol.ids import NodeId, shop_stream
from protocol.ledger import shelf
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.sqljournal import Recorded, SqlJournal, SqlRecords, read_line
from protocol.replication import Accepted

NOON = 1_795_000_000_000  # 2026-11-18
TZ = "Asia/Shanghai"


class Shop:
    """Writes `shop/{store}` in a database of its own; `deliver` carries it to head office."""

    def __init__(self, store: str, folder: Path, *, epoch: str = "") -> None:
        self.store = store
        self.stream = shop_stream(store)
        database = Database(f"sqlite:///{folder}/{store}{epoch}.db")
        self.books = Books(database, SqlJournal(NodeId(store), epoch or f"{store:e<16}"[:16]))
        self.books.create()
        self.at_ms = NOON
        self.count = 0

    def close(self) -> None:
        self.books.database.close()

    def say(self, *bodies: Event, ids: Sequence[str] = (), actor: str = "kim") -> None:
        self.count += len(bodies)
        drafts = [
            Draft(
                id=ids[n] if n < len(ids) else f"{self.store}-{self.count}-{n}",
                body=body,
                at=Reading(self.at_ms, 20, ClockState.TRUSTED),
                actor=actor,
            )
            for n, body in enumerate(bodies)
        ]
        with self.books.begin() as tx:
            self.books.record(tx, {self.stream: drafts})

    def deliver(self, office: HeadOffice) -> list[Recorded]:
        """As the replicator does it: keep and react in one transaction."""
        with office.books.begin() as tx:
            head = SqlRecords(tx).head(self.stream)
            with self.books.database.reading() as mine:
                events = read_line(mine, self.stream, head.seq, limit=10_000)
            if not events:
                return []
            verdict = Accepted(head, tuple(events), events[-1].position, fork=False)
            recorded = office.books.keep(tx, verdict, at_ms=self.at_ms)
            office.transfers.react(tx, recorded)
        return recorded

    # -- what shops say -----------------------------------------------------------------------

    def open_with(self, **on_hand: int) -> None:
        lines = tuple(
            Counted(sku=sku, counted_qty_milli=milli, book_qty_milli=0)
            for sku, milli in on_hand.items()
        )
        self.say(StockCounted(document=f"{self.store}-opening", lines=lines, opening=True))

    def dispatch(self, transfer: str, to_store: str, **lines: int) -> None:
        moved = tuple(Moved(sku=sku, qty_milli=milli) for sku, milli in lines.items())
        self.say(TransferDispatched(transfer=transfer, to_store=to_store, lines=moved))

    def receive(self, transfer: str, receipt: str, from_store: str, **lines: int) -> None:
        came = tuple(ReceivedLine(sku=sku, qty_milli=milli) for sku, milli in lines.items())
        self.say(
            TransferReceived(transfer=transfer, receipt=receipt, from_store=from_store, lines=came),
            actor="lee",
        )

    def prove(self, digest: str = "") -> None:
        found, products = self.books.proof(shelf(self.store))
        self.say(StockDigest(digest=digest or found, products=products))

    def answer(self, office: HeadOffice, *refused: RefusedRule) -> RuleSet:
        """Compile what head office published, and say so."""
        left_out = {one.rule for one in refused}
        documents = [
            (c.rule, c.version, c.document)
            for c in office.campaigns.campaigns()
            if c.state == "published" and c.rule not in left_out
        ]
        rule_set = compile_rules([parse(document) for _, _, document in documents], TZ)
        with office.books.database.reading() as connection:
            upto = {"all": SqlRecords(connection).head("all").seq}
        self.say(
            RulesInForce(
                rules_hash=rule_set.hash,
                rules=tuple(f"{rule}@{version}" for rule, version, _ in documents),
                refused=refused,
                engine=rule_set.engine,
                tzdata="test",
                upto=upto,
            )
        )
        return rule_set

    def sell(
        self,
        rules: RuleSet,
        sale: str,
        *lines: tuple[str, str, int, int],
        **changes: Any,
    ) -> SaleCompleted:
        """Lines are (sku, group, unit price, thousandths); priced as a till would."""
        context = Context(store_tz=TZ, time_ms=self.at_ms, store=self.store, uncertainty_ms=20)
        basket = [
            BasketLine(sku=s, group=g, unit_price_minor=p, qty_milli=q) for s, g, p, q in lines
        ]
        priced = price(basket, rules, context)
        total = priced.gross_minor - priced.total_discount_minor
        body = SaleCompleted(
            sale=sale,
            receipt_number=f"T1-1-{self.count + 1:06d}",
            till="T1",
            shift="S1",
            cashier="kim",
            business_date="2026-11-18",
            currency="CNY",
            lines=tuple(
                SaleLine(
                    sku=line.sku,
                    code="",
                    name={"zh": line.sku},
                    group=line.group,
                    qty_milli=line.qty_milli,
                    unit_price_minor=line.unit_price_minor,
                    price_version="all@1",
                    gross_minor=line.unit_price_minor * line.qty_milli // 1000,
                    discount_minor=priced.per_line[n],
                )
                for n, line in enumerate(basket)
            ),
            tenders=(Tender(kind="cash", amount_minor=total, given_minor=total),),
            total_minor=total,
            discount_minor=priced.total_discount_minor,
            change_minor=0,
            tax=(),
            rules_hash=rules.hash,
            engine=rules.engine,
            context=msgspec.to_builtins(context),
            applied=tuple(
                AppliedRule(
                    rule=a.rule_id,
                    version=a.version,
                    discount_minor=a.discount_minor,
                    per_line=tuple(a.per_line),
                )
                for a in priced.applied
            ),
            gifts=tuple(Gift(sku=s, qty_milli=q * 1000, rule="") for s, q in priced.gifts),
        )
        body = msgspec.structs.replace(body, **changes)
        self.say(body, ids=[sale])
        return body
