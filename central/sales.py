"""Sales as they come in, and the day's figures."""

import msgspec

from central.recording import Desk
from protocol.events import SaleCompleted


class SaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One sale in the stream."""

    store: str
    sale: str
    receipt_number: str
    till: str
    cashier: str  # name
    business_date: str
    at_ms: int
    total_minor: int
    discount_minor: int
    items_milli: int
    seq: int
    repriced: str = ""  # "", agreed, differs, other_engine, unknown_rules


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One shop's figures of one business day."""

    store: str
    name_zh: str
    name_en: str
    business_date: str
    sales: int
    total_minor: int
    discount_minor: int
    tax_minor: int
    items_milli: int
    currency: str = "CNY"


class SaleDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A sale with everything that its event says."""

    row: SaleRow
    body: SaleCompleted
    clock_state: str
    uncertainty_ms: int
    difference: str = ""  # JSON of the repricing when it differs


class Sales:
    """Views of sales."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def sales(
        self,
        *,
        store: str = "",
        business_date: str = "",
        before: tuple[int, str, str] | None = None,
        limit: int = 50,
    ) -> list[SaleRow]:
        """Newest first; `before` = (at_ms, store, sale) of the last row goes on from there."""
        raise NotImplementedError

    def days(self, business_date: str = "") -> list[DayFigures]:
        """Every shop's figures of a day; "" = today in each shop's own zone."""
        raise NotImplementedError

    def today(self, store: str) -> str:
        """The business date now in the shop's zone, YYYY-MM-DD."""
        raise NotImplementedError

    def sale(self, store: str, sale: str) -> SaleDetail:
        """One sale, read from the journal; Refusal SALE_UNKNOWN."""
        raise NotImplementedError

    def find_receipt(self, text: str, *, limit: int = 50) -> list[SaleRow]:
        """Sales whose receipt number contains the text."""
        raise NotImplementedError
