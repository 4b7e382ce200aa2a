"""What the simulated chain does all day: sell, receive, send goods, set prices."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import msgspec

from protocol import codec, folds
from protocol import events as ev
from protocol.codec import Envelope
from protocol.ids import stream_store, to_stream
from tests.builders import sale
from tests.simulation.stores import ListStore

SKUS = ("bun", "cup", "tea")
TILLS = ("T1", "T2")
UNPRICED_MINOR = 100


class ParkingTicket(ev.Event):
    """What only a newer version knows."""

    ticket: str
    minutes: int


GoodsReceivedPlus = msgspec.defstruct(
    "GoodsReceived",
    [("pallet", str, "none")],
    bases=(ev.GoodsReceived,),
    frozen=True,
    kw_only=True,
    omit_defaults=True,
)


@contextmanager
def newer_version() -> Iterator[None]:
    """This node runs the next release: one more event type, one more field."""
    types = {"ParkingTicket": ParkingTicket, "GoodsReceived": GoodsReceivedPlus}
    with (
        patch.dict(codec.TYPES, types),
        patch.dict(codec.VERSION, {"ParkingTicket": 1}),
        patch.dict(folds.FOLDS, {GoodsReceivedPlus: folds.FOLDS[ev.GoodsReceived]}),
        patch.object(folds, "SHOP_SAYS", folds.SHOP_SAYS | {GoodsReceivedPlus}),
    ):
        yield


def numbered(store: ListStore, till: str) -> str:
    """As `edge.numbering`: a new generation when receipts beyond the counter exist already."""
    generation = int(store.state("generation") or 1)
    while True:
        last = int(store.state(f"number {till} {generation}") or 0)
        if store.highest_receipt(f"{till}-{generation}") <= last:
            break
        generation += 1
    store.set_state(f"number {till} {generation}", str(last + 1))
    return f"{till}-{generation}-{last + 1}"


def shop_event(
    rng: random.Random, store: ListStore, shops: list[str], id_: str, *, newer: bool
) -> ev.Event:
    """Something that a shop records."""
    sku, qty = rng.choice(SKUS), rng.randint(1, 9) * 500
    moved = (ev.Moved(sku=sku, qty_milli=qty),)
    kind = rng.random()
    if kind < 0.6:
        return sold(store, id_, sku, qty, till=rng.choice(TILLS))
    if newer and kind < 0.7:
        return ParkingTicket(ticket=id_, minutes=qty)
    if kind < 0.8:
        if newer:
            return GoodsReceivedPlus(document=id_, supplier="mill", lines=moved, pallet=id_)
        return ev.GoodsReceived(document=id_, supplier="mill", lines=moved)
    if kind < 0.9:
        return ev.GoodsScrapped(document=id_, reason="old", lines=moved)
    other = rng.choice([s for s in shops if s != store.node])
    return ev.TransferDispatched(transfer=id_, to_store=other, lines=moved)


def sold(store: ListStore, id_: str, sku: str, qty_milli: int, *, till: str) -> ev.SaleCompleted:
    """A sale at the price that this shop knows now, under the till's next number."""
    price, version = store.price(sku) or (UNPRICED_MINOR, "")
    body = sale(
        id_,
        sku=sku,
        qty_milli=qty_milli,
        price=price,
        till=till,
        receipt_number=numbered(store, till),
    )
    line = msgspec.structs.replace(body.lines[0], price_version=version)
    return msgspec.structs.replace(body, lines=(line,))


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
