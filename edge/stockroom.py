"""The shop's goods apart from sales: look, count, receive, scrap."""

from collections.abc import Sequence

import msgspec

from edge.catalogue import Catalogue
from edge.node import ShopNode


class StockRow(msgspec.Struct, frozen=True, kw_only=True):
    """One product on the shelf."""

    sku: str
    zh: str
    en: str
    group: str
    unit: str
    decimals: int
    code: str
    on_hand_milli: int
    price_minor: int | None
    oversold: bool


class StockPage(msgspec.Struct, frozen=True):
    """A page of the list; pages count from 1."""

    rows: tuple[StockRow, ...]
    total: int
    page: int
    pages: int


class Piece(msgspec.Struct, frozen=True):
    """So much of a product, as typed or scanned on a page."""

    sku: str
    qty_milli: int


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One movement on the time axis of a product."""

    at_ms: int
    kind: str  # event type: SaleCompleted, StockCounted, ...
    document: str
    source: str
    target: str
    change_milli: int  # of this shop's shelf
    after_milli: int  # on the shelf after it
    actor: str
    till: str


class Stockroom:
    """Verbs take the document's id from the page: the same id twice is one document."""

    def __init__(self, node: ShopNode, catalogue: Catalogue) -> None:
        self._node = node
        self._catalogue = catalogue

    def on_hand(self, search: str = "", *, page: int = 1, oversold: bool = False) -> StockPage:
        """What lies here, 50 to a page, by name; `oversold` lists only what the book lacks."""
        raise NotImplementedError

    def find(self, raw: str) -> StockRow | None:
        """The product behind a scanned or typed code, an id included."""
        raise NotImplementedError

    def count(
        self,
        document: str,
        lines: Sequence[Piece],
        *,
        person: str,
        opening: bool = False,
        note: str = "",
    ) -> int:
        """Counted figures: the shelf moves by counted minus book at this very position.

        Returns how many products differed. `opening` books the first figures of a shop.
        """
        raise NotImplementedError

    def receive(
        self, document: str, supplier: str, lines: Sequence[Piece], *, person: str, note: str = ""
    ) -> None:
        """From a supplier onto the shelf."""
        raise NotImplementedError

    def scrap(self, document: str, reason: str, lines: Sequence[Piece], *, person: str) -> None:
        """Thrown away; refused when the shelf has less."""
        raise NotImplementedError

    def stock_log(self, sku: str, *, limit: int = 100) -> list[LogRow]:
        """Every movement of a product in this shop, newest first."""
        raise NotImplementedError
