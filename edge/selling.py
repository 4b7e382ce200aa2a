"""Ring up and take money: every verb of a till."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge import payments
from edge import till as pure
from edge.baskets import Kept
from edge.catalogue import Found, Hit
from edge.checkout import Checkout, SalesFloor
from edge.drawing import (
    as_frozen,
    gift_views,
    gifts_of,
    line_reasons,
    line_views,
    oversold_skus,
    reason_view,
    to_weigh,
)
from edge.recognising import Recogniser
from edge.views import BasketView, HeldView, PaidSale, ReasonView, TenderIn
from edge.weighing import Weighing
from edge.words import Notice, notice, notice_of
from protocol.clock import Reading
from protocol.errors import Refusal, TillmeshError, define
from protocol.events import SaleCompleted
from protocol.money import format_minor

if TYPE_CHECKING:
    from collections.abc import Callable

define(
    {
        "WARN_OVERSOLD": (
            "The book has less than is sold here ({skus}). Selling goes on; a count is due.",
            "账面库存少于本次销售（{skus}）。可继续销售，请安排盘点。",
        ),
        "WARN_CLOCK": (
            "The time is not certain ({state}), so timed promotions wait. Selling goes on; a "
            "manager can confirm the time.",
            "时间无法确认（{state}），限时促销暂不生效。可继续销售，店长可确认时间。",
        ),
        "WARN_BOUND": (
            "This sale is so large that a better combination of promotions may exist (at most "
            "{bound}).",
            "本单很大，促销组合可能还有更优方案（最多 {bound}）。",
        ),
    }
)


class Selling:
    """The verbs of the tills of one shop. `person` is the id of whoever is signed in.

    Every verb that changes the basket takes `expect_version` (of the view the page shows); None
    means "whatever it is now", which is right for scans, that may overtake each other's answers.
    BASKET_CHANGED is a Conflict: draw the new view, try again.
    """

    def __init__(
        self,
        floor: SalesFloor,
        recogniser: Recogniser,
        checkout: Checkout,
        weighing: Weighing,
        prices_changed_ms: "Callable[[], int]",
    ) -> None:
        self._floor = floor
        self._weighing = weighing
        self._node = floor.node
        self._recogniser = recogniser
        self._prices_changed_ms = prices_changed_ms
        self._checkout = checkout

    # -- look ---------------------------------------------------------------------------------

    def view(self, till: str) -> BasketView:
        """The basket as it stands, priced anew; at the price being paid while a payment is open."""
        self._node.settings.till(till)
        with self._node.books.database.reading() as connection:
            kept = self._floor.baskets.load(connection, till)
            frozen = payments.read_frozen(connection, kept.state.sale)
        if frozen is None:
            return self._view(till, kept)
        return as_frozen(self._view(till, kept, frozen), frozen.body)

    def _view(self, till: str, kept: Kept, frozen: payments.Frozen | None = None) -> BasketView:
        floor, reading = self._floor, self._node.clock.read()
        priced = floor.priced(kept, reading, frozen)
        given = gifts_of(priced) if frozen is None else frozen.body.gifts
        in_force = floor.rules.in_force
        with self._node.books.database.reading() as connection:
            skus = sorted({x.sku for x in priced.lines})
            on_hand = floor.catalogue.on_hand(connection, skus)
            held = floor.baskets.held_count(connection)
            gifts = gift_views(given, lambda sku: floor.catalogue.product(connection, sku))
        oversold = oversold_skus(priced.lines, on_hand)
        red = len(pure.unknown(kept.state))
        ready = bool(priced.lines) and not red and not kept.state.to_weigh
        shift = floor.shifts.current(till)
        blocked = self._blocked()
        warnings = [*blocked, *self._warnings(reading, oversold)]
        exact = priced.result.exact
        if not exact:
            bound = format_minor(priced.result.upper_bound_minor, self._node.settings.currency)
            warnings.append(notice("WARN_BOUND", {"bound": bound}))
        return BasketView(
            till=till,
            sale=kept.state.sale,
            version=kept.version,
            lines=tuple(line_views(kept.state.lines, priced, on_hand, oversold)),
            to_weigh=to_weigh(kept.state.to_weigh),
            shown_line=kept.state.shown_line,
            items_milli=sum(x.qty_milli for x in priced.lines),
            gross_minor=priced.gross_minor,
            discount_minor=priced.result.total_discount_minor,
            total_minor=priced.total_minor,
            currency=self._node.settings.currency,
            unknown=red,
            payable=ready and shift is not None and not blocked,
            exact=exact,
            upper_bound_minor=None if exact else priced.result.upper_bound_minor,
            gifts=gifts,
            oversold=tuple(sorted(oversold)),
            warnings=tuple(warnings),
            held=held,
            shift=shift.shift if shift else "",
            rules_hash=in_force.hash,
            rules_changed_ms=in_force.changed_ms,
            prices_changed_ms=self._prices_changed_ms(),
            clock_state=reading.state.value,
            clock_u_ms=reading.u_ms,
            at_ms=reading.at_ms,
        )

    def _blocked(self) -> list[Notice]:
        """Why no money may be taken now; empty when it may."""
        try:
            self._floor.room.demand()
        except TillmeshError as fault:
            return [notice_of(fault)]
        return []

    @staticmethod
    def _warnings(reading: Reading, oversold: set[str]) -> list[Notice]:
        warnings = []
        if oversold:
            warnings.append(notice("WARN_OVERSOLD", {"skus": ", ".join(sorted(oversold))[:120]}))
        if not reading.state.trusted:
            warnings.append(notice("WARN_CLOCK", {"state": reading.state.value}))
        return warnings

    def explain(
        self, till: str, line: int | None = None, *, every: bool = False
    ) -> list[ReasonView]:
        """Why each rule that touches the line (or basket) applied or not; `every`: all rules."""
        with self._node.books.database.reading() as connection:
            kept = self._floor.baskets.load(connection, till)
            groups = self._floor.catalogue.groups(connection)
            frozen = payments.read_frozen(connection, kept.state.sale)
        priced = self._floor.priced(kept, self._node.clock.read(), frozen)
        if line is not None:
            return line_reasons(priced, pure.line_of(kept.state, line), groups, every=every)
        found = priced.result.outcomes() if every else priced.result.touching
        outcomes = sorted(found.values(), key=lambda o: (not o.applied, o.rule_id))
        return [reason_view(priced, outcome) for outcome in outcomes]

    def search(self, text: str, *, limit: int = 20) -> list[Hit]:
        """Products by name, id or code."""
        judged = self._node.judged_ms(self._node.clock.read())
        with self._node.books.database.reading() as connection:
            return self._floor.catalogue.search(connection, text, judged_ms=judged, limit=limit)

    # -- ring up ------------------------------------------------------------------------------

    def scan(
        self,
        till: str,
        raw: str,
        person: str,
        *,
        scan_id: str = "",
        qty_milli: int | None = None,
    ) -> BasketView:
        """One scan or typed code. A code that is not known becomes a red row; nothing is lost.

        `scan_id` is made by who scans; the same id again is the same scan. `qty_milli` is so many
        of it.
        """
        self._may_sell(till, person)
        reading = self._node.clock.read()
        with self._node.books.database.reading() as connection:
            found = self._recogniser.row(connection, raw, reading)
        if found.weighed and qty_milli is not None:
            self._weighing.demand_by_hand(till)
        row = pure.times(found, qty_milli)
        return self._added(till, row, scan_id)

    def _added(self, till: str, row: pure.BasketLine, scan_id: str) -> BasketView:
        return self._changed(
            till, lambda state: pure.once(state, scan_id, lambda s: pure.add(s, row)), None
        )

    def add_product(
        self, till: str, sku: str, qty_milli: int | None, *, person: str, scan_id: str = ""
    ) -> BasketView:
        """A product picked from a list or search; without a quantity one, or as it will weigh."""
        self._may_sell(till, person)
        reading = self._node.clock.read()
        with self._node.books.database.reading() as connection:
            product = self._recogniser.by_sku(connection, sku)
            row = self._recogniser.product_row(connection, Found(product, 1000, ""), reading)
        if row.weighed and qty_milli is not None:
            self._weighing.demand_by_hand(till)
        row = pure.times(row, qty_milli)
        return self._added(till, row, scan_id)

    def set_quantity(
        self,
        till: str,
        line: int,
        qty_milli: int,
        *,
        person: str,
        expect_version: int | None = None,
    ) -> BasketView:
        """Another quantity, in the product's precision; above 0. A weight, while no scale works."""
        self._may_sell(till, person)

        def step(state: pure.BasketState) -> pure.BasketState:
            if pure.line_of(state, line).weighed:
                self._weighing.demand_by_hand(till)
            return pure.set_quantity(state, line, qty_milli)

        return self._changed(till, step, expect_version)

    def void_line(
        self, till: str, line: int, *, person: str, expect_version: int | None = None
    ) -> BasketView:
        """Take a row out."""
        self._may_sell(till, person)
        return self._changed(till, lambda state: pure.void_line(state, line), expect_version)

    def dismiss_unknown(self, till: str, line: int, *, person: str) -> BasketView:
        """The cashier has dealt with a red row: it goes."""
        self._may_sell(till, person)

        def step(state: pure.BasketState) -> pure.BasketState:
            if pure.line_of(state, line).kind != "unknown":
                raise Refusal("LINE_UNKNOWN", line=line)
            return pure.void_line(state, line)

        return self._changed(till, step, None)

    def clear(self, till: str, *, person: str) -> BasketView:
        """Void the whole sale before payment; the page asks first."""
        self._may_sell(till, person)
        return self._changed(till, self._floor.baskets.empty, None)

    def _may_sell(self, till: str, person: str) -> None:
        self._node.settings.till(till)
        self._floor.people.demand(person, "sell")

    def _changed(
        self,
        till: str,
        step: "Callable[[pure.BasketState], pure.BasketState]",
        expect_version: int | None,
    ) -> BasketView:
        kept = self._floor.baskets.change(till, step, expect_version=expect_version)
        return self._view(till, kept)

    # -- put aside ----------------------------------------------------------------------------

    def hold(self, till: str, *, person: str, note: str = "") -> BasketView:
        """Put the sale aside; the till is empty afterwards."""
        self._may_sell(till, person)
        return self._view(till, self._floor.baskets.hold(till, person=person, note=note))

    def resume(self, till: str, held: str, *, person: str) -> BasketView:
        """Take up a held sale at any till whose basket is empty; list prices are looked up anew."""
        self._may_sell(till, person)
        reading = self._node.clock.read()

        def renew(state: pure.BasketState) -> pure.BasketState:
            with self._node.books.database.reading() as connection:
                return self._recogniser.renew(connection, state, reading)

        return self._view(till, self._floor.baskets.resume(till, held, renew))

    def list_held(self) -> list[HeldView]:
        """All sales put aside in this shop, oldest first."""
        with self._node.books.database.reading() as connection:
            return self._floor.baskets.list_held(connection)

    # -- take money ---------------------------------------------------------------------------

    def pay(self, till: str, sale: str, tenders: Sequence[TenderIn], *, person: str) -> PaidSale:
        """Take the money: one sale, one event, one receipt, however often it is asked."""
        self._node.settings.till(till)
        return self._checkout.pay(till, sale, tenders, person=person)

    def sale(self, sale: str) -> SaleCompleted | None:
        """A recorded sale by its id."""
        found = self._checkout.find(sale)
        return found[0] if found else None

    def find_receipt(self, receipt_number: str) -> SaleCompleted | None:
        """A recorded sale by its receipt number (or the barcode on the receipt)."""
        return self._checkout.find_receipt(receipt_number)

    def recent(self, till: str = "", *, limit: int = 20) -> list[PaidSale]:
        """The newest sales of a till, or of the shop."""
        return self._checkout.recent(till, limit)

    def reprint(self, sale: str, *, till: str, person: str) -> int:
        """Print it again, marked REPRINT; returns the copy's number."""
        return self._checkout.reprint(sale, till=till, person=person)

    def open_drawer(self, till: str, *, person: str) -> None:
        """Open the till's drawer without a sale."""
        self._may_sell(till, person)
        self._floor.printing.open_drawer(till)
