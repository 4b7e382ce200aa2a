"""Events that cannot be counted are parked, alone, with a reason; their stream goes on.

The same on both databases, and whatever else came in the same batch.
"""

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from protocol import events as ev
from protocol.codec import INTEGER_MAX
from protocol.errors import Corrupt, Refusal
from protocol.journal import Position, Stored, chain
from protocol.node.books import REFUSED_ROWS_MAX, Books
from protocol.node.sqljournal import SqlRecords
from protocol.node.tables import digest_check, refused
from tests.builders import EPOCHS, NOON_MS, branch, draft, received, sale
from tests.contracts.reading import kept, line, parked_reasons, snapshot, stock


def crafted(
    kind: str, body: object, *, after: Position, stream: str = "shop/a", **changes: Any
) -> Stored:
    """An event that a broken or hostile writer put into its chain."""
    envelope = {
        "stream": stream,
        "epoch": after.epoch,
        "seq": after.seq + 1,
        "type": kind,
        "tv": 1,
        "id": f"x-{after.seq}",
        "ts": NOON_MS,
        **changes,
    }
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    data = msgspec.json.encode(envelope)[:-1] + b',"body":' + raw + b"}"
    return Stored(stream, Position(after.epoch, after.seq + 1, chain(after.hash, data)), data)


def _goods(*lines: tuple[object, object]) -> dict[str, object]:
    moved = [{"sku": sku, "qty_milli": qty} for sku, qty in lines]
    return {"document": "d", "supplier": "s", "lines": moved}


def _sale(**changes: object) -> dict[str, object]:
    return {**msgspec.to_builtins(sale()), **changes}


POISON: dict[str, tuple[str, object, dict[str, object]]] = {
    "no object": ("GoodsReceived", [], {}),
    "lacking fields": ("GoodsReceived", {}, {}),
    "wrong type": ("GoodsReceived", _goods(("bun", "many")), {}),
    "float": ("GoodsReceived", _goods(("bun", 1.5)), {}),
    "bad utf-8": ("GoodsReceived", b'{"document":"\xff","supplier":"s","lines":[]}', {}),
    "later version": ("GoodsReceived", _goods(("bun", 1)), {"tv": 2}),
    "no such old version": ("GoodsReceived", _goods(("bun", 1)), {"tv": 0}),
    "nul": ("GoodsReceived", _goods(("a\0b", 1000)), {}),
    "int over 64 bits": ("GoodsReceived", _goods(("bun", 10**30)), {}),
    "int over 63 bits": ("GoodsReceived", _goods(("bun", 2**63)), {}),
    "int over 53 bits": ("GoodsReceived", _goods(("bun", INTEGER_MAX + 1)), {}),
    "negative int": ("GoodsReceived", _goods(("bun", -(2**63))), {}),
    "a sum over 63 bits": ("GoodsReceived", _goods(*[("bun", INTEGER_MAX)] * 1100), {}),
    "a long key": ("GoodsReceived", _goods(("".join(map(str, range(9000))), 1)), {}),
    "a price in a shop": ("PriceSet", {"sku": "bun", "price_minor": 1}, {}),
    "a person in a shop": (
        "PersonSet",
        {"person": "p", "name": "n", "role": "manager", "pin_hash": "h"},
        {},
    ),
    "a sale with a huge total": ("SaleCompleted", _sale(total_minor=2**62), {}),
    "a sale with a long receipt number": (
        "SaleCompleted",
        _sale(receipt_number="".join(map(str, range(9000)))),
        {},
    ),
    "a sale of NUL": ("SaleCompleted", _sale(business_date="\0"), {}),
    "a digest too long": ("StockDigest", {"digest": "f" * 33, "products": 1}, {}),
    "a digest of NUL": ("StockDigest", {"digest": "\0" * 32, "products": 1}, {}),
    "a digest that is none": ("StockDigest", {"digest": "z" * 32, "products": 1}, {}),
    "an odd settlement": ("TransferSettled", {"transfer": "t"}, {}),
}


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_event_is_parked_and_the_stream_goes_on(one_for_all: Books, name: str) -> None:
    kind, body, changes = POISON[name]
    store = f"p{list(POISON).index(name)}"
    stream, books = f"shop/{store}", one_for_all
    trunk = branch(stream, [received("t")])
    bad = crafted(kind, body, after=trunk[-1].position, stream=stream, **changes)
    later = branch(stream, [received("l1"), received("l2")], after=bad.position)
    assert kept(books, [*trunk, bad, *later]) == later[-1].position
    assert list(parked_reasons(books, stream)) == [bad.position.seq]
    assert parked_reasons(books, stream)[bad.position.seq]
    mine = {place: qty for place, qty in stock(books).items() if place[0].endswith(f"/{store}")}
    assert mine == {(stream, "bun"): 3000, (f"supplier/{store}", "bun"): -3000}
    assert books.verify() == []
    assert len(line(books, stream)) == 5
    before = snapshot(books)
    books.rebuild()
    assert snapshot(books) == before


def test_an_unknown_type_is_kept_and_not_parked(central: Books) -> None:
    trunk = branch("shop/a", [received("t")])
    odd = crafted("Telepathy", {"a": 1.50}, after=trunk[-1].position)
    assert kept(central, [*trunk, odd]) == odd.position
    assert parked_reasons(central, "shop/a") == {}
    assert central.verify() == []


