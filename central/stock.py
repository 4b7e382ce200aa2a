"""Stock across shops: what lies where, and as of when."""

import msgspec

from central.paging import PAGE_SIZE, Page
from central.recording import Desk


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """How far head office holds a shop's journal: sequence, and the time of that event."""

    store: str
    seq: int
    at_ms: int


class StockRow(msgspec.Struct, frozen=True, kw_only=True):
    """One product over all shops; `on_hand` maps a store to thousandths."""

    sku: str
    name_zh: str
    name_en: str
    unit: str
    decimals: int
    on_hand: dict[str, int]
    in_transit_milli: int
    total_milli: int  # shelves and in transit


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a product: `kind` shop, transit, supplier, customer, ...; `name` the rest."""

    place: str
    kind: str
    name: str
    qty_milli: int


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One movement with its document, person and moment."""

    stream: str
    seq: int
    source: str
    target: str
    qty_milli: int
    document: str
    kind: str
    at_ms: int
    actor: str
    till: str


class Stock:
    """Views of stock."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def stock(
        self, search: str = "", page: int = 1, *, size: int = PAGE_SIZE, store: str = ""
    ) -> Page[StockRow]:
        """Products with their figures per shop; `store` keeps those that this shop has."""
        raise NotImplementedError

    def row(self, sku: str) -> StockRow:
        """One product; Refusal PRODUCT_UNKNOWN."""
        raise NotImplementedError

    def as_of(self) -> dict[str, AsOf]:
        """Per shop, how fresh its figures are."""
        raise NotImplementedError

    def places(self, sku: str) -> list[Place]:
        """Every place of a product; the quantities sum to zero."""
        raise NotImplementedError

    def movements(self, sku: str, *, limit: int = 100) -> list[Movement]:
        """The newest movements of a product."""
        raise NotImplementedError

    def sum_of_places(self) -> dict[str, int]:
        """Products whose places do not sum to zero: must be empty."""
        raise NotImplementedError
