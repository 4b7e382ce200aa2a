"""Other shops' stock: a cache with an age, not a fold. A newer position wins."""

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Table, Text, select

from edge.tables import work
from protocol.node.sqljournal import upsert
from protocol.wire import StockFigures

neighbour = Table(
    "neighbour",
    work,
    Column("store", Text, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("upto", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),  # when head office knew it
)
neighbour_stock = Table(
    "neighbour_stock",
    work,
    Column("store", Text, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("qty_milli", BigInteger, nullable=False),
    Column("upto", BigInteger, nullable=False),
)


class Figure(msgspec.Struct, frozen=True):
    """What another shop has, and as of when."""

    store: str
    sku: str
    qty_milli: int
    at_ms: int


def take(tx: Connection, figures: StockFigures) -> None:
    """Store figures; a row of an older position never overwrites a newer one."""
    place = {"epoch": figures.epoch, "upto": figures.upto, "at_ms": figures.at}
    head = upsert(tx, neighbour)
    tx.execute(
        head.on_conflict_do_update(
            index_elements=["store"],
            set_=place,
            where=head.excluded.upto >= neighbour.c.upto,
        ),
        {"store": figures.store, **place},
    )
    row = upsert(tx, neighbour_stock)
    if figures.figures:
        tx.execute(
            row.on_conflict_do_update(
                index_elements=["store", "sku"],
                set_={"qty_milli": row.excluded.qty_milli, "upto": row.excluded.upto},
                where=row.excluded.upto >= neighbour_stock.c.upto,
            ),
            [
                {"store": figures.store, "sku": sku, "qty_milli": qty, "upto": figures.upto}
                for sku, qty in figures.figures
            ],
        )


def figures_of(connection: Connection, skus: list[str]) -> list[Figure]:
    """What the neighbours have of these products, with the age of each shop's figures."""
    rows = connection.execute(
        select(
            neighbour_stock.c.store,
            neighbour_stock.c.sku,
            neighbour_stock.c.qty_milli,
            neighbour.c.at_ms,
        )
        .join(neighbour, neighbour.c.store == neighbour_stock.c.store)
        .where(neighbour_stock.c.sku.in_(skus))
        .order_by(neighbour_stock.c.sku, neighbour_stock.c.store)
    )
    return [Figure(r.store, r.sku, r.qty_milli, r.at_ms) for r in rows]


def ages(connection: Connection) -> dict[str, int]:
    """Store -> when head office last knew its figures, UTC ms."""
    return {
        r.store: r.at_ms for r in connection.execute(select(neighbour.c.store, neighbour.c.at_ms))
    }
