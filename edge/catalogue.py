"""Products, codes and prices as this shop knows them: indexed reads, nothing is loaded whole."""

import msgspec
from sqlalchemy import Connection

from protocol.clock import Reading


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A product as head office lists it."""

    sku: str
    name_zh: str
    name_en: str
    group: str
    tax_rate_bp: int
    decimals: int
    unit: str
    weighed: bool
    no_discount: bool
    floor_minor: int | None
    active: bool

    @property
    def name(self) -> dict[str, str]:
        """Language -> name."""
        return {"zh": self.name_zh, "en": self.name_en}


class Found(msgspec.Struct, frozen=True):
    """What a code stands for; one scan of it is `pack_qty_milli`."""

    product: Product
    pack_qty_milli: int
    code: str


class ListPrice(msgspec.Struct, frozen=True):
    """The price and the event that set it, "{stream}@{seq}"."""

    price_minor: int
    version: str


class Hit(msgspec.Struct, frozen=True):
    """One row of a search."""

    product: Product
    code: str  # one of its codes, "" when it has none
    price: ListPrice | None
    on_hand_milli: int


class Catalogue:
    """Reads over the folded catalogue. `zone` and `shelf` are this shop's."""

    def __init__(self, zone: str, shelf: str) -> None:
        self.zone = zone
        self.shelf = shelf

    def find_code(self, connection: Connection, code: str) -> Found | None:
        """The active product behind a barcode; a code counts while its product lists it."""
        raise NotImplementedError

    def product(self, connection: Connection, sku: str) -> Product | None:
        """One product by its id."""
        raise NotImplementedError

    def price_at(self, connection: Connection, sku: str, judged_ms: int) -> ListPrice | None:
        """The newest price at `judged_ms` (see `judge`), the zone's before the chain's."""
        raise NotImplementedError

    def search(
        self, connection: Connection, text: str, *, judged_ms: int, limit: int = 20
    ) -> list[Hit]:
        """Active products that match: codes and ids by prefix, names anywhere."""
        raise NotImplementedError


def judge(reading: Reading, high_water_ms: int) -> int:
    """The instant that dated prices act on: surely past, or the last trusted one."""
    return reading.surely_past_ms if reading.state.trusted else high_water_ms
