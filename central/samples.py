"""Sample baskets for a rule that is not published yet: real sales, and ones made to fill it."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Connection, and_, select

from central.repricing import basket_of
from central.stores import Store
from promotions.basket import BasketLine, Context
from promotions.kinds.bundle import Bundle
from promotions.kinds.tier_qty import Tiers
from promotions.rule import Rule, slots_of
from protocol.codec import body_of, decode
from protocol.errors import Corrupt
from protocol.events import SaleCompleted
from protocol.ids import shop_stream
from protocol.node.tables import READ, journal

RECENT: Final = 60  # newest sales of the chain
MADE_MAX: Final = 24
PIECES_MAX: Final = 500  # of one product, to reach an order's threshold


class Shelf(Protocol):
    """What `made_samples` asks of the goods."""

    rows: dict[str, Any]

    def price(self, sku: str, zone: str) -> int | None:
        """The list price in a zone."""
        ...

    def line(self, sku: str, zone: str, qty_milli: int) -> BasketLine:
        """So much of a product."""
        ...


class Sample(msgspec.Struct, frozen=True):
    """One basket with its circumstances; `receipt` of a real sale."""

    basket: list[BasketLine]
    context: Context
    receipt: str = ""

    def at(self, at_ms: int) -> "Sample":
        """The same basket at another instant, by a good clock."""
        moved = msgspec.structs.replace(
            self.context, time_ms=at_ms, clock_state="trusted", uncertainty_ms=0
        )
        return msgspec.structs.replace(self, context=moved)


def recent_samples(connection: Connection, limit: int = RECENT) -> list[Sample]:
    """The newest sales of the chain that can be read."""
    sale = READ["sale"]
    newest = select(sale).order_by(sale.c.at_ms.desc(), sale.c.store, sale.c.sale).limit(limit)
    found = []
    for row in connection.execute(newest).all():
        data = connection.execute(
            select(journal.c.data).where(
                and_(
                    journal.c.stream == shop_stream(row.store),
                    journal.c.epoch == row.epoch,
                    journal.c.seq == row.seq,
                )
            )
        ).scalar()
        sample = _read(data) if data else None
        if sample is not None:
            found.append(sample)
    return found


def _read(data: bytes) -> Sample | None:
    try:
        body = body_of(decode(data))
        if not isinstance(body, SaleCompleted):
            return None
        context = msgspec.convert(body.context, Context)
    except (Corrupt, msgspec.ValidationError):
        return None
    return Sample(basket_of(body), context, body.receipt_number)


def made_samples(
    rule: Rule, goods: Shelf, stores: Sequence[Store], reached: Sequence[str]
) -> list[Sample]:
    """Baskets that hold just enough for the rule, in the first shop that it is meant for."""
    wanted = rule.when.stores
    store = next((s for s in stores if wanted is None or s.store in wanted), None)
    if store is None:
        return []
    context = Context(
        currency=store.currency,
        store_tz=store.tz,
        store=store.store,
        price_zone=store.zone,
        time_ms=0,
    )
    sold = [sku for sku in reached if goods.price(sku, store.zone) is not None]
    baskets = []
    for nth in range(min(MADE_MAX, len(sold))):
        basket = _filled(rule, goods, store, sold[nth:] + sold[:nth])
        if basket:
            baskets.append(Sample(basket, context))
    return baskets


def _filled(rule: Rule, goods: Shelf, store: Store, order: Sequence[str]) -> list[BasketLine]:
    """The first product of `order` that fits each part, as often as the part asks."""
    pieces: dict[str, int] = {}
    terms = rule.terms
    parts = [slot.qty for slot in terms.slots] if isinstance(terms, Bundle) else [1]
    if isinstance(terms, Tiers) and terms.steps:
        parts = [-(-terms.steps[0].min_milli // 1000)]
    for slot, need in zip(slots_of(rule), parts, strict=True):
        sku = next((s for s in order if slot.covers(s, goods.rows[s].promo_group)), None)
        if sku is None:
            return []
        pieces[sku] = pieces.get(sku, 0) + need
    least = int(getattr(terms, "least", 0))
    first = next(iter(pieces))
    minor = goods.price(first, store.zone) or 0
    if least and minor:
        pieces[first] = max(pieces[first], min(PIECES_MAX, -(-least // minor)))
    return [goods.line(sku, store.zone, n * 1000) for sku, n in pieces.items()]
