"""Ring up and take money: every verb of a till."""

from collections.abc import Sequence

from edge.catalogue import Catalogue, Hit
from edge.node import ShopNode
from edge.rules import Rules
from edge.views import BasketView, HeldView, PaidSale, ReasonView, TenderIn
from protocol.events import SaleCompleted


class Selling:
    """The verbs of the tills of one shop. `person` is the id of whoever is signed in.

    Every verb that changes the basket takes `expect_version` (of the view the page shows); None
    means "whatever it is now", which is right for scans, that may overtake each other's answers.
    BASKET_CHANGED is a Conflict: draw the new view, try again.
    """

    def __init__(self, node: ShopNode, catalogue: Catalogue, rules: Rules) -> None:
        self._node = node
        self._catalogue = catalogue
        self._rules = rules

    def view(self, till: str) -> BasketView:
        """The basket as it stands, priced anew."""
        raise NotImplementedError

    def scan(
        self, till: str, raw: str, person: str, *, expect_version: int | None = None
    ) -> BasketView:
        """One scan or typed code. A code that is not known becomes a red row; nothing is lost."""
        raise NotImplementedError

    def add_product(self, till: str, sku: str, qty_milli: int, *, person: str) -> BasketView:
        """A product picked from a list or search."""
        raise NotImplementedError

    def set_quantity(
        self,
        till: str,
        line: int,
        qty_milli: int,
        *,
        person: str,
        expect_version: int | None = None,
    ) -> BasketView:
        """Another quantity, in the product's precision; above 0."""
        raise NotImplementedError

    def void_line(
        self, till: str, line: int, *, person: str, expect_version: int | None = None
    ) -> BasketView:
        """Take a row out."""
        raise NotImplementedError

    def dismiss_unknown(self, till: str, line: int, *, person: str) -> BasketView:
        """The cashier has dealt with a red row: it goes."""
        raise NotImplementedError

    def clear(self, till: str, *, person: str) -> BasketView:
        """Void the whole sale before payment; the page asks first."""
        raise NotImplementedError

    def explain(
        self, till: str, line: int | None = None, *, every: bool = False
    ) -> list[ReasonView]:
        """Why each rule that touches the line (or basket) applied or not; `every`: all rules."""
        raise NotImplementedError

    def hold(self, till: str, *, person: str, note: str = "") -> BasketView:
        """Put the sale aside; the till is empty afterwards."""
        raise NotImplementedError

    def resume(self, till: str, held: str, *, person: str) -> BasketView:
        """Take up a held sale at any till whose basket is empty; list prices are looked up anew."""
        raise NotImplementedError

    def list_held(self) -> list[HeldView]:
        """All sales put aside in this shop, oldest first."""
        raise NotImplementedError

    def pay(self, till: str, sale: str, tenders: Sequence[TenderIn], *, person: str) -> PaidSale:
        """Take the money: one sale, one event, one receipt, however often it is asked."""
        raise NotImplementedError

    def sale(self, sale: str) -> SaleCompleted | None:
        """A recorded sale by its id."""
        raise NotImplementedError

    def find_receipt(self, receipt_number: str) -> SaleCompleted | None:
        """A recorded sale by its receipt number (or the barcode on the receipt)."""
        raise NotImplementedError

    def recent(self, till: str = "", *, limit: int = 20) -> list[PaidSale]:
        """The newest sales of a till, or of the shop."""
        raise NotImplementedError

    def reprint(self, sale: str, *, till: str, person: str) -> int:
        """Print it again, marked REPRINT; returns the copy's number."""
        raise NotImplementedError

    def open_drawer(self, till: str, *, person: str) -> None:
        """Open the till's drawer without a sale."""
        raise NotImplementedError

    def search(self, text: str, *, limit: int = 20) -> list[Hit]:
        """Products by name, id or code."""
        raise NotImplementedError