def test_figures_whose_sum_no_database_holds_never_stop_a_stream(central: Books) -> None:
    """Each figure may stand alone; together they pass the bound, and the later ones are parked."""
    kept(central, branch("shop/a", [received("t")]))
    with central.database.reading() as c:
        tip = SqlRecords(c).head("shop/a")
    for _ in range(3):
        prev, events = tip.hash, []
        for _ in range(40):
            body = _goods(("bun", INTEGER_MAX // 4), ("tea", 1000))
            events.append(crafted("GoodsReceived", body, after=tip))
            tip = events[-1].position
        assert kept(central, events, prev=prev) == tip
    assert central.verify() == []
    assert len(parked_reasons(central, "shop/a")) == 120 - 3
    found = stock(central)
    assert found["shop/a", "tea"] == 3000
    assert found["shop/a", "bun"] == -found["supplier/a", "bun"] == 1000 + 3 * (INTEGER_MAX // 4)
    before = snapshot(central)
    central.rebuild()
    assert snapshot(central) == before


def test_head_office_events_without_a_shop_are_parked(central: Books) -> None:
    """A person or a transfer in `all` belongs to no shop."""
    trunk = branch("all", [ev.GroupDefined(group="g", name={"en": "g"})])
    person = {"person": "p", "name": "n", "role": "manager", "pin_hash": "h"}
    bad = crafted("PersonSet", person, after=trunk[-1].position, stream="all")
    key = crafted(
        "NodeAccepted", {"node": "n", "public_key": "k"}, after=bad.position, stream="all"
    )
    assert kept(central, [*trunk, bad, key]) == key.position
    assert sorted(parked_reasons(central, "all")) == [bad.position.seq, key.position.seq]


def test_a_writer_is_refused_what_it_may_not_say(shop: Books) -> None:
    """At the writer nothing is parked: a sale that would not count must not be made."""
    with pytest.raises((Refusal, Corrupt)), shop.begin() as tx:
        shop.record(tx, {"shop/a": [draft(ev.PriceSet(sku="x", price_minor=1), "p")]})
    long = received(sku="x" * 5000)
    with pytest.raises((Refusal, Corrupt)), shop.begin() as tx:
        shop.record(tx, {"shop/a": [draft(received("fine"), "fine"), draft(long, "long")]})
    assert line(shop, "shop/a") == []
    assert stock(shop) == {}
    assert parked_reasons(shop, "shop/a") == {}


def test_the_digest_is_compared_exactly_at_its_position(central: Books, shop: Books) -> None:
    events = branch("shop/a", [received("1"), received("2", sku="tea")])
    kept(shop, events)
    digest, products = shop.proof("shop/a")
    assert products == 2
    claim = ev.StockDigest(digest=digest, products=products)
    wrong = ev.StockDigest(digest="f" * 32, products=2)
    more = branch(
        "shop/a", [claim, received("3"), claim, wrong], after=events[-1].position, epoch=EPOCHS[0]
    )
    kept(central, [*events, *more])
    with central.database.reading() as c:
        rows = c.execute(select(digest_check.c.seq, digest_check.c.agreed)).all()
    seq = more[0].position.seq
    assert sorted(map(tuple, rows)) == [(seq, True), (seq + 2, False), (seq + 3, False)]


def test_the_digest_follows_every_change_and_forgets_zero(shop: Books) -> None:
    empty = shop.proof("shop/a")
    assert empty == ("0" * 32, 0)
    out = ev.GoodsScrapped(document="d", reason="r", lines=(ev.Moved(sku="bun", qty_milli=1000),))
    for n in range(3):
        with shop.begin() as tx:
            shop.record(tx, {"shop/a": [draft(received("in"), f"in{n}")]})
        assert shop.proof("shop/a")[1] == 1
        with shop.begin() as tx:
            shop.record(tx, {"shop/a": [draft(out, f"out{n}")]})
        assert shop.proof("shop/a") == empty


def test_refused_messages_are_bounded(central: Books) -> None:
    fault = Corrupt("MESSAGE_UNREADABLE", detail="odd\0 \x01 " + "x" * 5000)
    for n in range(30):
        central.refuse("top\0ic" * 100, bytes([n % 256]) * 10_000, fault, at_ms=n)
    with central.database.begin() as tx:
        newest = tx.execute(select(refused.c.n).order_by(refused.c.n.desc())).scalars().first()
        rows = [
            {
                "n": newest + n,
                "at_ms": 0,
                "topic": "t",
                "code": "c",
                "detail": "d",
                "sample": b"",
            }
            for n in range(1, REFUSED_ROWS_MAX + 200)
        ]
        tx.execute(refused.insert(), rows)
        if not central.database.sqlite:
            tx.exec_driver_sql(f"SELECT setval('refused_n_seq', {rows[-1]['n']})")
    central.refuse("topic", b"last", fault, at_ms=99)
    with central.database.reading() as c:
        found = c.execute(select(refused).order_by(refused.c.n)).all()
    assert len(found) == REFUSED_ROWS_MAX
    assert found[-1].sample == b"last"
    assert len(found[-1].detail) <= 1000
