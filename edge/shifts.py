"""Shifts: a drawer and a cashier, from an opening event to a closing one (a range of sequences)."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from edge.baskets import Baskets
from edge.node import ShopNode
from edge.papers import Papers
from edge.people import People
from edge.printing import Printing
from edge.proofs import stock_digest_draft
from edge.tables import shift_running
from edge.views import Shift, ShiftReport, TenderTotal
from protocol.errors import Refusal, define
from protocol.events import CashMoved, ShiftClosed, ShiftOpened, ShiftTotal
from protocol.money import MINOR_MAX
from protocol.node.sqljournal import Recorded, SqlRecords, upsert
from protocol.node.tables import READ

define(
    {
        "SHIFT_NONE": (
            "No shift is open at till {till}. Open one (count the float), then go on; the sale is "
            "kept.",
            "收银台 {till} 尚未开班。请先开班（清点备用金），本单已保留。",
        ),
        "SHIFT_OPEN_ALREADY": (
            "A shift of {cashier} is open at till {till}. Close it first.",
            "收银台 {till} 上 {cashier} 的班次尚未交班，请先交班。",
        ),
        "SHIFT_BASKET_OPEN": (
            "There is an unpaid sale on till {till}. Pay, hold or clear it, then close the shift.",
            "收银台 {till} 有未结账的销售。请先结账、挂单或清空，再交班。",
        ),
        "SHIFT_UNKNOWN": (
            "There is no such shift.",
            "没有该班次。",
        ),
        "AMOUNT_OUT_OF_RANGE": (
            "{amount} is not an amount that can be booked here. Check the figure.",
            "{amount} 不是可记账的金额，请检查数字。",
        ),
    }
)

_insert = sqlite_insert(shift_running)
_ADD_SALE: Final = _insert.on_conflict_do_update(
    index_elements=["shift"],
    set_={
        name: shift_running.c[name] + _insert.excluded[name]
        for name in ("sales", "total_minor", "discount_minor")
    },
)

__all__ = ["Shift", "ShiftReport", "Shifts", "TenderTotal"]


class Shifts:
    """Open, close, report."""

    def __init__(
        self,
        node: ShopNode,
        *,
        people: People,
        baskets: Baskets,
        printing: Printing,
        papers: Papers,
    ) -> None:
        self._node = node
        self._people = people
        self._baskets = baskets
        self._printing = printing
        self._papers = papers
        self._lock = threading.Lock()
        self._known: dict[str, Shift | None] = {}

    @property
    def _by_hand(self) -> tuple[str, ...]:
        return tuple(self._node.settings.payment.by_hand)

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """Listener of the books: what is remembered of shifts may be over."""
        if any(isinstance(r.body, ShiftOpened | ShiftClosed) for r in recorded):
            with self._lock:
                self._known.clear()

    def current(self, till: str) -> Shift | None:
        """The open shift of a till."""
        with self._lock:
            if till in self._known:
                return self._known[till]
            with self._node.books.database.reading() as connection:
                found = self._open_one(connection, till)
            self._known[till] = found
            return found

    def _open_one(self, connection: Connection, till: str) -> Shift | None:
        opened, closed = READ["shift"].alias("o"), READ["shift"].alias("c")
        same = and_(
            closed.c.store == opened.c.store,
            closed.c.shift == opened.c.shift,
            closed.c.phase == "closed",
        )
        row = connection.execute(
            select(opened)
            .outerjoin(closed, same)
            .where(
                opened.c.store == self._node.store,
                opened.c.phase == "opened",
                opened.c.till == till,
                closed.c.shift.is_(None),
            )
            .order_by(opened.c.seq.desc())
            .limit(1)
        ).first()
        return _shift(row) if row else None

    def demand(self, till: str) -> Shift:
        """The open shift, or SHIFT_NONE."""
        found = self.current(till)
        if found is None:
            raise Refusal("SHIFT_NONE", till=till)
        return found

    def open(self, till: str, *, person: str, float_minor: int, shift: str) -> Shift:
        """Start; `shift` is the id the page made. SHIFT_OPEN_ALREADY when another one is open."""
        self._people.demand(person, "shift")
        self._node.settings.till(till)
        _demand_amount(float_minor)
        with self._baskets.lock(till):
            known = self.current(till)
            if known is not None and known.shift != shift:
                raise Refusal("SHIFT_OPEN_ALREADY", cashier=known.cashier, till=till)
            if known is not None:
                return known
            body = ShiftOpened(shift=shift, till=till, cashier=person, float_minor=float_minor)
            draft = self._node.draft(body, event=f"{shift}-open", till=till, actor=person)
            with self._node.books.begin() as tx:
                self._node.books.record(tx, {self._node.stream: [draft]})
                self._keep_running(tx, shift, till)
            return self.demand(till)

    def _keep_running(self, tx: Connection, shift: str, till: str) -> None:
        fresh = {"till": till, "sales": 0, "total_minor": 0, "discount_minor": 0}
        tx.execute(upsert(tx, shift_running).on_conflict_do_nothing(), {"shift": shift, **fresh})

    def add_sale(
        self, tx: Connection, shift: Shift, *, total_minor: int, discount_minor: int
    ) -> None:
        """Inside the sale's transaction: the running totals."""
        row = {"shift": shift.shift, "till": shift.till, "sales": 1}
        row |= {"total_minor": total_minor, "discount_minor": discount_minor}
        tx.execute(_ADD_SALE, row)

    def x_report(self, till: str) -> ShiftReport:
        """The figures so far; SHIFT_NONE when no shift is open."""
        shift = self.demand(till)
        with self._node.books.database.reading() as connection:
            return self._running(connection, shift)

    def _running(self, connection: Connection, shift: Shift) -> ShiftReport:
        run = connection.execute(
            select(shift_running).where(shift_running.c.shift == shift.shift)
        ).first()
        table = READ["shift_tender"].c
        rows = connection.execute(
            select(table.kind, table.sales, table.amount_minor)
            .where(table.store == self._node.store, table.shift == shift.shift)
            .order_by(table.kind)
        )
        taken = {r.kind: (r.sales, r.amount_minor) for r in rows}
        taken.setdefault("cash", (0, 0))
        head = SqlRecords(connection).head(self._node.stream)
        return ShiftReport(
            shift=shift.shift,
            till=shift.till,
            cashier=shift.cashier,
            opened_ms=shift.opened_ms,
            closed_ms=None,
            first_seq=shift.opened_seq,
            last_seq=head.seq,
            sales=run.sales if run else 0,
            total_minor=run.total_minor if run else 0,
            discount_minor=run.discount_minor if run else 0,
            float_minor=shift.float_minor,
            totals=tuple(
                TenderTotal(kind, n, amount + (shift.float_minor if kind == "cash" else 0), None)
                for kind, (n, amount) in sorted(taken.items())
            ),
            held=tuple(self._baskets.list_held(connection)),
            currency=self._node.settings.currency,
        )

    def close(
        self, till: str, *, person: str, counted: Mapping[str, int], shift: str
    ) -> ShiftReport:
        """End the shift with what was counted per tender kind; prints the Z report.

        The basket must be empty (SHIFT_BASKET_OPEN); the same shift twice gives the same answer.
        """
        self._people.demand(person, "shift")
        for amount in counted.values():
            _demand_amount(amount)
        with self._baskets.lock(till):
            done = self.report(shift)
            if done is not None:
                return done
            current = self.demand(till)
            if current.shift != shift:
                raise Refusal("SHIFT_UNKNOWN")
            at = self._node.clock.read()
            with self._node.books.begin() as tx:
                if self._baskets.load(tx, till).state.lines:
                    raise Refusal("SHIFT_BASKET_OPEN", till=till)
                report = _counted(self._running(tx, current), counted, self._by_hand)
                body = _closing(report, person)
                report = msgspec.structs.replace(report, closed_ms=at.at_ms)
                draft = self._node.draft(
                    body, event=f"{shift}-close", at=at, till=till, actor=person
                )
                proof = stock_digest_draft(tx, self._node, at)
                self._node.books.record(tx, {self._node.stream: [draft, proof]})
                paper = self._papers.shift(report)
                self._printing.enqueue(tx, till, f"{shift}-z", paper)
            self._printing.wake(till)
        return report

    def report(self, shift: str) -> ShiftReport | None:
        """The Z report of a closed shift."""
        table = READ["shift"]
        with self._node.books.database.reading() as connection:
            rows = connection.execute(
                select(table).where(table.c.store == self._node.store, table.c.shift == shift)
            )
            phases = {row.phase: row for row in rows}
            if "closed" not in phases or "opened" not in phases:
                return None
            closed = phases["closed"]
            base = self._running(connection, _shift(phases["opened"]))
        totals = msgspec.json.decode(closed.detail, type=list[ShiftTotal])
        sales = {t.kind: t.sales for t in base.totals}
        return msgspec.structs.replace(
            base,
            cashier=closed.cashier,
            closed_ms=closed.at_ms,
            last_seq=closed.seq - 1,
            sales=closed.sales,
            total_minor=closed.total_minor,
            totals=tuple(
                TenderTotal(t.kind, sales.get(t.kind, 0), t.expected_minor, t.counted_minor)
                for t in totals
            ),
            held=(),
        )

    def move_cash(self, till: str, *, person: str, amount_minor: int, reason: str) -> None:
        """Cash into (positive) or out of the drawer."""
        self._people.demand(person, "shift")
        _demand_amount(abs(amount_minor))
        shift = self.demand(till)
        body = CashMoved(
            shift=shift.shift, till=till, amount_minor=amount_minor, reason=reason[:200]
        )
        with self._node.books.begin() as tx:
            draft = self._node.draft(body, till=till, actor=person)
            self._node.books.record(tx, {self._node.stream: [draft]})
            self._printing.kick(tx, till, f"kick-{draft.id}")
        self._printing.wake(till)


