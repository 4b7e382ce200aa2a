"""Double-entry stock: every movement leaves one place and enters another.

Places are `kind/{store}`; all places of a product sum to zero. A shop's shelf (`shop/{store}`) is
moved by that shop's stream alone; a forwarded copy posts nothing.
"""

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from protocol.events import (
    Event,
    GoodsReceived,
    GoodsScrapped,
    SaleCompleted,
    StockCounted,
    TransferDispatched,
    TransferReceived,
    TransferSettled,
)
from protocol.ids import stream_store


class Posting(msgspec.Struct, frozen=True):
    """`qty_milli` of `sku` leaves `source` and enters `target`; negative when it goes back."""

    sku: str
    source: str
    target: str
    qty_milli: int


def shelf(store: str) -> str:
    """The goods in a shop."""
    return f"shop/{store}"


def transit(from_store: str, to_store: str) -> str:
    """Goods on their way. Complete at head office only."""
    return f"transit/{from_store}>{to_store}"


@lru_cache(4_096)
def account(place: str) -> tuple[str, int]:
    """The row of the stock table that holds this place's balance, and its column: 0 or 1.

    What customers have stands beside the shelf that it came from: a sale moves one row, not two.
    """
    kind, _, store = place.partition("/")
    return (shelf(store), 1) if kind == "customer" else (place, 0)


def balances(place: str, qty_milli: int, sold_milli: int) -> list[tuple[str, int]]:
    """The places that a row of the stock table holds, without those that have nothing."""
    sold = (place.replace("shop/", "customer/", 1), sold_milli)
    return [(name, qty) for name, qty in ((place, qty_milli), sold) if qty]


def _sale(body: SaleCompleted, store: str) -> list[Posting]:
    here, gone, given = shelf(store), f"customer/{store}", f"gift/{store}"
    sold = [
        Posting(line.sku, here, gone, -line.qty_milli if line.is_return else line.qty_milli)
        for line in body.lines
    ]
    return [*sold, *(Posting(gift.sku, here, given, gift.qty_milli) for gift in body.gifts)]


def _count(body: StockCounted, store: str) -> Iterable[Posting]:
    source = f"opening/{store}" if body.opening else f"count/{store}"
    for line in body.lines:
        variance = line.counted_qty_milli - line.book_qty_milli
        if variance:
            yield Posting(line.sku, source, shelf(store), variance)


def _arrival(body: TransferReceived, store: str) -> Iterable[Posting]:
    # Broken pieces stay in transit, as a dispute, until they are found or written off.
    for line in body.lines:
        if line.qty_milli:
            yield Posting(line.sku, transit(body.from_store, store), shelf(store), line.qty_milli)


def postings(event: Event, stream: str) -> list[Posting]:
    """What this event moves, when it stands in this stream; empty for all that moves nothing."""
    store = stream_store(stream)
    if store is None:
        return []
    if stream.startswith("to/"):
        if isinstance(event, TransferSettled):
            return [
                Posting(
                    m.sku, transit(event.from_store, event.to_store), f"lost/{store}", m.qty_milli
                )
                for m in event.lines
            ]
        return []
    match event:
        case SaleCompleted():
            return _sale(event, store)
        case GoodsReceived():
            return [
                Posting(m.sku, f"supplier/{store}", shelf(store), m.qty_milli) for m in event.lines
            ]
        case GoodsScrapped():
            return [
                Posting(m.sku, shelf(store), f"scrap/{store}", m.qty_milli) for m in event.lines
            ]
        case StockCounted():
            return list(_count(event, store))
        case TransferDispatched():
            return [
                Posting(m.sku, shelf(store), transit(store, event.to_store), m.qty_milli)
                for m in event.lines
            ]
        case TransferReceived():
            return list(_arrival(event, store))
        case _:
            return []
