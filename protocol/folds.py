"""What an event changes in the read tables, as values.

A fold is pure: (event, where it stands) -> deltas. Two kinds of delta exist, and both commute, so
the order in which streams arrive never matters:

- `Add` sums amounts under a key;
- `Put` writes a row, and the row of the higher rank stays (rank = sequence in its one stream).

`Moved` is many of both in one value: all that one event does to stock. `spread` takes it apart.
`protocol.node.tables` gives the tables their columns, `protocol.node.projecting` writes deltas.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from protocol import events as ev
from protocol.codec import Envelope
from protocol.errors import Corrupt, define
from protocol.ids import stream_store
from protocol.ledger import Posting, account, postings

define(
    {
        "EVENT_OUT_OF_PLACE": (
            "{type} may not stand in {stream}: its writer has no right to say that.",
            "{stream} 中不允许出现 {type}：写入者无权记录此事件。",
        ),
    }
)


class Add(msgspec.Struct, frozen=True):
    """Sum `amounts` into the row of `key`."""

    table: str
    key: tuple[Any, ...]
    amounts: tuple[int, ...]


class Put(msgspec.Struct, frozen=True):
    """Write the row of `key` unless a higher rank is there."""

    table: str
    key: tuple[Any, ...]
    values: tuple[Any, ...]
    rank: int


class Moved(msgspec.Struct, frozen=True):
    """What one event does to stock: both places of each posting, and a row per movement."""

    stream: str
    seq: int
    epoch: str
    at_ms: int
    written: tuple[str, str, str, str]  # document, kind, actor, till
    postings: Sequence[Posting]

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows of `stock_move`, rank included."""
        stream, seq, epoch, at_ms = self.stream, self.seq, self.epoch, self.at_ms
        after = (*self.written, seq)
        return [
            (p.sku, at_ms, stream, seq, epoch, n, p.source, p.target, p.qty_milli, *after)
            for n, p in enumerate(self.postings)
        ]


Delta = Add | Put | Moved
Fold = Callable[[Any, Envelope], Iterable[Delta]]

# table -> (key columns, value columns); Add tables hold sums, Put tables hold rows with a rank.
SUMS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "stock": (("place", "sku"), ("qty_milli", "sold_milli")),  # see `protocol.ledger.account`
    "sales_day": (
        ("store", "business_date"),
        ("sales", "total_minor", "discount_minor", "tax_minor", "items_milli"),
    ),
    "shift_tender": (("store", "shift", "kind"), ("sales", "amount_minor")),
    "tender_day": (("store", "business_date", "kind"), ("sales", "amount_minor")),
}
ROWS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "product": (
        ("sku",),
        (
            "name_zh",
            "name_en",
            "promo_group",
            "tax_rate_bp",
            "decimals",
            "unit",
            "weighed",
            "no_discount",
            "floor_minor",
            "active",
        ),
    ),
    "product_code": (("sku", "code"), ("pack_qty_milli",)),
    "promo_group": (("promo_group",), ("name_zh", "name_en")),
    "price": (("sku", "zone", "effective_from_ms"), ("price_minor", "version")),
    "promotion": (("rule",), ("version", "published", "document", "at_ms")),
    "store": (("store",), ("name_zh", "name_en", "zone", "stock_group", "tz", "currency")),
    "node": (("store",), ("node", "public_key")),
    "chain": (("one",), ("name_zh", "name_en", "currency", "footer_zh", "footer_en", "prefixes")),
    "person": (("store", "person"), ("name", "role", "pin_hash", "active")),
    "sale": (
        ("store", "sale"),
        (
            "receipt_number",
            "till",
            "shift",
            "cashier",
            "business_date",
            "at_ms",
            "total_minor",
            "discount_minor",
            "items_milli",
            "rules_hash",
            "epoch",
            "seq",
        ),
    ),
    "shift": (
        ("store", "shift", "phase"),
        ("till", "cashier", "at_ms", "float_minor", "sales", "total_minor", "seq", "detail"),
    ),
    "rules_in_force": (
        ("store",),
        ("rules_hash", "rules", "refused", "engine", "tzdata", "at_ms", "upto"),
    ),
    "rules_refresh": (("request",), ("rule", "at_ms", "person")),
    "rules_answer": (("request", "store"), ("at_ms", "rules_hash", "tills")),
    "transfer": (
        ("transfer",),
        ("from_store", "to_store", "dispatched_ms", "person", "note"),
    ),
    "transfer_line": (("transfer", "sku"), ("qty_milli",)),
    "transfer_receipt": (
        ("transfer", "receipt", "sku"),
        ("from_store", "to_store", "qty_milli", "broken_qty_milli", "received_ms", "person"),
    ),
    "transfer_expected": (("transfer", "sku"), ("from_store", "to_store", "qty_milli")),
    "transfer_settlement": (
        ("transfer", "settlement", "sku"),
        ("qty_milli", "reason", "at_ms", "person"),
    ),
    "stock_move": (
        ("sku", "at_ms", "stream", "seq", "epoch", "line"),
        ("source", "target", "qty_milli", "document", "kind", "actor", "till"),
    ),
}
MOVE_KEYS: Final = len(ROWS["stock_move"][0])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _names(name: dict[str, str]) -> tuple[str, str]:
    zh = name.get("zh") or name.get("en", "")
    return zh, name.get("en") or zh


