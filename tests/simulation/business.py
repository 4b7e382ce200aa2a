"""What the simulated chain does all day: sell, receive, send goods, set prices."""

import random
from collections import Counter
from collections.abc import Iterator

from protocol import events as ev
from protocol.codec import Envelope, body_of, decode
from protocol.folds import Add, fold
from protocol.ids import stream_store, to_stream
from protocol.journal import Stored
from tests.builders import sale

SKUS = ("bun", "cup", "tea")


def shop_event(rng: random.Random, store: str, shops: list[str], id_: str) -> ev.Event:
    """Something that a shop records."""
    sku, qty = rng.choice(SKUS), rng.randint(1, 9) * 500
    moved = (ev.Moved(sku=sku, qty_milli=qty),)
    kind = rng.random()
    if kind < 0.6:
        return sale(id_, sku=sku, qty_milli=qty)
    if kind < 0.8:
        return ev.GoodsReceived(document=id_, supplier="mill", lines=moved)
    if kind < 0.9:
        return ev.GoodsScrapped(document=id_, reason="old", lines=moved)
    other = rng.choice([s for s in shops if s != store])
    return ev.TransferDispatched(transfer=id_, to_store=other, lines=moved)


def head_office_event(rng: random.Random, shops: list[str], id_: str) -> tuple[str, ev.Event]:
    """Something that head office says, and where."""
    kind = rng.random()
    sku = rng.choice(SKUS)
    if kind < 0.4:
        return "zone/z", ev.PriceSet(sku=sku, price_minor=rng.randint(1, 999))
    if kind < 0.8:
        name = {"en": f"{sku} {id_}"}
        return "all", ev.ProductListed(sku=sku, name=name, group="g", tax_rate_bp=0)
    person = ev.PersonSet(person=id_, name="Li", role="cashier", pin_hash="h")
    return to_stream(rng.choice(shops)), person


def forwarded(envelope: Envelope, body: ev.Event | None) -> Iterator[tuple[str, ev.Event, str]]:
    """What head office passes on: (stream, event, id)."""
    store = stream_store(envelope.stream) or ""
    if isinstance(body, ev.TransferDispatched):
        yield (
            to_stream(body.to_store),
            ev.TransferForwarded(
                transfer=body.transfer,
                from_store=store,
                to_store=body.to_store,
                dispatched_ms=envelope.ts,
                person="",
                lines=body.lines,
            ),
            f"fwd-{body.transfer}",
        )
    elif isinstance(body, ev.TransferReceived):
        yield (
            to_stream(body.from_store),
            ev.TransferReceiptForwarded(
                transfer=body.transfer,
                receipt=body.receipt,
                from_store=body.from_store,
                to_store=store,
                received_ms=envelope.ts,
                person="",
                lines=body.lines,
            ),
            f"rcv-{body.receipt}",
        )


def arrival(body: ev.TransferForwarded) -> ev.TransferReceived:
    """The goods that were announced come in whole."""
    lines = tuple(ev.ReceivedLine(sku=m.sku, qty_milli=m.qty_milli) for m in body.lines)
    return ev.TransferReceived(
        transfer=body.transfer,
        receipt=f"r-{body.transfer}",
        from_store=body.from_store,
        lines=lines,
    )


def stock(events: list[Stored]) -> Counter[tuple[str, str]]:
    """All places, folded from the journal."""
    places: Counter[tuple[str, str]] = Counter()
    for stored in events:
        envelope = decode(stored.data)
        for delta in fold(body_of(envelope), envelope):
            if isinstance(delta, Add) and delta.table == "stock":
                places[delta.key] += delta.amounts[0]
    return places
