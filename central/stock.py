"""Stock across shops: what lies where, and as of when."""

from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from central.catalogue import searched
from central.paging import PAGE_SIZE, Page
from central.recording import Desk
from protocol.errors import Refusal
from protocol.ids import shop_stream
from protocol.ledger import balances, shelf
from protocol.node.tables import READ, journal, stream_head

_stock, _product, _move = READ["stock"], READ["product"], READ["stock_move"]
SHELF: Final = shelf("")


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
        """Products with their figures per shop; `store` keeps those that this shop has.

        Past the end, the last page.
        """
        query = searched(select(_product.c.sku), search)
        if store:
            held = select(_stock.c.sku).where(
                _stock.c.place == shelf(store), _stock.c.qty_milli != 0
            )
            query = query.where(_product.c.sku.in_(held))
        with self._desk.books.database.reading() as connection:
            counted = select(func.count()).select_from(query.subquery())
            total = connection.execute(counted).scalar() or 0
            number = min(max(1, page), max(1, -(-total // size)))
            some = query.order_by(_product.c.sku).limit(size).offset((number - 1) * size)
            rows = _rows(connection, list(connection.execute(some).scalars()))
        return Page(rows=tuple(rows), number=number, size=size, total=total)

    def row(self, sku: str) -> StockRow:
        """One product; Refusal HQ_PRODUCT_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            rows = _rows(connection, [sku])
        if not rows:
            raise Refusal("HQ_PRODUCT_UNKNOWN", sku=sku[:40])
        return rows[0]

    def as_of(self) -> dict[str, AsOf]:
        """Per shop, how fresh its figures are; (0, 0) before its first event."""
        with self._desk.books.database.reading() as connection:
            stores = connection.execute(
                select(READ["store"].c.store).order_by(READ["store"].c.store)
            ).scalars()
            return {store: _as_of(connection, store) for store in stores.all()}

    def places(self, sku: str) -> list[Place]:
        """Every place of a product; the quantities sum to zero."""
        with self._desk.books.database.reading() as connection:
            return places(connection, sku)

    def movements(self, sku: str, *, limit: int = 100) -> list[Movement]:
        """The newest movements of a product."""
        query = (
            select(_move)
            .where(_move.c.sku == sku)
            .order_by(_move.c.at_ms.desc(), _move.c.seq.desc())
            .limit(limit)
        )
        with self._desk.books.database.reading() as connection:
            return [
                Movement(
                    stream=row.stream,
                    seq=row.seq,
                    source=row.source,
                    target=row.target,
                    qty_milli=row.qty_milli,
                    document=row.document,
                    kind=row.kind,
                    at_ms=row.at_ms,
                    actor=row.actor,
                    till=row.till,
                )
                for row in connection.execute(query)
            ]

    def sum_of_places(self) -> dict[str, int]:
        """Products whose places do not sum to zero: must be empty."""
        with self._desk.books.database.reading() as connection:
            return sums(connection)


def _rows(connection: Connection, skus: list[str]) -> list[StockRow]:
    held: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(_stock).where(_stock.c.sku.in_(skus))):
        held.setdefault(row.sku, {})[row.place] = row.qty_milli
    found = []
    query = select(_product).where(_product.c.sku.in_(skus)).order_by(_product.c.sku)
    for row in connection.execute(query):
        here = held.get(row.sku, {})
        on_hand = {p.removeprefix(SHELF): q for p, q in here.items() if p.startswith(SHELF)}
        moving = sum(q for p, q in here.items() if p.startswith("transit/"))
        found.append(
            StockRow(
                sku=row.sku,
                name_zh=row.name_zh,
                name_en=row.name_en,
                unit=row.unit,
                decimals=row.decimals,
                on_hand=on_hand,
                in_transit_milli=moving,
                total_milli=sum(on_hand.values()) + moving,
            )
        )
    return found


def _as_of(connection: Connection, store: str) -> AsOf:
    stream = shop_stream(store)
    row = connection.execute(
        select(journal.c.seq, journal.c.at_ms)
        .join(
            stream_head,
            (stream_head.c.stream == journal.c.stream)
            & (stream_head.c.seq == journal.c.seq)
            & (stream_head.c.epoch == journal.c.epoch),
        )
        .where(journal.c.stream == stream)
    ).first()
    return AsOf(store=store, seq=row.seq if row else 0, at_ms=row.at_ms if row else 0)


def places(connection: Connection, sku: str) -> list[Place]:
    """Every place of a product, shelves first; the quantities sum to zero."""
    found = []
    for row in connection.execute(select(_stock).where(_stock.c.sku == sku)):
        for place, qty in balances(row.place, row.qty_milli, row.sold_milli):
            kind, _, name = place.partition("/")
            found.append(Place(place=place, kind=kind, name=name, qty_milli=qty))
    return sorted(found, key=lambda p: (p.kind != "shop", p.kind != "transit", p.place))


def sums(connection: Connection) -> dict[str, int]:
    """Products whose places do not sum to zero: must be empty."""
    total = func.sum(_stock.c.qty_milli + _stock.c.sold_milli)
    query = select(_stock.c.sku, total).group_by(_stock.c.sku).having(total != 0)
    return {row[0]: int(row[1]) for row in connection.execute(query)}