def _movements(body: ev.Event, e: Envelope) -> Iterable[Delta]:
    """Stock in both places, and one row per movement with its document, person and moment."""
    moved = postings(body, e.stream)
    if not moved:
        return ()
    return (Moved(e.stream, e.seq, e.epoch, e.ts, (e.id, e.type, e.actor, e.till), moved),)


def spread(deltas: Iterable[Delta]) -> Iterator[Add | Put]:
    """The same deltas one by one, each movement in its parts."""
    for delta in deltas:
        if not isinstance(delta, Moved):
            yield delta
            continue
        for p, row in zip(delta.postings, delta.rows(), strict=True):
            for place, qty in ((p.source, -p.qty_milli), (p.target, p.qty_milli)):
                of, column = account(place)
                yield Add("stock", (of, p.sku), (0, qty) if column else (qty, 0))
            yield Put("stock_move", row[:MOVE_KEYS], row[MOVE_KEYS:-1], row[-1])


def _sale(body: ev.SaleCompleted, e: Envelope) -> Iterable[Delta]:
    store = stream_store(e.stream)
    items = sum([-x.qty_milli if x.is_return else x.qty_milli for x in body.lines])
    tax = sum([t.tax_minor for t in body.tax])
    yield Put(
        "sale",
        (store, body.sale),
        (
            body.receipt_number,
            body.till,
            body.shift,
            body.cashier,
            body.business_date,
            e.ts,
            body.total_minor,
            body.discount_minor,
            items,
            body.rules_hash,
            e.epoch,
            e.seq,
        ),
        e.seq,
    )
    yield Add(
        "sales_day",
        (store, body.business_date),
        (1, body.total_minor, body.discount_minor, tax, items),
    )
    for tender in body.tenders:
        taken = (1, tender.amount_minor)
        yield Add("shift_tender", (store, body.shift, tender.kind), taken)
        yield Add("tender_day", (store, body.business_date, tender.kind), taken)


def _cash(body: ev.CashMoved, e: Envelope) -> Iterable[Delta]:
    yield Add("shift_tender", (stream_store(e.stream), body.shift, "cash"), (0, body.amount_minor))


def _shift_opened(body: ev.ShiftOpened, e: Envelope) -> Iterable[Delta]:
    yield Put(
        "shift",
        (stream_store(e.stream), body.shift, "opened"),
        (body.till, body.cashier, e.ts, body.float_minor, 0, 0, e.seq, "{}"),
        e.seq,
    )


def _shift_closed(body: ev.ShiftClosed, e: Envelope) -> Iterable[Delta]:
    yield Put(
        "shift",
        (stream_store(e.stream), body.shift, "closed"),
        (
            body.till,
            body.cashier,
            e.ts,
            body.float_minor,
            body.sales,
            body.total_minor,
            e.seq,
            _json(body.totals),
        ),
        e.seq,
    )


