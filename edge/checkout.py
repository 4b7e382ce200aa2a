"""Take money: everything is prepared first, then one transaction makes the sale, or nothing.

A sale paid in cash is priced and recorded in one go. A sale with a payment over a device is frozen
first (`freeze`), paid, and then recorded as it was frozen (`finish`), with the money that came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from devices.note import RECEIPT_PREFIX
from devices.receipt import Block
from edge import payments
from edge.baskets import Baskets, Kept
from edge.catalogue import Catalogue
from edge.drawing import gifts_of, oversold_skus
from edge.node import ShopNode
from edge.numbering import Number, Numbering
from edge.papers import Papers
from edge.payments import Frozen, Row
from edge.people import People
from edge.pricing import Priced, business_date, context_of, price_basket, taxes
from edge.printing import Printing
from edge.room import Room
from edge.rules import Rules
from edge.shifts import Shift, Shifts
from edge.tables import copy_counter
from edge.tenders import CASH, demand_by_hand, settle
from edge.till import BasketLine, BasketState, unknown
from edge.views import PaidSale, TenderIn
from promotions.basket import Context
from protocol.clock import Reading
from protocol.codec import Draft, body_of, decode
from protocol.errors import Conflict, Refusal, define
from protocol.events import (
    AppliedRule,
    ReceiptReprinted,
    SaleCompleted,
    SaleLine,
    SaleWeight,
)
from protocol.node.sqljournal import SqlRecords, upsert
from protocol.node.tables import READ, journal

define(
    {
        "PAY_RED_ROWS": (
            "{count} scanned codes are not known. Deal with the red rows, then take payment; the "
            "sale is kept.",
            "有 {count} 个条码未识别。请先处理红色行再收款，本单已保留。",
        ),
        "PAY_TO_WEIGH": (
            "{count} goods are not weighed yet. Weigh them or put them aside, then take payment; "
            "the sale is kept.",
            "有 {count} 件商品尚未称重。请称重或移除后再收款，本单已保留。",
        ),
        "PAY_OTHER_SALE": (
            "Another sale is on this till now. Nothing was booked and no money may be taken for "
            "the old one; look at the till again.",
            "本收银台当前是另一单。没有记账，请勿为旧单收款，请重新查看。",
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
        "SALE_PRUNED": (
            "The sale {receipt} of {date} is older than what this shop keeps row by row, so it "
            "cannot be shown or printed again here. Head office has the whole receipt.",
            "销售 {receipt}（{date}）已超过本店逐条保存的期限，无法在此查看或补打。"
            "完整小票请在总部查询。",
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

    def priced(self, kept: Kept, reading: Reading, frozen: Frozen | None = None) -> Priced:
        """The basket under the rules in force now, at the instant at which it was frozen if so."""
        s = self.node.settings
        context = context_of(reading, store=s.store, zone=s.zone, tz=s.tz, currency=s.currency)
        if frozen is not None:
            context = msgspec.convert(frozen.body.context, Context)
        return price_basket(kept.state, self.rules.rule_set, context)


class _Prepared(msgspec.Struct, frozen=True):
    kept: Kept
    shift: Shift
    number: Number
    body: SaleCompleted
    draft: Draft
    paper: list[Block]
    next_state: BasketState | None  # the till after it; None when it holds another sale already
    captured: list[Row]  # money that came over devices


class Checkout:
    """Pay, find a sale again, print it again."""

    def __init__(self, floor: SalesFloor) -> None:
        self._floor = floor
        self._node = floor.node

    def pay(self, till: str, sale: str, tenders: Sequence[TenderIn], *, person: str) -> PaidSale:
        """One sale, one event, one receipt, however often it is asked.

        `tenders` is what the cashier took by hand; money that came over a device is added here.
        """
        self._floor.people.demand(person, "sell")
        demand_by_hand(tenders, self._node.settings.payment.by_hand)
        return self._take((till, sale, person), tenders)

    def finish(self, till: str, sale: str) -> PaidSale | None:
        """Record a frozen sale that is paid in full by what came; None when some is missing.

        The money is here, so neither a full disk nor a person who left keeps it from being tried.
        """
        with self._floor.baskets.lock(till):
            with self._node.books.database.reading() as connection:
                done = self._find(connection, sale)
                if done is not None:
                    return paid(*done, again=True)
                self._refuse_pruned(connection, sale)
                frozen = payments.read_frozen(connection, sale)
                held = [row for row in payments.of_sale(connection, sale) if row.held]
            if frozen is None or sum(row.amount_minor for row in held) != frozen.total_minor:
                return None
            return self._take((till, sale, frozen.person), ())

    def _take(self, asked: tuple[str, str, str], tenders: Sequence[TenderIn]) -> PaidSale:
        floor, (till, sale, _person) = self._floor, asked
        with floor.baskets.lock(till):
            with self._node.books.database.reading() as connection:
                done = self._find(connection, sale)
                if done is not None:
                    return paid(*done, again=True)
                frozen = payments.read_frozen(connection, sale)
                if frozen is None:
                    floor.room.demand()
                prepared = self._prepare(connection, asked, tenders, frozen)
            self._commit(till, prepared)
        floor.printing.wake(till)
        if prepared.next_state is not None:
            floor.baskets.tell(till, Kept(prepared.next_state, prepared.kept.version + 1))
        return paid(prepared.body, prepared.draft.at.at_ms, again=False)

    def freeze(self, till: str, sale: str, *, person: str) -> Frozen:
        """The sale as it would be recorded now, before any money: every refusal comes from here.

        Under the basket's lock; `payments.freeze` keeps it.
        """
        reading = self._node.clock.read()
        with self._node.books.database.reading() as connection:
            self._floor.room.demand()
            kept = self._ready(connection, till, sale)
            body = self._priced(connection, till, kept, reading)
        body = msgspec.structs.replace(body, sale=sale, cashier=person)
        return Frozen(sale, till, person, body)

    def answer_first(self, frozen: Frozen) -> list[Draft]:
        """What must stand in the journal before a sale under these rules; often nothing."""
        answer = self._floor.rules.answer_missing(frozen.body.rules_hash)
        return [] if answer is None else [answer]

    def _ready(self, connection: Connection, till: str, sale: str) -> Kept:
        """The basket to pay for, or why not."""
        kept = self._floor.baskets.load(connection, till)
        if kept.state.sale != sale:
            raise Conflict("PAY_OTHER_SALE")
        if not kept.state.lines:
            raise Refusal("BASKET_EMPTY")
        red = unknown(kept.state)
        if red:
            raise Refusal("PAY_RED_ROWS", count=len(red))
        if kept.state.to_weigh:
            raise Refusal("PAY_TO_WEIGH", count=len(kept.state.to_weigh))
        return kept

    def _prepare(
        self,
        connection: Connection,
        asked: tuple[str, str, str],
        tenders: Sequence[TenderIn],
        frozen: Frozen | None,
    ) -> _Prepared:
        """All that can be known before the transaction; every refusal comes from here."""
        floor, (till, sale, person) = self._floor, asked
        shift = floor.shifts.demand(till)
        reading = self._node.clock.read()
        captured: list[Row] = []
        if frozen is None:
            kept = self._ready(connection, till, sale)
            body = self._priced(connection, till, kept, reading)
        else:
            kept = floor.baskets.load(connection, till)
            body = frozen.body
            captured = self._captured(connection, sale)
        number = floor.numbering.next(connection, till)
        settled = settle(body.total_minor, [*(row.tender() for row in captured), *tenders])
        body = msgspec.structs.replace(
            body,
            sale=sale,
            cashier=person,
            shift=shift.shift,
            receipt_number=str(number),
            tenders=settled[0],
            change_minor=settled[1],
            business_date=self._date(reading),
        )
        paper = floor.papers.sale(connection, body, reading.at_ms)
        draft = self._node.draft(body, event=sale, at=reading, till=till, actor=person)
        after = floor.baskets.empty(kept.state) if kept.state.sale == sale else None
        return _Prepared(kept, shift, number, body, draft, paper, after, captured)

    @staticmethod
    def _captured(connection: Connection, sale: str) -> list[Row]:
        rows = payments.of_sale(connection, sale)
        if any(row.unsettled for row in rows):
            raise Conflict("PAY_RUNNING")
        return [row for row in rows if row.held]

    def _priced(
        self, connection: Connection, till: str, kept: Kept, reading: Reading
    ) -> SaleCompleted:
        """The event's body but for number, tenders and names."""
        shift = self._floor.shifts.demand(till)
        priced = self._floor.priced(kept, reading)
        oversold = self._oversold(connection, priced)
        return msgspec.structs.replace(self._body(priced, shift), oversold=oversold)

    def _date(self, reading: Reading) -> str:
        s = self._node.settings
        return business_date(reading.at_ms, s.tz, s.day_starts)

    def _oversold(self, connection: Connection, priced: Priced) -> tuple[str, ...]:
        skus = sorted({x.sku for x in priced.lines})
        short = oversold_skus(priced.lines, self._floor.catalogue.on_hand(connection, skus))
        if short and self._node.settings.oversell.till == "refuse":
            raise Refusal("STOCK_SHORT", skus=", ".join(sorted(short)))
        return tuple(sorted(short))

    def _body(self, priced: Priced, shift: Shift) -> SaleCompleted:
        lines, result = priced.lines, priced.result
        nets = [priced.net(at) for at in range(len(lines))]
        tax_of, parts = taxes(nets, [x.tax_rate_bp for x in lines])
        return SaleCompleted(
            sale="",
            receipt_number="",
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
                    weight=_weight(x),
                    no_discount=x.no_discount,
                    floor_minor=x.floor_minor,
                )
                for at, x in enumerate(lines)
            ),
            tenders=(),
            total_minor=priced.total_minor,
            discount_minor=result.total_discount_minor,
            change_minor=0,
            tax=parts,
            rules_hash=priced.rule_set.hash,
            engine=priced.rule_set.engine,
            context=msgspec.to_builtins(priced.context),
            applied=_applied(priced),
            gifts=gifts_of(priced),
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
            if prepared.captured:
                payments.book(tx, body.sale, prepared.captured)
            if prepared.next_state is not None:
                floor.baskets.save(tx, till, prepared.next_state, prepared.kept.version)
            floor.shifts.add_sale(
                tx,
                prepared.shift,
                total_minor=body.total_minor,
                discount_minor=body.discount_minor,
            )
            if any(t.kind == CASH for t in body.tenders):
                floor.printing.kick(tx, till, f"kick-{body.sale}")
            floor.printing.enqueue(tx, till, f"receipt-{body.sale}", prepared.paper)

    def find(self, sale: str) -> tuple[SaleCompleted, int] | None:
        """A recorded sale and its instant. Refusal SALE_PRUNED when only its sums are left."""
        with self._node.books.database.reading() as connection:
            found = self._find(connection, sale)
            if found is None:
                self._refuse_pruned(connection, sale)
            return found

    def _refuse_pruned(self, connection: Connection, sale: str) -> None:
        table = READ["sale"].c
        row = connection.execute(
            select(table.receipt_number, table.business_date, table.seq).where(
                table.store == self._node.store, table.sale == sale
            )
        ).first()
        if row is not None and row.seq <= SqlRecords(connection).low(self._node.stream):
            raise Refusal("SALE_PRUNED", receipt=row.receipt_number, date=row.business_date)

    def _find(self, connection: Connection, sale: str) -> tuple[SaleCompleted, int] | None:
        data = connection.execute(_FIND, {"sale": sale, "own": self._node.stream}).scalar()
        if data is None:
            return None
        envelope = decode(data)
        body = body_of(envelope)
        return (body, envelope.ts) if isinstance(body, SaleCompleted) else None

    def paid_sale(self, sale: str) -> PaidSale | None:
        """The answer that its payment got; None when it is not recorded."""
        found = self.find(sale)
        return paid(*found, again=True) if found else None

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
            found = [self._find(connection, sale) for sale in sales]
        return [paid(*one, again=True) for one in found if one]

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


def _weight(line: BasketLine) -> SaleWeight | None:
    if line.weight is None:
        return None
    weight = line.weight
    return SaleWeight(by=weight.by, gross_g=weight.gross_g, tare_g=weight.tare_g, unit=line.unit)


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