def _demand_amount(amount_minor: int) -> None:
    if not 0 <= amount_minor <= MINOR_MAX:
        raise Refusal("AMOUNT_OUT_OF_RANGE", amount=amount_minor)


def _shift(row: Any) -> Shift:
    return Shift(
        shift=row.shift,
        till=row.till,
        cashier=row.cashier,
        float_minor=row.float_minor,
        opened_ms=row.at_ms,
        opened_seq=row.seq,
    )


def _counted(
    report: ShiftReport, counted: Mapping[str, int], by_hand: Sequence[str]
) -> ShiftReport:
    """What the book expects beside what was counted; what was not counted counts as nothing.

    Money that our own devices collected cannot be counted: the provider's answer is the count.
    """
    expected = {t.kind: t for t in report.totals}
    told = {t.kind: t.expected_minor for t in report.totals if t.kind not in {"cash", *by_hand}}
    counted = told | dict(counted)
    kinds = sorted(expected.keys() | counted.keys())
    return msgspec.structs.replace(
        report,
        totals=tuple(
            TenderTotal(
                kind,
                expected[kind].sales if kind in expected else 0,
                expected[kind].expected_minor if kind in expected else 0,
                counted.get(kind, 0),
            )
            for kind in kinds
        ),
    )


def _closing(report: ShiftReport, person: str) -> ShiftClosed:
    return ShiftClosed(
        shift=report.shift,
        till=report.till,
        cashier=person,
        first_seq=report.first_seq,
        last_seq=report.last_seq,
        sales=report.sales,
        total_minor=report.total_minor,
        discount_minor=report.discount_minor,
        float_minor=report.float_minor,
        totals=tuple(
            ShiftTotal(
                kind=t.kind, expected_minor=t.expected_minor, counted_minor=t.counted_minor or 0
            )
            for t in report.totals
        ),
    )
