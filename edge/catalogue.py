"""Products, codes and prices as this shop knows them: indexed reads, nothing is loaded whole."""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select

from protocol.node.tables import READ

_product = READ["product"].c
_code = READ["product_code"].c
_price = READ["price"].c
_stock = READ["stock"].c
_group = READ["promo_group"].c
_FIELDS: Final = (
    _product.sku,
    _product.name_zh,
    _product.name_en,
    _product.promo_group,
    _product.tax_rate_bp,
    _product.decimals,
    _product.unit,
    _product.weighed,
    _product.no_discount,
    _product.floor_minor,
    _product.active,
)
# A code counts while its product still lists it: both rows then carry the same rank.
_LISTED: Final = and_(_product.sku == _code.sku, _product.rank == _code.rank)

# Built once: building a statement costs as much as running it, and these run with every scan.
_BY_CODE: Final = (
    select(*_FIELDS, _code.pack_qty_milli)
    .where(_code.code == bindparam("asked"), _LISTED, _product.active)
    .order_by(_product.sku)
)
_BY_SKU: Final = select(*_FIELDS).where(_product.sku == bindparam("asked"))
_BY_SKUS: Final = select(*_FIELDS).where(_product.sku.in_(bindparam("asked", expanding=True)))
_PRICE_AT: Final = (
    select(_price.price_minor, _price.version)
    .where(
        _price.sku == bindparam("asked"),
        _price.zone.in_([bindparam("own_zone"), ""]),
        _price.effective_from_ms <= bindparam("judged_ms"),
    )
    .order_by((_price.zone == "").asc(), _price.effective_from_ms.desc())
    .limit(1)
)
_ON_HAND: Final = select(_stock.sku, _stock.qty_milli).where(
    _stock.place == bindparam("at_place"), _stock.sku.in_(bindparam("asked", expanding=True))
)


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


def read_product(row: Any) -> Product:
    """A product from the first columns of a row that selected `_FIELDS`."""
    return Product(
        sku=row.sku,
        name_zh=row.name_zh,
        name_en=row.name_en,
        group=row.promo_group,
        tax_rate_bp=row.tax_rate_bp,
        decimals=row.decimals,
        unit=row.unit,
        weighed=row.weighed,
        no_discount=row.no_discount,
        floor_minor=row.floor_minor,
        active=row.active,
    )


def _like(text: str) -> str:
    for char in ("\\", "%", "_"):
        text = text.replace(char, "\\" + char)
    return text


class Catalogue:
    """Reads over the folded catalogue. `zone` and `shelf` are this shop's."""

    def __init__(self, zone: str, shelf: str) -> None:
        self.zone = zone
        self.shelf = shelf

    def find_code(self, connection: Connection, code: str) -> Found | None:
        """The active product behind a barcode; a code counts while its product lists it."""
        row = connection.execute(_BY_CODE, {"asked": code}).first()
        return Found(read_product(row), row.pack_qty_milli, code) if row else None

    def product(self, connection: Connection, sku: str) -> Product | None:
        """One product by its id."""
        row = connection.execute(_BY_SKU, {"asked": sku}).first()
        return read_product(row) if row else None

    def products(self, connection: Connection, skus: list[str]) -> dict[str, Product]:
        """Several at once."""
        found: dict[str, Product] = {}
        for start in range(0, len(skus), 500):
            part = skus[start : start + 500]
            rows = connection.execute(_BY_SKUS, {"asked": part})
            found |= {row.sku: read_product(row) for row in rows}
        return found

    def price_at(self, connection: Connection, sku: str, judged_ms: int) -> ListPrice | None:
        """The newest price at `judged_ms` (`ShopNode.judged_ms`), the zone's before the chain's."""
        asked = {"asked": sku, "own_zone": self.zone, "judged_ms": judged_ms}
        row = connection.execute(_PRICE_AT, asked).first()
        return ListPrice(row.price_minor, row.version) if row else None

    def groups(self, connection: Connection) -> dict[str, tuple[str, str]]:
        """Promotion group -> its names (zh, en)."""
        rows = connection.execute(select(_group.promo_group, _group.name_zh, _group.name_en))
        return {row.promo_group: (row.name_zh, row.name_en) for row in rows}

    def on_hand(self, connection: Connection, skus: list[str]) -> dict[str, int]:
        """What the book has on the shelf, in thousandths; 0 for what it never saw."""
        found = dict.fromkeys(skus, 0)
        for start in range(0, len(skus), 500):
            part = skus[start : start + 500]
            rows = connection.execute(_ON_HAND, {"at_place": self.shelf, "asked": part})
            found |= {row.sku: row.qty_milli for row in rows}
        return found

    def first_code(self, connection: Connection, sku: str) -> str:
        """One of a product's codes, "" when it has none."""
        return (
            connection.execute(
                select(_code.code).where(_code.sku == sku, _LISTED).order_by(_code.code).limit(1)
            ).scalar()
            or ""
        )

    def search(
        self, connection: Connection, text: str, *, judged_ms: int, limit: int = 20
    ) -> list[Hit]:
        """Active products that match: codes and ids by prefix, names anywhere."""
        text = text.strip()[:60]
        if not text:
            return []
        upper = text + "\U0010ffff"  # a range is what an index can answer, unlike LIKE
        found: dict[str, Product] = {}
        steps: list[Select[Any]] = [
            select(*_FIELDS).where(_code.code >= text, _code.code < upper, _LISTED),
            select(*_FIELDS).where(_product.sku >= text, _product.sku < upper),
            select(*_FIELDS).where(matches_name(text)).order_by(func.length(_product.name_zh)),
        ]
        for step in steps:
            if len(found) >= limit:
                break
            for row in connection.execute(step.where(_product.active).limit(limit)):
                found.setdefault(row.sku, read_product(row))
        products = list(found.values())[:limit]
        shelf = self.on_hand(connection, [p.sku for p in products])
        return [
            Hit(
                p,
                self.first_code(connection, p.sku),
                self.price_at(connection, p.sku, judged_ms),
                shelf[p.sku],
            )
            for p in products
        ]


def matches_name(text: str) -> Any:
    """A condition on the product table: the text stands somewhere in a name."""
    pattern = f"%{_like(text)}%"
    return or_(
        _product.name_zh.like(pattern, escape="\\"), _product.name_en.like(pattern, escape="\\")
    )