def _rules_in_force(body: ev.RulesInForce, e: Envelope) -> Iterable[Delta]:
    yield Put(
        "rules_in_force",
        (stream_store(e.stream),),
        (
            body.rules_hash,
            _json(body.rules),
            _json(body.refused),
            body.engine,
            body.tzdata,
            e.ts,
            _json(body.upto),
        ),
        e.seq,
    )
    for request in body.answers:
        yield Put(
            "rules_answer",
            (request, stream_store(e.stream)),
            (e.ts, body.rules_hash, _json(body.tills)),
            e.seq,
        )


def _refresh(body: ev.RulesRefreshRequested, e: Envelope) -> Iterable[Delta]:
    yield Put("rules_refresh", (body.request,), (body.rule, e.ts, e.actor), e.seq)


def _product(body: ev.ProductListed, e: Envelope) -> Iterable[Delta]:
    yield Put(
        "product",
        (body.sku,),
        (
            *_names(body.name),
            body.group,
            body.tax_rate_bp,
            body.decimals,
            body.unit,
            body.weighed,
            body.no_discount,
            body.floor_minor,
            body.active,
        ),
        e.seq,
    )
    for code in body.codes:  # a code counts only while its rank is its product's
        yield Put("product_code", (body.sku, code.code), (code.pack_qty_milli,), e.seq)


def _group(body: ev.GroupDefined, e: Envelope) -> Iterable[Delta]:
    yield Put("promo_group", (body.group,), _names(body.name), e.seq)


def _price(body: ev.PriceSet, e: Envelope) -> Iterable[Delta]:
    kind, _, zone = e.stream.partition("/")
    yield Put(
        "price",
        (body.sku, zone if kind == "zone" else "", body.effective_from_ms),
        (body.price_minor, f"{e.stream}@{e.seq}"),
        e.seq,
    )


def _published(body: ev.PromotionPublished, e: Envelope) -> Iterable[Delta]:
    yield Put("promotion", (body.rule,), (body.version, True, _json(body.document), e.ts), e.seq)


def _withdrawn(body: ev.PromotionWithdrawn, e: Envelope) -> Iterable[Delta]:
    yield Put("promotion", (body.rule,), (body.version, False, "{}", e.ts), e.seq)


def _store(body: ev.StoreAdded, e: Envelope) -> Iterable[Delta]:
    yield Put(
        "store",
        (body.store,),
        (*_names(body.name), body.zone, body.group, body.tz, body.currency),
        e.seq,
    )


def _node(body: ev.NodeAccepted, e: Envelope) -> Iterable[Delta]:
    yield Put("node", (stream_store(e.stream),), (body.node, body.public_key), e.seq)


def _revoked(body: ev.NodeRevoked, e: Envelope) -> Iterable[Delta]:
    yield Put("node", (stream_store(e.stream),), (body.node, ""), e.seq)


def _chain(body: ev.ChainSettings, e: Envelope) -> Iterable[Delta]:
    footer = _names(body.receipt_footer)
    yield Put(
        "chain",
        (1,),
        (*_names(body.name), body.currency, *footer, _json(body.store_code_prefixes)),
        e.seq,
    )


def _person(body: ev.PersonSet, e: Envelope) -> Iterable[Delta]:
    yield Put(
        "person",
        (stream_store(e.stream), body.person),
        (body.name, body.role, body.pin_hash, body.active),
        e.seq,
    )


def _dispatched(body: ev.TransferDispatched, e: Envelope) -> Iterable[Delta]:
    head = (stream_store(e.stream), body.to_store, e.ts, e.actor, body.note)
    yield Put("transfer", (body.transfer,), head, 0)
    for m in body.lines:
        yield Put("transfer_line", (body.transfer, m.sku), (m.qty_milli,), 0)


def _forwarded(body: ev.TransferForwarded, e: Envelope) -> Iterable[Delta]:  # noqa: ARG001
    head = (body.from_store, body.to_store, body.dispatched_ms, body.person, body.note)
    yield Put("transfer", (body.transfer,), head, 0)
    for m in body.lines:
        yield Put("transfer_line", (body.transfer, m.sku), (m.qty_milli,), 0)


