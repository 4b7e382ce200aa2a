"""What the pages of this shop hear after a commit: one small fact per topic, never the rows.

| topic | data |
|---|---|
| basket/{till} | {"version", "line", "unknown"} |
| sale | {"sale", "till", "receipt_number", "total_minor"} |
| stock | {"skus": [...]}, at most 50 of them; empty means "many" |
| shift/{till} | {"shift", "open"} |
| transfer | {"transfer"} |
| prices, catalogue, promotion, people, shop | {"upto": sequence} |
| rules | {"hash"} |
| held, browsers, people, link, neighbours, clock | see their modules |
| printer/{till}, scanner/{till}, scan/{till} | see printing and scanning |
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import select

from edge.node import ShopNode
from protocol import events as ev
from protocol.ids import ALL, zone_stream
from protocol.ledger import postings
from protocol.node.hub import Hub
from protocol.node.sqljournal import Recorded
from protocol.node.tables import READ, journal

SKUS_MAX: Final = 50
PLAIN: Final[dict[type[ev.Event], str]] = {
    ev.PriceSet: "prices",
    ev.ProductListed: "catalogue",
    ev.GroupDefined: "catalogue",
    ev.PromotionPublished: "promotion",
    ev.PromotionWithdrawn: "promotion",
    ev.PersonSet: "people",
    ev.StoreAdded: "shop",
    ev.ChainSettings: "shop",
}
TRANSFERS: Final = (
    ev.TransferDispatched,
    ev.TransferReceived,
    ev.TransferForwarded,
    ev.TransferReceiptForwarded,
    ev.TransferSettled,
    ev.TransferSettlementForwarded,
)


class Telling:
    """Listener of the books that feeds the hub; also remembers how old the prices are."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        self.prices_changed_ms = self._newest_price()

    def _newest_price(self) -> int:
        """When head office last set a price, or sealed those that this shop began with.

        By its own clock; 0 without prices.
        """
        newest = 0
        with self._node.books.database.reading() as connection:
            for stream in (ALL, zone_stream(self._node.settings.zone)):
                found = connection.execute(
                    select(journal.c.at_ms)
                    .where(journal.c.stream == stream, journal.c.type == ev.PriceSet.__name__)
                    .order_by(journal.c.seq.desc())
                    .limit(1)
                ).scalar()
                newest = max(newest, found or 0)
            seal = self._node.books.base(connection)
            priced = connection.execute(select(READ["price"].c.sku).limit(1)).first()
        return newest or (seal.at_ms if seal and priced else 0)

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """After each commit."""
        for one in recorded:
            if isinstance(one.body, ev.PriceSet):
                self.prices_changed_ms = max(self.prices_changed_ms, one.envelope.ts)
        if self._node.hub.subscribers:
            tell(self._node.hub, self._node.shelf, recorded)

    def leapt(self, spared: Iterable[str]) -> None:
        """Many events at once, by a snapshot: pages look at everything again."""
        self.prices_changed_ms = max(self.prices_changed_ms, self._newest_price())
        for topic in sorted(set(PLAIN.values())):
            self._node.hub.publish(topic, {"leapt": sorted(spared)})


def tell(hub: Hub, shelf: str, recorded: Sequence[Recorded]) -> None:
    """Publish what one commit changed."""
    plain: dict[str, int] = {}
    skus: set[str] = set()
    for one in recorded:
        body = one.body
        if body is None:
            continue
        topic = PLAIN.get(type(body))
        if topic:
            plain[topic] = one.envelope.seq
        skus |= {p.sku for p in postings(body, one.stored.stream) if shelf in {p.source, p.target}}
        _tell_one(hub, body)
    for topic, upto in plain.items():
        hub.publish(topic, {"upto": upto})
    if skus:
        hub.publish("stock", {"skus": sorted(skus) if len(skus) <= SKUS_MAX else []})


def _tell_one(hub: Hub, body: ev.Event) -> None:
    match body:
        case ev.SaleCompleted():
            fact = {
                "sale": body.sale,
                "till": body.till,
                "receipt_number": body.receipt_number,
                "total_minor": body.total_minor,
            }
            hub.publish("sale", fact)
        case ev.ShiftOpened() | ev.ShiftClosed():
            opened = isinstance(body, ev.ShiftOpened)
            hub.publish(f"shift/{body.till}", {"shift": body.shift, "open": opened})
        case _ if isinstance(body, TRANSFERS):
            hub.publish("transfer", {"transfer": body.transfer})
