"""A shop that was away for thousands of words of head office leaps over them, and sells on."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest
from sqlalchemy import func, select, update

from central.web import create_app
from central.web.serving import Server
from edge import catchup
from edge.catchup import Leapt
from edge.compose import Shop
from edge.pruning import examine_base
from protocol.clock import DAY_MS
from protocol.codec import Draft
from protocol.errors import Corrupt
from protocol.events import Moved, PriceSet, ProductCode, ProductListed, TransferSettled
from protocol.ids import ALL, to_stream, zone_stream
from protocol.ledger import shelf
from protocol.node.books import Books
from protocol.node.proving import read_digests
from protocol.node.tables import READ, fork, journal
from protocol.wire import Manifest, decode
from tests.edge.shop_builder import build
from tests.journeys.rogues import House, count_of, head_of, house, until

pytestmark = pytest.mark.slow
WAIT_S = 60
MANY = 3_000  # events that the shop lacks; "far" is a thousand here


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(catchup, "FAR", 1_000)
    with house(tmp_path) as made:
        server = Server(create_app(made.office), "127.0.0.1", 0)
        server.start()
        made.port = server.port  # type: ignore[attr-defined]
        yield made
        server.stop()


def soon(what: str, holds: object) -> None:
    until(what, holds, WAIT_S)  # type: ignore[arg-type]


def said(place: House, first: int, count: int) -> None:
    """Head office lists goods, prices them in a zone, renames them: each twice."""
    clock, books = place.clock, place.office.books
    at = clock.read()
    listed, priced = [], []
    for n in range(first, first + count):
        sku = f"sku{n % 500}"
        codes = (ProductCode(code=f"69{n % 500:011d}"),)
        name = {"zh": f"货{n}", "en": f"Goods {n}"}
        body = ProductListed(sku=sku, name=name, group="g", tax_rate_bp=900, codes=codes)
        listed.append(Draft(id=f"p{n}", body=body, at=at))
        priced.append(Draft(id=f"z{n}", body=PriceSet(sku=sku, price_minor=n + 1), at=at))
    with books.begin() as tx:
        books.record(tx, {ALL: listed, zone_stream("east"): priced})


def level(place: House, shop: Shop, *streams: str) -> bool:
    streams = ("all", "zone/east", *streams)
    return all(head_of(shop.books, s) == head_of(place.office.books, s) for s in streams)


def back(place: House, *, http: bool = True) -> Shop:
    settings = msgspec.structs.replace(
        place.shops["a"].settings,
        central_http=f"http://127.0.0.1:{place.port if http else 9}",  # type: ignore[attr-defined]
    )
    shop = build(place.folder / "a", clock=place.clock, settings=settings, empty=True)
    place.shops["a"] = shop
    return shop


def digests(books: Books) -> dict[str, str]:
    with books.database.reading() as connection:
        return read_digests(connection)


def goods(books: Books) -> list[tuple[object, ...]]:
    with books.database.reading() as connection:
        found: list[tuple[object, ...]] = []
        for name in ("product", "product_code", "price", "promo_group"):
            table = READ[name]
            rows = connection.execute(select(table).order_by(*table.primary_key))
            found += [tuple(row) for row in rows]
        return found


def settled(place: House, name: str) -> None:
    """Pieces that never came: the one thing that is summed in a stream of head office."""
    body = TransferSettled(
        transfer=f"t-{name}",
        settlement=name,
        from_store="a",
        to_store="b",
        lines=(Moved(sku="bun", qty_milli=1_000),),
        reason="lost",
    )
    draft = Draft(id=f"settled-{name}", body=body, at=place.clock.read())
    with place.office.books.begin() as tx:
        place.office.books.record(tx, {to_stream("a"): [draft]})


def lost(books: Books) -> int:
    table = READ["stock"]
    with books.database.reading() as connection:
        query = select(table.c.qty_milli).where(table.c.place == "lost/a")
        return int(connection.execute(query).scalar() or 0)


def forks(books: Books) -> int:
    with books.database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(fork)).scalar() or 0)


def whole(place: House, shop: Shop) -> None:
    """Verified, and a rebuild from the snapshot and what follows gives the same tables."""
    before = digests(shop.books)
    assert shop.books.verify() == []
    shop.books.rebuild()
    assert digests(shop.books) == before
    assert forks(shop.books) == forks(place.office.books) == 0


def test_far_behind_it_leaps_over_what_it_missed_and_sells_meanwhile(place: House) -> None:
    settled(place, "one")
    place.flows(WAIT_S)
    soon("a has heard of it", lambda: lost(place.shops["a"].books) == 1_000)
    place.clock.later(40 * DAY_MS)
    place.say("a")
    soon("a is level", lambda: place.level("a"))
    place.shops["a"].stop()
    settled(place, "two")
    said(place, 0, MANY)
    shop = back(place)
    before = count_of(shop.books, "all")
    done = threads_sell_while(place, shop)
    assert done is not None
    assert done.spared == {"all": MANY, "zone/east": MANY + 1}  # its epoch begins there
    assert done.rows >= 1_500
    assert count_of(shop.books, "all") == before, "their events are not here"
    assert head_of(shop.books, "all") == head_of(place.office.books, "all")
    assert lost(shop.books) == 1_000, "what is said to it alone comes event by event"
    assert "all after" in examine_base(shop.books, place.office.key.public_hex, "a")
    whole(place, shop)
    said(place, MANY, 50)
    shop.start()
    place.flows(WAIT_S)
    soon("a is level both ways", lambda: place.level("a") and level(place, shop, "to/a"))
    assert lost(shop.books) == 2_000
    soon("b is level", lambda: level(place, place.shops["b"]))
    assert goods(shop.books) == goods(place.shops["b"].books)
    assert shop.books.proof(shelf("a")) == place.office.books.proof(shelf("a"))
    whole(place, shop)
    place.quiet()
    told = [decode(Manifest, data) for topic, data in place.rogue.heard if "/manifest/" in topic]
    assert {one.stream for one in told} == {"all", "zone/east"}


def threads_sell_while(place: House, shop: Shop) -> Leapt | None:
    over = Event()

    def sell() -> None:
        while not over.is_set():
            place.say("a")

    till = Thread(target=sell)
    till.start()
    try:
        return shop.catchup.leap()
    finally:
        over.set()
        till.join()


def test_events_that_come_meanwhile_or_instead_do_no_harm(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup, "WORTH", 1)
    for http in (True, False):
        place.shops["a"].stop()
        said(place, head_of(place.office.books, "all").seq, MANY)
        shop = back(place, http=http)
        shop.start()  # a retained manifest wakes it; the same events come one by one
        soon("a is level", lambda shop=shop: level(place, shop))
        place.flows(WAIT_S)
        soon("a is level both ways", lambda: place.level("a"))
        assert goods(shop.books) == goods(place.shops["b"].books)
        whole(place, shop)
    place.quiet()


def test_only_far_is_far_and_another_line_is_refused(place: House) -> None:
    said(place, 0, 20)
    place.flows(WAIT_S)
    shop = back_again(place)
    head = head_of(place.office.books, "all")
    near = Manifest(
        node="central",
        epoch=head.epoch,
        stream="all",
        seq=head.seq + 1_000,
        hash=head.hash,
        now=1,
        ask="",
    )
    shop.catchup.told(near)
    assert not shop.catchup._wake.is_set()
    shop.catchup.told(msgspec.structs.replace(near, seq=head.seq + 1_001))
    assert shop.catchup._wake.is_set()
    assert shop.catchup.leap() is None, "all is here"
    said(place, 20, MANY)
    at = head_of(shop.books, "shop/a")
    with shop.books.database.begin() as tx:  # another disk under this shop's name
        tx.execute(update(journal).where(journal.c.hash == at.hash).values(hash="f" * 64))
    place.clock.later(40 * DAY_MS)
    before = head_of(shop.books, "all")
    with pytest.raises(Corrupt, match="SNAPSHOT_UNFIT"):
        shop.catchup.leap()
    assert head_of(shop.books, "all") == before
    shop.books.database.close()


def back_again(place: House) -> Shop:
    place.shops["a"].stop()
    return back(place)
