"""Read tables are folds: any order of streams, any batches, a rebuild, all give the same."""

import random
import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest
from sqlalchemy import select

from protocol import events as ev
from protocol.folds import fold, spread
from protocol.journal import Stored
from protocol.node.books import Books
from protocol.node.projecting import row_hash
from protocol.node.tables import READ, READ_VERSION, read
from tests.builders import EPOCHS, branch, draft, received, sale
from tests.contracts.reading import kept, parked_reasons, snapshot, stock

Boot = Callable[[str, int], Books]


def _shop(rng: random.Random, store: str) -> list[ev.Event]:
    """What a shop records; each transfer id is its own."""
    other = "b" if store == "a" else "a"
    found: list[ev.Event] = []
    for n in range(rng.randint(8, 20)):
        sku, qty = rng.choice(["bun", "cup", "tea"]), rng.randint(1, 9) * 500
        moved = (ev.Moved(sku=sku, qty_milli=qty),)
        found.append(
            rng.choice(
                [
                    sale(f"{store}{n}", sku=sku, qty_milli=qty),
                    received(f"{store}{n}", sku=sku, qty_milli=qty),
                    ev.GoodsScrapped(document=f"{store}{n}", reason="r", lines=moved),
                    ev.TransferDispatched(transfer=f"{store}{n}", to_store=other, lines=moved),
                    ev.StockDigest(digest=f"{n:032x}", products=1),
                    ev.ShiftOpened(shift=f"s{n}", till="T1", cashier="li", float_minor=1),
                    ev.RulesInForce(rules_hash=f"{n}", rules=("r@1",), upto={"all": n}),
                ]
            )
        )
    return found


def _head_office(rng: random.Random) -> list[ev.Event]:
    found: list[ev.Event] = []
    for _ in range(rng.randint(4, 10)):
        sku = rng.choice(["bun", "cup"])
        code = ev.ProductCode(code=f"69{rng.randint(0, 9)}")
        found += [
            ev.PriceSet(sku=sku, price_minor=rng.randint(1, 9)),
            ev.ProductListed(
                sku=sku,
                name={"zh": rng.choice(["包", "茶", "é", "Z"])},
                group="g",
                tax_rate_bp=rng.randint(0, 9),
                codes=(code,),
                floor_minor=rng.choice([None, 5]),
            ),
            ev.PromotionPublished(rule="r", version=rng.randint(1, 9), document={"a": 1}),
            ev.StoreAdded(store="a", name={"en": "A"}, zone="z", group="g", tz="Asia/Shanghai"),
        ]
    return found


def _history(rng: random.Random) -> dict[str, list[Stored]]:
    """Streams; `all` and `shop/a` have a fork."""
    a = branch("shop/a", _shop(rng, "a"))
    a_fork = branch("shop/a", _shop(rng, "x"), after=a[3].position, epoch=EPOCHS[1])
    everybody = branch("all", _head_office(rng))
    other = branch("all", _head_office(rng), after=everybody[4].position, epoch=EPOCHS[2])
    forwarded = [
        ev.TransferForwarded(
            transfer=f"b{n}",
            from_store="b",
            to_store="a",
            dispatched_ms=n,
            person="p",
            lines=(ev.Moved(sku="bun", qty_milli=500),),
        )
        for n in range(5)
    ]
    return {
        "shop/a 1": a,
        "shop/a 2": a_fork,
        "shop/b": branch("shop/b", _shop(rng, "b")),
        "all 1": everybody,
        "all 2": other,
        "to/a": branch("to/a", forwarded),
        "zone/z": branch("zone/z", [ev.PriceSet(sku="bun", price_minor=3)] * 4),
    }


def _mixed(rng: random.Random, history: dict[str, list[Stored]]) -> list[tuple[list[Stored], str]]:
    """Batches with their `prev`, in an order that each stream (and branch) allows."""
    left = {name: list(events) for name, events in history.items()}
    prev = dict.fromkeys(left, "")
    batches: list[tuple[list[Stored], str]] = []
    seen: set[str] = set()
    while left:
        name = rng.choice(sorted(left))
        if name.endswith(" 2"):
            trunk = history[name[:-1] + "1"]
            if trunk[4].position.hash not in seen:
                continue  # the parent is not there yet
        size = rng.randint(1, 7)
        batch, left[name] = left[name][:size], left[name][size:]
        batches.append((batch, prev[name]))
        prev[name] = batch[-1].position.hash
        seen |= {e.position.hash for e in batch}
        if not left[name]:
            del left[name]
    return batches


def _fill(books: Books, batches: Sequence[tuple[list[Stored], str]]) -> None:
    for batch, prev in batches:
        kept(books, batch, prev=prev)