def _receipt_rows(
    body: ev.TransferReceived | ev.TransferReceiptForwarded, to_store: str, at_ms: int, who: str
) -> Iterable[Delta]:
    for r in body.lines:
        yield Put(
            "transfer_receipt",
            (body.transfer, body.receipt, r.sku),
            (body.from_store, to_store, r.qty_milli, r.broken_qty_milli, at_ms, who),
            0,
        )


def _received(body: ev.TransferReceived, e: Envelope) -> Iterable[Delta]:
    store = stream_store(e.stream) or ""
    yield from _receipt_rows(body, store, e.ts, e.actor)
    for m in body.expected:
        yield Put(
            "transfer_expected",
            (body.transfer, m.sku),
            (body.from_store, store, m.qty_milli),
            0,
        )


def _receipt_forwarded(body: ev.TransferReceiptForwarded, e: Envelope) -> Iterable[Delta]:  # noqa: ARG001
    yield from _receipt_rows(body, body.to_store, body.received_ms, body.person)


def _settled(body: ev.TransferSettled, e: Envelope) -> Iterable[Delta]:
    for m in body.lines:
        yield Put(
            "transfer_settlement",
            (body.transfer, body.settlement, m.sku),
            (m.qty_milli, body.reason, e.ts, e.actor),
            0,
        )


def _settlement_forwarded(body: ev.TransferSettlementForwarded, e: Envelope) -> Iterable[Delta]:  # noqa: ARG001
    for m in body.lines:
        yield Put(
            "transfer_settlement",
            (body.transfer, body.settlement, m.sku),
            (m.qty_milli, body.reason, body.settled_ms, body.person),
            0,
        )


FOLDS: Final[dict[type[ev.Event], tuple[Fold, ...]]] = {
    ev.SaleCompleted: (_movements, _sale),
    ev.GoodsReceived: (_movements,),
    ev.GoodsScrapped: (_movements,),
    ev.StockCounted: (_movements,),
    ev.TransferDispatched: (_movements, _dispatched),
    ev.TransferReceived: (_movements, _received),
    ev.TransferForwarded: (_forwarded,),
    ev.TransferReceiptForwarded: (_receipt_forwarded,),
    ev.TransferSettled: (_movements, _settled),
    ev.TransferSettlementForwarded: (_settlement_forwarded,),
    ev.ShiftOpened: (_shift_opened,),
    ev.ShiftClosed: (_shift_closed,),
    ev.CashMoved: (_cash,),
    ev.RulesInForce: (_rules_in_force,),
    ev.ProductListed: (_product,),
    ev.GroupDefined: (_group,),
    ev.PriceSet: (_price,),
    ev.PromotionPublished: (_published,),
    ev.PromotionWithdrawn: (_withdrawn,),
    ev.RulesRefreshRequested: (_refresh,),
    ev.StoreAdded: (_store,),
    ev.NodeAccepted: (_node,),
    ev.NodeRevoked: (_revoked,),
    ev.ChainSettings: (_chain,),
    ev.PersonSet: (_person,),
}


SHOP_SAYS: Final[frozenset[type[ev.Event]]] = frozenset(
    {
        ev.SaleCompleted,
        ev.GoodsReceived,
        ev.GoodsScrapped,
        ev.StockCounted,
        ev.TransferDispatched,
        ev.TransferReceived,
        ev.ShiftOpened,
        ev.ShiftClosed,
        ev.CashMoved,
        ev.RulesInForce,
    }
)  # all other folded types are head office's


def fold(body: ev.Event | None, envelope: Envelope) -> list[Delta]:
    """All deltas of one event; an event of an unknown type changes nothing yet.

    Raises EVENT_OUT_OF_PLACE for what this writer may not say: a shop sets no price.
    """
    if body is None or type(body) not in FOLDS:
        return []
    if (type(body) in SHOP_SAYS) != envelope.stream.startswith("shop/"):
        raise Corrupt("EVENT_OUT_OF_PLACE", type=envelope.type, stream=envelope.stream)
    deltas: list[Delta] = []
    for one in FOLDS[type(body)]:
        deltas.extend(one(body, envelope))
    return deltas
