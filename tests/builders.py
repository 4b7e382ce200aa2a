"""Builders of valid things for tests: clocks, drafts, one example and a strategy per event type."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from protocol import events as ev
from protocol.clock import ClockState, Reading
from protocol.codec import Draft, decode, encode
from protocol.ids import NodeId
from protocol.journal import ORIGIN, Position, Stored, chain, parent_of
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.sqljournal import SqlJournal
from protocol.wire import Batch, Clk

NOON_MS = 1_793_500_000_000
EPOCHS = [f"{n:016x}" for n in range(1, 100)]


class StillClock:
    """A clock that the test moves."""

    def __init__(self, at_ms: int = NOON_MS) -> None:
        self.at_ms = at_ms
        self.state = ClockState.TRUSTED

    def read(self) -> Reading:
        return Reading(self.at_ms, 5, self.state)


def draft(body: ev.Event, id_: str, *, at_ms: int = NOON_MS, **fields: str) -> Draft:
    """A draft with a trusted reading."""
    return Draft(id=id_, body=body, at=Reading(at_ms, 5, ClockState.TRUSTED), **fields)


def sale(
    id_: str = "sale-1",
    *,
    sku: str = "bun",
    qty_milli: int = 1000,
    price: int = 250,
    **changes: Any,
) -> ev.SaleCompleted:
    """A paid sale of one line."""
    gross = price * qty_milli // 1000
    line = ev.SaleLine(
        sku=sku,
        code="6901234567892",
        name={"zh": "豆沙包", "en": "Bun"},
        group="bakery",
        qty_milli=qty_milli,
        unit_price_minor=price,
        price_version="all@1",
        gross_minor=gross,
    )
    values: dict[str, Any] = {
        "sale": id_,
        "receipt_number": f"T1-1-{id_}",
        "till": "T1",
        "shift": "shift-1",
        "cashier": "li",
        "business_date": "2026-11-23",
        "currency": "CNY",
        "lines": (line,),
        "tenders": (ev.Tender(kind="cash", amount_minor=gross, given_minor=gross),),
        "total_minor": gross,
        "discount_minor": 0,
        "change_minor": 0,
        "tax": (ev.TaxPart(rate_bp=1300, gross_minor=gross, tax_minor=gross * 13 // 113),),
        "rules_hash": "e3b0c44298fc1c149afbf4c8996fb924" * 2,
        "engine": 1,
        "context": {"at_ms": NOON_MS},
    }
    return ev.SaleCompleted(**{**values, **changes})


def received(
    document: str = "in-1", *, sku: str = "bun", qty_milli: int = 1000
) -> ev.GoodsReceived:
    """Goods from a supplier."""
    lines = (ev.Moved(sku=sku, qty_milli=qty_milli),)
    return ev.GoodsReceived(document=document, supplier="mill", lines=lines)


def branch(
    stream: str, bodies: list[ev.Event], *, after: Position = ORIGIN, epoch: str = EPOCHS[0]
) -> list[Stored]:
    """Events as their writer would store them; an `EpochStarted` comes first if `epoch` is new."""
    if after.epoch != epoch:
        started = ev.EpochStarted(
            node="n", parent_epoch=after.epoch, parent_seq=after.seq, parent_hash=after.hash
        )
        bodies = [started, *bodies]
    placed = []
    for body in bodies:
        seq = after.seq + 1
        data = encode(draft(body, f"{epoch}-{seq}"), stream=stream, epoch=epoch, seq=seq)
        after = Position(epoch, seq, chain(after.hash, data))
        placed.append(Stored(stream, after, data))
    return placed


def books_at(database: Database, node: str, epoch: str = EPOCHS[0]) -> Books:
    """Books with all tables made."""
    books = Books(database, SqlJournal(NodeId(node), epoch))
    books.create()
    return books


# -- strategies ---------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
JSON = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXT


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.IntType():
            return st.integers(-(10**9), 10**9)
        case inspect.StrType():
            return TEXT
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return JSON
        case inspect.DictType():
            return st.dictionaries(_of(kind.key_type), _of(kind.value_type), max_size=3)
        case inspect.VarTupleType():
            return st.lists(_of(kind.item_type), max_size=3).map(tuple)
        case inspect.TupleType():
            return st.tuples(*(_of(t) for t in kind.item_types))
        case inspect.UnionType():
            return st.one_of(*(_of(t) for t in kind.types))
        case inspect.StructType():
            return bodies(kind.cls)
        case _:
            raise TypeError(kind)


def bodies(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any valid body of this event type."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return st.builds(kind, **{f.name: _of(f.type) for f in info.fields})


def any_body() -> st.SearchStrategy[ev.Event]:
    """Any valid body of any registered event type."""
    return st.sampled_from(sorted(ev.TYPES)).flatmap(lambda name: bodies(ev.TYPES[name]))


def make_batch(stored: Sequence[Stored], *, prev: str = "", **changes: Any) -> Batch:
    """A batch of these events, unsigned; `prev` where the first one does not start its epoch."""
    first = decode(stored[0].data)
    parent = parent_of(first)
    values: dict[str, Any] = {
        "node": "n",
        "epoch": first.epoch,
        "stream": stored[0].stream,
        "first": first.seq,
        "n": len(stored),
        "prev": parent.hash if parent else prev,
        "last": stored[-1].position.hash,
        "sent": NOON_MS,
        "clk": Clk("trusted", 5, NOON_MS),
        "events": tuple(msgspec.Raw(s.data) for s in stored),
    }
    return Batch(**{**values, **changes})


def raw(value: object) -> msgspec.Raw:
    """JSON bytes as they travel."""
    return msgspec.Raw(msgspec.json.encode(value))