def _agreeing(found: dict[str, list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    """Without the digest checks: what a fork's shelf holds at a place depends on arrival."""
    return {name: rows for name, rows in found.items() if name != "digest_check"}


@pytest.mark.parametrize("seed", range(6))
def test_any_interleaving_and_any_rebuild_give_the_same(
    boot: Boot, central: Books, seed: int
) -> None:
    rng = random.Random(seed)
    history = _history(rng)
    _fill(central, _mixed(rng, history))
    first = snapshot(central)
    assert central.verify() == []
    for _ in range(2):
        central.rebuild(order=lambda streams: rng.sample(streams, len(streams)))
        assert _agreeing(snapshot(central)) == _agreeing(first)
    with central.database.begin() as tx:
        for table in read.sorted_tables:
            tx.execute(table.delete())
        for name in ("journal", "stream_head", "fork", "parked"):
            tx.exec_driver_sql(f"DELETE FROM {name}")
    _fill(central, _mixed(rng, history))
    again = _agreeing(snapshot(central))
    for name, rows in _agreeing(first).items():
        assert again[name] == rows, name
    by_sku: dict[str, int] = {}
    for (_, sku), qty in stock(central).items():
        by_sku[sku] = by_sku.get(sku, 0) + qty
    assert not any(by_sku.values())


def test_the_digest_is_the_sum_of_its_rows(central: Books) -> None:
    rng = random.Random(1)
    _fill(central, _mixed(rng, _history(rng)))
    for place in ("shop/a", "shop/b"):
        rows = {s: q for (p, s), q in stock(central).items() if p == place}
        total = sum(row_hash(s, q) for s, q in rows.items()) % 2**128
        assert central.proof(place) == (f"{total:032x}", len(rows))
    assert row_hash("bun", 0) == 0
    assert row_hash("bun", 1) != row_hash("bun", 2)


def test_an_older_read_version_is_rebuilt_at_boot(boot: Boot) -> None:
    shop = boot("a", 0)
    assert not shop.rebuild_if_older()  # fresh: nothing to do, the version is written
    with shop.begin() as tx:
        shop.record(tx, {"shop/a": [draft(received("x"), "x")]})
    before = snapshot(shop)
    assert not shop.rebuild_if_older()
    with shop.database.begin() as tx:
        shop.set_state(tx, "read_version", str(READ_VERSION - 1))
        tx.execute(READ["stock"].update().values(qty_milli=77))
    assert shop.rebuild_if_older()
    assert snapshot(shop) == before
    with shop.database.reading() as c:
        assert shop.state(c, "read_version") == str(READ_VERSION)
        assert shop.state(c, "none") == ""


def test_a_code_counts_only_while_its_rank_is_its_products(central: Books) -> None:
    def product(code: str) -> ev.Event:
        return ev.ProductListed(
            sku="bun",
            name={"en": "Bun"},
            group="g",
            tax_rate_bp=0,
            codes=(ev.ProductCode(code=code),),
        )

    kept(central, branch("all", [product("1"), product("2")]))
    codes, products = READ["product_code"], READ["product"]
    with central.database.reading() as c:
        found = c.execute(
            select(codes.c.code).join(
                products, (products.c.sku == codes.c.sku) & (products.c.rank == codes.c.rank)
            )
        )
        assert found.scalars().all() == ["2"]


def test_listeners_hear_what_lies_on_a_shelf_now(boot: Boot) -> None:
    """Last word last, also where a digest in the middle is compared; nothing for other threads."""
    books, heard, elsewhere = boot("central", 50), [], []
    books.listeners.append(lambda _: heard.append(list(books.shelves)))
    claim = ev.StockDigest(digest="0" * 32, products=1)
    first = branch("shop/a", [received("1"), claim, received("2", sku="tea"), sale("s")])
    kept(books, first)
    kept(books, branch("all", [ev.GroupDefined(group="g", name={"en": "g"})]))
    assert [{sku: qty for _, sku, qty in told} for told in heard] == [
        {"bun": 0, "tea": 1000},
        {},
    ]
    assert {place for place, _, _ in heard[0]} == {"shop/a"}
    assert books.shelves == []
    thread = threading.Thread(target=lambda: elsewhere.append(books.shelves))
    thread.start()
    thread.join()
    assert elsewhere == [[]]


def test_movements_in_one_value_write_what_their_parts_write(boot: Boot) -> None:
    """The short way through the hottest loop, odd names included, against row by row."""
    odd = ['a"b', "back\\slash", "tab\there", "line\nend", "\r", "{},NULL", "包"]
    given: list[ev.Event] = []
    for n, sku in enumerate(odd):
        line = sale(f"s{n}", sku=sku).lines[0]
        back = msgspec.structs.replace(line, is_return=True)
        gift = ev.Gift(sku=odd[n - 1], qty_milli=500, rule="r")
        counted = (ev.Counted(sku=sku, counted_qty_milli=n, book_qty_milli=3),)
        given += [
            sale(f"s{n}", sku=sku, lines=(line, line, back), gifts=(gift,)),
            received(f"r{n}\t\\", sku=sku),
            ev.StockCounted(document=f"c{n}", lines=counted, opening=n % 2 == 0),
            ev.TransferDispatched(
                transfer=f"t{n}", to_store="b", lines=(ev.Moved(sku=sku, qty_milli=7),)
            ),
        ]
    books = boot("central", 50)
    kept(books, branch("shop/a", given))
    assert parked_reasons(books, "shop/a") == {}
    short = snapshot(books)
    assert len(short["stock_move"]) == len(odd) * 7 - 1  # one count agreed with the book
    books._fold = lambda body, envelope: list(spread(fold(body, envelope)))
    books.rebuild()
    assert snapshot(books) == short


def test_a_fold_that_fails_parks_its_event_and_a_mended_one_takes_it_back(boot: Boot) -> None:
    """A fault in our own code never stops a stream, nor a sale at its writer."""
    shop = boot("a", 0)

    def broken(body: object, envelope: object) -> list[object]:
        raise KeyError("a fault of ours\0")

    mended = shop._fold
    shop._fold = broken  # type: ignore[assignment]
    with shop.begin() as tx:
        shop.record(tx, {"shop/a": [draft(sale(), "s")]})
    assert stock(shop) == {}
    assert len(snapshot(shop)["parked"]) == 2
    shop._fold = mended
    shop.rebuild()
    assert snapshot(shop)["parked"] == []
    assert stock(shop)["shop/a", "bun"] == -1000
