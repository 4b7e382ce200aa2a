"""Products, promotion groups and prices: what all shops may sell, and for how much."""

import msgspec

from central.csvfile import ImportResult
from central.paging import PAGE_SIZE, Page
from central.recording import Desk
from protocol.events import ProductCode


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion group; `promotions` are the active rules that reach it."""

    group: str
    name_zh: str
    name_en: str
    products: int = 0
    promotions: tuple[str, ...] = ()


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A product as it is now; `price_minor` is the chain's price in force, None when unpriced."""

    sku: str
    name_zh: str
    name_en: str
    group: str
    tax_rate_bp: int
    decimals: int = 2
    unit: str = "pc"
    weighed: bool = False
    no_discount: bool = False
    floor_minor: int | None = None
    codes: tuple[ProductCode, ...] = ()
    active: bool = True
    price_minor: int | None = None


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """One list price; zone "" is the chain. `in_force`: it counts now (the latest that began)."""

    sku: str
    zone: str
    effective_from_ms: int
    price_minor: int
    version: str  # "{stream}@{seq}"
    in_force: bool = False


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `list_product`: was anything new, and what somebody should look at."""

    product: Product
    changed: bool
    warnings: tuple[tuple[str, str], ...] = ()  # (en, zh) sentences


class Catalogue:
    """Verbs of the catalogue; `by` is the person who does it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def define_group(self, group: str, *, zh: str, en: str, by: str) -> None:
        """Define a promotion group, or rename it."""
        raise NotImplementedError

    def groups(self) -> list[Group]:
        """All groups by id, with how many products each has and which promotions reach it."""
        raise NotImplementedError

    def list_product(self, product: Product, *, by: str) -> Listed:
        """List a product as it is from now on; the same content again records nothing.

        Raises Refusal GROUP_UNKNOWN / PRODUCT_FAULTY / GTIN_WRONG, Conflict CODE_TAKEN. `codes` is
        the whole list of its barcodes; `price_minor` is ignored here (see `set_price`).
        """
        raise NotImplementedError

    def products(
        self, search: str = "", page: int = 1, *, size: int = PAGE_SIZE, inactive: bool = True
    ) -> Page[Product]:
        """Products by SKU, name (both languages), group or barcode."""
        raise NotImplementedError

    def product(self, sku: str) -> Product:
        """One product; Refusal PRODUCT_UNKNOWN."""
        raise NotImplementedError

    def set_price(
        self,
        sku: str,
        price_minor: int,
        *,
        by: str,
        zone: str | None = None,
        effective_from_ms: int | None = None,
    ) -> Price:
        """Set the list price, tax included, for the chain or one zone.

        `effective_from_ms` None means from now on.
        """
        raise NotImplementedError

    def prices(self, sku: str) -> list[Price]:
        """Every price of a product, newest start first; zones apart."""
        raise NotImplementedError

    def zones(self) -> list[str]:
        """The price zones that shops are in."""
        raise NotImplementedError

    def import_csv(self, text: str, *, by: str, apply: bool = False) -> ImportResult:
        """Read products (and prices) from CSV; without `apply` only say what would happen.

        Good rows are taken, faulty ones reported by row and column; a second run changes nothing.
        """
        raise NotImplementedError

    def export_csv(self) -> str:
        """All products as CSV that a spreadsheet cannot mistake for formulas."""
        raise NotImplementedError
