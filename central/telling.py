"""What the pages of this process hear after a commit: one small fact per topic, never the rows.

| topic | data |
|---|---|
| sale | {"stores": {store: count}} |
| transfer, catalogue, price, promotion, rules, people, store | {"streams": [...]} |
| repriced | {"store": ..., "differs": count} (from the repricing follower) |

`central.syncing` adds what comes from the wire: stock, shop, ack, link, event.
"""

from collections.abc import Sequence
from typing import Final

from protocol import events as ev
from protocol.ids import stream_store
from protocol.node.hub import Hub
from protocol.node.sqljournal import Recorded

TOPICS: Final[dict[type[ev.Event], str]] = {
    ev.TransferDispatched: "transfer",
    ev.TransferReceived: "transfer",
    ev.TransferForwarded: "transfer",
    ev.TransferReceiptForwarded: "transfer",
    ev.TransferSettled: "transfer",
    ev.TransferSettlementForwarded: "transfer",
    ev.ProductListed: "catalogue",
    ev.GroupDefined: "catalogue",
    ev.PriceSet: "price",
    ev.PromotionPublished: "promotion",
    ev.PromotionWithdrawn: "promotion",
    ev.RulesRefreshRequested: "promotion",
    ev.RulesInForce: "rules",
    ev.PersonSet: "people",
    ev.StoreAdded: "store",
    ev.NodeAccepted: "store",
    ev.NodeRevoked: "store",
    ev.CertificateIssued: "store",
    ev.ForkJudged: "store",
    ev.StockDigest: "store",
}


def tell(hub: Hub, recorded: Sequence[Recorded]) -> None:
    """Publish what one commit changed."""
    if not hub.subscribers:
        return
    sales: dict[str, int] = {}
    streams: dict[str, set[str]] = {}
    for event in recorded:
        stream, body = event.stored.stream, event.body
        if body is None:
            continue
        store = stream_store(stream) or ""
        if isinstance(body, ev.SaleCompleted):
            sales[store] = sales.get(store, 0) + 1
        topic = TOPICS.get(type(body))
        if topic:
            streams.setdefault(topic, set()).add(stream)
    if sales:
        hub.publish("sale", {"stores": sales})
    for topic, said in streams.items():
        hub.publish(topic, {"streams": sorted(said)})
