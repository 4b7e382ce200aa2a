"""Products, promotion groups and prices: what all shops may sell, and for how much."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, and_, func, or_, select

from central.accounts import check_name
from central.csvfile import ImportResult, Row, read_products, write_products
from central.goods import CellFault, Product, ProductFaults, faults_of, said_of, tidy
from central.paging import PAGE_SIZE, Page
from central.reach import Reach, reach
from central.recording import Desk, Said, record
from protocol.errors import Conflict, Refusal, define, sentence
from protocol.events import GroupDefined, PriceSet, ProductCode
from protocol.ids import ALL, check_id, zone_stream
from protocol.money import MINOR_MAX
from protocol.node.tables import READ

__all__ = ["Catalogue", "CellFault", "Group", "ImportResult", "Listed", "Price", "Product"]

CHUNK: Final = 500
INSTANT_MAX: Final = 4_102_444_800_000  # 2100-01-01: any later start is a typing error
_product, _code, _group, _price = (
    READ["product"],
    READ["product_code"],
    READ["promo_group"],
    READ["price"],
)
_LIVE_CODE: Final = and_(_code.c.sku == _product.c.sku, _code.c.rank == _product.c.rank)

define(
    {
        "GROUP_WITHOUT_PROMOTION": (
            "No active promotion reaches the group {group} of {sku} yet.",
            "目前没有生效的促销覆盖 {sku} 所在的组 {group}。",
        ),
        "PRICE_OUT_OF_RANGE": (
            "A price must be zero or more and not absurdly large. Check the figure.",
            "价格须大于等于零且不能过大。请检查数字。",
        ),
        "INSTANT_OUT_OF_RANGE": (
            "A price can start between 1970 and 2100. Check the date.",
            "价格生效时间须在 1970 年至 2100 年之间。请检查日期。",
        ),
        "ZONE_EMPTY": (
            "No shop is in the price zone {zone}. Known zones: {zones}.",
            "没有门店属于价格区 {zone}。已有价格区：{zones}。",
        ),
    }
)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion group; `promotions` are the active rules that reach it."""

    group: str
    name_zh: str
    name_en: str
    products: int = 0
    promotions: tuple[str, ...] = ()


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

    def _now_ms(self) -> int:
        return self._desk.clock.read().at_ms

    # -- groups -------------------------------------------------------------------------------

    def define_group(self, group: str, *, zh: str, en: str, by: str) -> None:
        """Define a promotion group, or rename it."""
        check_id(group, "promotion group")
        names = {"zh": check_name(zh or en), "en": check_name(en or zh)}
        with self._desk.books.begin() as tx:
            row = tx.execute(select(_group).where(_group.c.promo_group == group)).first()
            if row is None or {"zh": row.name_zh, "en": row.name_en} != names:
                said = GroupDefined(group=group, name=names)
                record(self._desk, tx, {ALL: [(self._desk.new_id(), said)]}, by=by)

    def groups(self) -> list[Group]:
        """All groups by id, with how many products each has and which promotions reach it."""
        with self._desk.books.database.reading() as connection:
            counted = select(_product.c.promo_group, func.count()).where(_product.c.active)
            counts = {
                r[0]: r[1] for r in connection.execute(counted.group_by(_product.c.promo_group))
            }
            reached = reach(connection, self._now_ms())
            rows = connection.execute(select(_group).order_by(_group.c.promo_group)).all()
        return [
            Group(
                group=row.promo_group,
                name_zh=row.name_zh,
                name_en=row.name_en,
                products=counts.get(row.promo_group, 0),
                promotions=reached.of_group(row.promo_group),
            )
            for row in rows
        ]

    # -- products -----------------------------------------------------------------------------

    def list_product(self, product: Product, *, by: str) -> Listed:
        """List a product as it is from now on; the same content again records nothing.

        Raises ProductFaults (a Refusal with `.faults`: GROUP_UNKNOWN, GTIN_WRONG, ...), Conflict
        CODE_TAKEN. `codes` is the whole list of its barcodes; `price_minor` is ignored here (see
        `set_price`).
        """
        wanted = tidy(product)
        faults = faults_of(wanted)
        with self._desk.books.begin() as tx:
            faults += _missing_groups(tx, [wanted])
            if faults:
                raise ProductFaults(tuple(faults))
            taken = _taken(_owners(tx, [wanted]), wanted)
            if taken:
                raise Conflict(taken[0].code, **taken[0].params)
            before = _products(tx, [wanted.sku]).get(wanted.sku)
            changed = before is None or said_of(before) != said_of(wanted)
            if changed:
                record(self._desk, tx, {ALL: [(self._desk.new_id(), said_of(wanted))]}, by=by)
            warnings = _warnings(reach(tx, self._now_ms()), [wanted])
        return Listed(product=self.product(wanted.sku), changed=changed, warnings=warnings)

    def products(
        self, search: str = "", page: int = 1, *, size: int = PAGE_SIZE, inactive: bool = True
    ) -> Page[Product]:
        """Products by SKU, name (both languages), group or barcode; past the end, the last page."""
        with self._desk.books.database.reading() as connection:
            query = searched(select(_product.c.sku), search)
            if not inactive:
                query = query.where(_product.c.active)
            counted = select(func.count()).select_from(query.subquery())
            total = connection.execute(counted).scalar() or 0
            number = min(max(1, page), max(1, -(-total // size)))
            rows = query.order_by(_product.c.sku).limit(size).offset((number - 1) * size)
            skus = list(connection.execute(rows).scalars())
            found = self._priced(connection, _products(connection, skus))
        return Page(rows=tuple(found[s] for s in skus), number=number, size=size, total=total)

    def product(self, sku: str) -> Product:
        """One product; Refusal HQ_PRODUCT_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            found = self._priced(connection, _products(connection, [sku])).get(sku)
        if found is None:
            raise Refusal("HQ_PRODUCT_UNKNOWN", sku=sku[:40])
        return found

    def _priced(self, connection: Connection, found: dict[str, Product]) -> dict[str, Product]:
        prices = _in_force(connection, list(found), "", self._now_ms())
        return {
            sku: msgspec.structs.replace(p, price_minor=prices[sku].price_minor)
            if sku in prices
            else p
            for sku, p in found.items()
        }

    # -- prices -------------------------------------------------------------------------------

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

        `effective_from_ms` None means at once: it takes the place of the price in force, so that
        no shop's clock can hold it back.
        """
        if not 0 <= price_minor <= MINOR_MAX:
            raise Refusal("PRICE_OUT_OF_RANGE")
        if effective_from_ms is not None and not 0 <= effective_from_ms <= INSTANT_MAX:
            raise Refusal("INSTANT_OUT_OF_RANGE")
        self.product(sku)
        place = zone or ""
        if place and place not in self.zones():
            raise Refusal("ZONE_EMPTY", zone=place[:40], zones=", ".join(self.zones()) or "-")
        with self._desk.books.begin() as tx:
            self._price(tx, {sku: price_minor}, zone=place, start=effective_from_ms, by=by)
        wanted = effective_from_ms
        return next(
            price
            for price in self.prices(sku)
            if price.zone == place
            and (price.in_force if wanted is None else price.effective_from_ms == wanted)
        )

    def _price(
        self,
        tx: Connection,
        prices: Mapping[str, int],
        *,
        zone: str,
        start: int | None,
        by: str,
    ) -> int:
        """Record the prices that change something; return how many."""
        now = _in_force(tx, list(prices), zone, self._now_ms())
        said: list[Said] = []
        for sku, minor in prices.items():
            before = now.get(sku)
            at = start if start is not None else (before.effective_from_ms if before else 0)
            if start is None and before is not None and before.price_minor == minor:
                continue
            said.append(
                (self._desk.new_id(), PriceSet(sku=sku, price_minor=minor, effective_from_ms=at))
            )
        if said:
            record(self._desk, tx, {zone_stream(zone) if zone else ALL: said}, by=by)
        return len(said)

    def prices(self, sku: str) -> list[Price]:
        """Every price of a product, newest start first; zones apart."""
        now = self._now_ms()
        query = select(_price).where(_price.c.sku == sku)
        query = query.order_by(_price.c.zone, _price.c.effective_from_ms.desc())
        found: list[Price] = []
        begun: set[str] = set()
        with self._desk.books.database.reading() as connection:
            for row in connection.execute(query):
                counts = row.effective_from_ms <= now and row.zone not in begun
                if counts:
                    begun.add(row.zone)
                found.append(_price_of(row, in_force=counts))
        return found

    def zones(self) -> list[str]:
        """The price zones that shops are in."""
        zone = READ["store"].c.zone
        with self._desk.books.database.reading() as connection:
            return list(connection.execute(select(zone).distinct().order_by(zone)).scalars())

    # -- CSV ----------------------------------------------------------------------------------

    def import_csv(self, text: str, *, by: str, apply: bool = False) -> ImportResult:
        """Read products (and prices) from CSV; without `apply` only say what would happen.

        Good rows are taken, faulty ones reported by row and column; a second run changes nothing.
        """
        read = read_products(text)
        new: list[str] = []
        changed: list[str] = []
        faults = list(read.faults)
        warned: list[Product] = []
        claimed: Owners = {}
        unchanged = priced = 0
        for start in range(0, len(read.good), CHUNK):
            chunk = read.good[start : start + CHUNK]
            with self._desk.books.begin() as tx:
                good = _good(tx, chunk, claimed, faults)
                before = _products(tx, [row.product.sku for row in good])
                said = {r.product.sku: said_of(r.product) for r in good}
                fresh = [s for s in said if s not in before]
                other = [s for s in said if s in before and said_of(before[s]) != said[s]]
                new += fresh
                changed += other
                unchanged += len(said) - len(fresh) - len(other)
                warned += [r.product for r in good]
                prices = {r.product.sku: r.price_minor for r in good if r.price_minor is not None}
                if apply:
                    pairs = [(self._desk.new_id(), said[s]) for s in (*fresh, *other)]
                    if pairs:
                        record(self._desk, tx, {ALL: pairs}, by=by)
                    priced += self._price(tx, prices, zone="", start=None, by=by)
                else:
                    priced += _differing(tx, prices, self._now_ms())
        with self._desk.books.database.reading() as connection:
            warnings = _warnings(reach(connection, self._now_ms()), warned)
        return ImportResult(
            applied=apply,
            rows=read.rows,
            new=tuple(new),
            changed=tuple(changed),
            unchanged=unchanged,
            priced=priced,
            faults=tuple(sorted(faults, key=lambda f: (f.row, f.column))),
            warnings=warnings,
        )

    def export_csv(self) -> str:
        """All products as CSV that a spreadsheet cannot mistake for formulas."""
        with self._desk.books.database.reading() as connection:
            skus = list(
                connection.execute(select(_product.c.sku).order_by(_product.c.sku)).scalars()
            )
            found = self._priced(connection, _products(connection, skus))
        return write_products(found[sku] for sku in skus)


def searched(query: Select[Any], search: str) -> Select[Any]:
    """Keep products whose SKU, name, group or barcode holds the words, all of them."""
    owner = _product.alias()
    for word in search.split()[:8]:
        safe = word[:60].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        like = f"%{safe}%"
        by_code = (
            select(_code.c.sku)
            .join(owner, and_(owner.c.sku == _code.c.sku, owner.c.rank == _code.c.rank))
            .where(_code.c.code.like(f"{safe}%", escape="\\"))
        )
        query = query.where(
            or_(
                _product.c.sku.ilike(like, escape="\\"),
                _product.c.name_zh.ilike(like, escape="\\"),
                _product.c.name_en.ilike(like, escape="\\"),
                _product.c.promo_group.ilike(like, escape="\\"),
                _product.c.sku.in_(by_code),
            )
        )
    return query


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def _products(connection: Connection, skus: Sequence[str]) -> dict[str, Product]:
    """Products by SKU, with the codes that count."""
    found: dict[str, Product] = {}
    for some in _chunks(skus):
        codes: dict[str, list[ProductCode]] = {}
        rows = connection.execute(
            select(_code.c.sku, _code.c.code, _code.c.pack_qty_milli)
            .join_from(_code, _product, _LIVE_CODE)
            .where(_code.c.sku.in_(some))
            .order_by(_code.c.code)
        )
        for row in rows:
            codes.setdefault(row.sku, []).append(
                ProductCode(code=row.code, pack_qty_milli=row.pack_qty_milli)
            )
        for row in connection.execute(select(_product).where(_product.c.sku.in_(some))):
            found[row.sku] = Product(
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
                codes=tuple(sorted(codes.get(row.sku, ()), key=lambda c: c.code)),
                active=row.active,
            )
    return found


def _price_of(row: Any, *, in_force: bool) -> Price:
    return Price(
        sku=row.sku,
        zone=row.zone,
        effective_from_ms=row.effective_from_ms,
        price_minor=row.price_minor,
        version=row.version,
        in_force=in_force,
    )


def _in_force(
    connection: Connection, skus: Sequence[str], zone: str, now_ms: int
) -> dict[str, Price]:
    found: dict[str, Price] = {}
    for some in _chunks(skus):
        query = select(_price).where(
            _price.c.sku.in_(some), _price.c.zone == zone, _price.c.effective_from_ms <= now_ms
        )
        for row in connection.execute(query.order_by(_price.c.effective_from_ms)):
            found[row.sku] = _price_of(row, in_force=True)
    return found


def _differing(connection: Connection, prices: Mapping[str, int], now_ms: int) -> int:
    now = _in_force(connection, list(prices), "", now_ms)
    return sum(sku not in now or now[sku].price_minor != m for sku, m in prices.items())


def _missing_groups(connection: Connection, products: Sequence[Product]) -> list[CellFault]:
    wanted = sorted({p.group for p in products})
    known = set(
        connection.execute(
            select(_group.c.promo_group).where(_group.c.promo_group.in_(wanted))
        ).scalars()
    )
    return [
        CellFault(column="group", code="GROUP_UNKNOWN", params={"group": p.group[:40]})
        for p in products
        if p.group not in known
    ]


Owners = dict[str, tuple[str, str]]  # barcode -> (SKU, name) of the product that has it


def _owners(connection: Connection, products: Sequence[Product]) -> Owners:
    """Who has these products' barcodes now."""
    found: Owners = {}
    for some in _chunks(sorted({code.code for p in products for code in p.codes})):
        rows = connection.execute(
            select(_code.c.code, _product.c.sku, _product.c.name_zh)
            .join_from(_code, _product, _LIVE_CODE)
            .where(_code.c.code.in_(some))
        )
        found |= {row.code: (row.sku, row.name_zh) for row in rows}
    return found


def _taken(owners: Owners, product: Product) -> list[CellFault]:
    """Barcodes of this product that another one has."""
    return [
        CellFault(
            column="codes",
            code="CODE_TAKEN",
            params={"barcode": code.code, "sku": sku, "name": name},
        )
        for code in product.codes
        for sku, name in [owners.get(code.code, (product.sku, ""))]
        if sku != product.sku
    ]


def _good(
    tx: Connection, rows: Sequence[Row], claimed: Owners, faults: list[CellFault]
) -> list[Row]:
    """The rows that fit what is listed and what earlier rows claimed; others become faults."""
    good: list[Row] = []
    products = [row.product for row in rows]
    missing = {fault.params["group"]: fault for fault in _missing_groups(tx, products)}
    owners = _owners(tx, products)
    for row in rows:
        product = row.product
        wrong = _taken(owners, product) + _taken(claimed, product)
        if product.group[:40] in missing:
            wrong.append(missing[product.group[:40]])
        if wrong:
            faults += [msgspec.structs.replace(fault, row=row.row) for fault in wrong]
            continue
        claimed |= {code.code: (product.sku, product.name_zh) for code in product.codes}
        good.append(row)
    return good


def _warnings(reached: Reach, products: Sequence[Product]) -> tuple[tuple[str, str], ...]:
    """One warning per group that no promotion reaches, naming its first product."""
    first: dict[str, str] = {}
    for product in products:
        if product.group not in first and not reached.of_product(product.sku, product.group):
            first[product.group] = product.sku
    params = [{"group": group, "sku": sku} for group, sku in first.items()]
    code = "GROUP_WITHOUT_PROMOTION"
    return tuple((sentence(code, p, "en"), sentence(code, p, "zh")) for p in params)
