"""Take money: everything is prepared first, then one transaction makes the sale, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from devices.note import RECEIPT_PREFIX
from devices.receipt import Block
from edge.baskets import Baskets, Kept
from edge.catalogue import Catalogue
from edge.drawing import oversold_skus
from edge.node import ShopNode
from edge.numbering import Number, Numbering
from edge.papers import Papers
from edge.people import People
from edge.pricing import Priced, business_date, context_of, price_basket, taxes
from edge.printing import Printing
from edge.room import Room
from edge.rules import Rules
from edge.shifts import Shift, Shifts
from edge.tables import copy_counter
from edge.till import BasketState, unknown
from edge.views import PaidSale, TenderIn
from protocol.clock import Reading
from protocol.codec import Draft, body_of, decode
from protocol.errors import Conflict, Refusal, define
from protocol.events import (
    AppliedRule,
    Gift,
    ReceiptReprinted,
    SaleCompleted,
    SaleLine,
    Tender,
)
from protocol.money import MINOR_MAX, format_minor
from protocol.node.sqljournal import upsert
from protocol.node.tables import READ, journal

TENDER_KINDS = ("cash", "scan", "card")

define(
    {
        "PAY_RED_ROWS": (
            "{count} scanned codes are not known. Deal with the red rows, then take payment; the "
            "sale is kept.",
            "有 {count} 个条码未识别。请先处理红色行再收款，本单已保留。",
        ),
        "PAY_OTHER_SALE": (
            "Another sale is on this till now. Nothing was booked and no money may be taken for "
            "the old one; look at the till again.",
            "本收银台当前是另一单。没有记账，请勿为旧单收款，请重新查看。",
        ),
        "PAY_SHORT": (
            "{missing} is still missing. Nothing was booked; take the rest.",
            "还差 {missing}。尚未记账，请补收。",
        ),
        "PAY_TOO_MUCH": (
            "{kind} payments come to {over} more than the total. Only cash gives change; nothing "
            "was booked.",
            "{kind} 支付超出应付 {over}。只有现金可以找零；尚未记账。",
        ),
        "TENDER_UNKNOWN": (
            "“{kind}” is no means of payment here.",
            "“{kind}”不是本店的支付方式。",
        ),
        "STOCK_SHORT": (
            "The book has less than is asked for of: {skus}. Nothing was booked. Count the shelf, "
            "or take less.",
            "以下商品账面库存不足：{skus}。没有记账。请盘点或减少数量。",
        ),
        "SALE_UNKNOWN": (
            "There is no such sale in this shop.",
            "本店没有这笔销售。",
        ),
    }
)

_FIND: Final = select(journal.c.data).where(
    journal.c.id == bindparam("sale"),
    journal.c.stream == bindparam("own"),
    journal.c.type == SaleCompleted.__name__,
)


@dataclass(frozen=True, slots=True)
class SalesFloor:
    """Everything that a sale touches; made by `edge.compose`."""

    node: ShopNode
    catalogue: Catalogue
    rules: Rules
    people: People
    baskets: Baskets
    shifts: Shifts
    printing: Printing
    papers: Papers
    numbering: Numbering
    room: Room

    def priced(self, kept: Kept, reading: Reading) -> Priced:
        """The basket under the rules in force now."""
        s = self.node.settings
        context = context_of(reading, store=s.store, zone=s.zone, tz=s.tz, currency=s.currency)
        return price_basket(kept.state, self.rules.rule_set, context)


class _Prepared(msgspec.Struct, frozen=True):
    kept: Kept
    shift: Shift
    number: Number
    body: SaleCompleted
    draft: Draft
    paper: list[Block]
    next_state: BasketState  # the till after it


class Checkout:
    """Pay, find a sale again, print it again."""

    def __init__(self, floor: SalesFloor) -> None:
        self._floor = floor
        self._node = floor.node

    def pay(self, till: str, sale: str, tenders: Sequence[TenderIn], *, person: str) -> PaidSale:
        """One sale, one event, one receipt, however often it is asked."""
        floor = self._floor
        floor.people.demand(person, "sell")
        with floor.baskets.lock(till):
            with self._node.books.database.reading() as connection:
                done = self._find(connection, sale)
                if done is not None:
                    return paid(*done, again=True)
                floor.room.demand()
                prepared = self._prepare(connection, (till, sale, person), tenders)
            self._commit(till, prepared)
        floor.printing.wake(till)
        floor.baskets.tell(till, Kept(prepared.next_state, prepared.kept.version + 1))
        return paid(prepared.body, prepared.draft.at.at_ms, again=False)

    def _prepare(
        self, connection: Connection, asked: tuple[str, str, str], tenders: Sequence[TenderIn]
    ) -> _Prepared:
        """All that can be known before the transaction; every refusal comes from here."""
        floor, (till, sale, person) = self._floor, asked
        shift = floor.shifts.demand(till)
        reading = self._node.clock.read()
        kept = floor.baskets.load(connection, till)
        if kept.state.sale != sale:
            raise Conflict("PAY_OTHER_SALE")
        if not kept.state.lines:
            raise Refusal("BASKET_EMPTY")
        red = unknown(kept.state)
        if red:
            raise Refusal("PAY_RED_ROWS", count=len(red))
        priced = floor.priced(kept, reading)
        oversold = self._oversold(connection, priced)
        number = floor.numbering.next(connection, till)
        body = self._body(priced, shift, number, settle(priced.total_minor, tenders))
        body = msgspec.structs.replace(
            body,
            sale=sale,
            cashier=person,
            oversold=oversold,
            business_date=self._date(reading),
        )
        paper = floor.papers.sale(connection, body, reading.at_ms)
        draft = self._node.draft(body, event=sale, at=reading, till=till, actor=person)
        return _Prepared(kept, shift, number, body, draft, paper, floor.baskets.empty(kept.state))

    def _date(self, reading: Reading) -> str:
        s = self._node.settings
        return business_date(reading.at_ms, s.tz, s.day_starts)

    def _oversold(self, connection: Connection, priced: Priced) -> tuple[str, ...]:
        skus = sorted({x.sku for x in priced.lines})
        short = oversold_skus(priced.lines, self._floor.catalogue.on_hand(connection, skus))
        if short and self._node.settings.oversell.till == "refuse":
            raise Refusal("STOCK_SHORT", skus=", ".join(sorted(short)))
        return tuple(sorted(short))

    def _body(
        self,
        priced: Priced,
        shift: Shift,
        number: Number,
        settled: tuple[tuple[Tender, ...], int],
    ) -> SaleCompleted:
        lines, result = priced.lines, priced.result
        nets = [priced.net(at) for at in range(len(lines))]
        tax_of, parts = taxes(nets, [x.tax_rate_bp for x in lines])
        return SaleCompleted(
            sale="",
            receipt_number=str(number),
            till=shift.till,
            shift=shift.shift,
            cashier=shift.cashier,
            business_date="",
            currency=self._node.settings.currency,
            lines=tuple(
                SaleLine(
                    sku=x.sku,
                    code=x.code,
                    name=x.name,
                    group=x.group,
                    qty_milli=x.qty_milli,
                    unit_price_minor=x.unit_price_minor,
                    price_version=x.price_version,
                    gross_minor=priced.gross[at],
                    discount_minor=result.per_line[at],
                    tax_rate_bp=x.tax_rate_bp,
                    tax_minor=tax_of[at],
                    weighed=x.weighed,
                    no_discount=x.no_discount,
                    floor_minor=x.floor_minor,
                )
                for at, x in enumerate(lines)
            ),
            tenders=settled[0],
            total_minor=priced.total_minor,
            discount_minor=result.total_discount_minor,
            change_minor=settled[1],
            tax=parts,
            rules_hash=priced.rule_set.hash,
            engine=priced.rule_set.engine,
            context=msgspec.to_builtins(priced.context),
            applied=_applied(priced),
            gifts=tuple(
                Gift(sku=sku, qty_milli=pieces * 1000, rule=a.rule_id)
                for a in result.applied
                for sku, pieces in a.gifts
            ),
            exact=result.exact,
            upper_bound_minor=None if result.exact else result.upper_bound_minor,
        )

    def _commit(self, till: str, prepared: _Prepared) -> None:
        """The one transaction; on any fault nothing of it remains."""
        floor, body = self._floor, prepared.body
        answer = floor.rules.answer_missing(body.rules_hash)
        drafts = [prepared.draft] if answer is None else [answer, prepared.draft]
        with self._node.books.begin() as tx:
            self._node.books.record(tx, {self._node.stream: drafts})
            floor.numbering.use(tx, prepared.number)
            floor.baskets.save(tx, till, prepared.next_state, prepared.kept.version)
            floor.shifts.add_sale(
                tx,
                prepared.shift,
                total_minor=body.total_minor,
                discount_minor=body.discount_minor,
            )
            if any(t.kind == "cash" for t in body.tenders):
                floor.printing.kick(tx, till, f"kick-{body.sale}")
            floor.printing.enqueue(tx, till, f"receipt-{body.sale}", prepared.paper)

    def find(self, sale: str) -> tuple[SaleCompleted, int] | None:
        """A recorded sale and its instant."""
        with self._node.books.database.reading() as connection:
            return self._find(connection, sale)

    def _find(self, connection: Connection, sale: str) -> tuple[SaleCompleted, int] | None:
        data = connection.execute(_FIND, {"sale": sale, "own": self._node.stream}).scalar()
        if data is None:
            return None
        envelope = decode(data)
        body = body_of(envelope)
        return (body, envelope.ts) if isinstance(body, SaleCompleted) else None

    def find_receipt(self, receipt_number: str) -> SaleCompleted | None:
        """By receipt number, or by the barcode that carries it."""
        number = receipt_number.strip().removeprefix(RECEIPT_PREFIX)
        table = READ["sale"].c
        with self._node.books.database.reading() as connection:
            sale = connection.execute(
                select(table.sale).where(
                    table.store == self._node.store, table.receipt_number == number
                )
            ).scalar()
        found = self.find(sale) if sale else None
        return found[0] if found else None

    def recent(self, till: str, limit: int) -> list[PaidSale]:
        """The newest sales."""
        table = READ["sale"].c
        query = select(table.sale).where(table.store == self._node.store)
        if till:
            query = query.where(table.till == till)
        with self._node.books.database.reading() as connection:
            sales = list(
                connection.execute(query.order_by(table.at_ms.desc()).limit(limit)).scalars()
            )
        return [paid(*found, again=True) for sale in sales if (found := self.find(sale))]

    def reprint(self, sale: str, *, till: str, person: str) -> int:
        """A marked copy, recorded; returns its number."""
        floor = self._floor
        floor.people.demand(person, "sell")
        floor.printing.demand_printer(till)
        found = self.find(sale)
        if found is None:
            raise Refusal("SALE_UNKNOWN")
        body, at_ms = found
        with self._node.books.begin() as tx:
            copy_no = self._next_copy(tx, sale)
            copy = ReceiptReprinted(sale=sale, receipt_number=body.receipt_number, copy_no=copy_no)
            draft = self._node.draft(copy, event=f"{sale}-copy-{copy_no}", till=till, actor=person)
            self._node.books.record(tx, {self._node.stream: [draft]})
            paper = floor.papers.sale(tx, body, at_ms)
            floor.printing.enqueue(tx, till, f"receipt-{sale}-{copy_no}", paper, copy_no=copy_no)
        floor.printing.wake(till)
        return copy_no

    def _next_copy(self, tx: Connection, sale: str) -> int:
        statement = upsert(tx, copy_counter).on_conflict_do_update(
            index_elements=["sale"], set_={"copies": copy_counter.c.copies + 1}
        )
        tx.execute(statement, {"sale": sale, "copies": 1})
        found: Any = tx.execute(
            select(copy_counter.c.copies).where(copy_counter.c.sale == sale)
        ).scalar_one()
        return int(found)


def _applied(priced: Priced) -> tuple[AppliedRule, ...]:
    return tuple(
        AppliedRule(
            rule=a.rule_id,
            version=a.version,
            discount_minor=a.discount_minor,
            name={
                language: priced.rule_set.live[a.rule_id].rule.title(language)
                for language in ("zh", "en")
            },
            per_line=tuple((at, amount) for at, amount in a.per_line),
        )
        for a in priced.result.applied
    )


def settle(total_minor: int, tenders: Sequence[TenderIn]) -> tuple[tuple[Tender, ...], int]:
    """What each tender covers, and the change; only cash gives change."""
    for one in tenders:
        if one.kind not in TENDER_KINDS:
            raise Refusal("TENDER_UNKNOWN", kind=one.kind[:20])
        if not 0 <= one.given_minor <= MINOR_MAX:
            raise Refusal("AMOUNT_OUT_OF_RANGE", amount=one.given_minor)
    left = total_minor
    covered = []
    for one in sorted(tenders, key=lambda t: t.kind == "cash"):
        if one.kind != "cash" and one.given_minor > left:
            over = format_minor(one.given_minor - left)
            raise Refusal("PAY_TOO_MUCH", kind=one.kind, over=over)
        part = min(one.given_minor, left)
        left -= part
        covered.append(
            Tender(
                kind=one.kind,
                amount_minor=part,
                given_minor=one.given_minor,
                reference=one.reference[:60],
            )
        )
    if left:
        raise Refusal("PAY_SHORT", missing=format_minor(left))
    change = sum(t.given_minor - t.amount_minor for t in covered)
    return tuple(covered), change


def paid(body: SaleCompleted, at_ms: int, *, again: bool) -> PaidSale:
    """The answer to a payment."""
    return PaidSale(
        sale=body.sale,
        receipt_number=body.receipt_number,
        till=body.till,
        cashier=body.cashier,
        total_minor=body.total_minor,
        discount_minor=body.discount_minor,
        given_minor=sum(t.given_minor for t in body.tenders),
        change_minor=body.change_minor,
        items_milli=sum(x.qty_milli for x in body.lines),
        currency=body.currency,
        at_ms=at_ms,
        oversold=body.oversold,
        again=again,
    )
