"""What pages hear after a commit, and the proofs that the shop appends by itself."""

import contextlib
import threading
import time

import msgspec
from sqlalchemy import select

from edge.compose import Shop
from edge.proofs import EVERY_EVENTS
from edge.stockroom import Piece
from protocol.events import PriceSet, ReceiptReprinted, StockDigest
from protocol.ids import ALL
from protocol.node.tables import digest_check, journal
from tests.edge.shop_builder import (
    BUN,
    head_office,
    open_shift,
    ring_up,
    sell,
    three_for_two,
)


def heard(shop: Shop, act) -> dict[str, dict]:
    """Topic -> the last fact, for what `act` makes known."""
    with shop.hub.subscribe() as facts:
        act()
        found = {}
        while not facts.empty():
            fact = facts.get()
            found[fact.topic] = msgspec.json.decode(fact.data)
    return found


def test_a_scan_tells_the_version_and_whether_the_row_is_red(shop: Shop) -> None:
    assert heard(shop, lambda: ring_up(shop, [BUN])) == {
        "basket/1": {"version": 1, "line": 1, "unknown": False}
    }
    assert heard(shop, lambda: ring_up(shop, ["what"]))["basket/1"]["unknown"] is True


def test_a_sale_tells_till_stock_and_the_emptied_basket(open_shop: Shop) -> None:
    facts = heard(open_shop, lambda: sell(open_shop, [BUN]))
    assert facts["sale"]["receipt_number"] == "1-1-000001"
    assert facts["stock"] == {"skus": ["bun"]}
    assert facts["basket/1"] == {"version": 2, "line": 0, "unknown": False}


def test_prices_promotions_shifts_and_holds_are_told(shop: Shop) -> None:
    def act() -> None:
        head_office(shop, ALL, PriceSet(sku="bun", price_minor=1), three_for_two())
        shop.rules.refresh()
        open_shift(shop)
        ring_up(shop, [BUN])
        shop.selling.hold("1", person="anna")
        shop.people.sign_in("1111", person="anna", till="1")
        shop.stockroom.receive("in", "x", [Piece("milk", 1000)], person="mei")
        shop.transfers.dispatch("t1", "s2", [Piece("milk", 1000)], person="mei")

    facts = heard(shop, act)
    assert set(facts) == {
        "prices",
        "promotion",
        "rules",
        "shift/1",
        "basket/1",
        "held",
        "people",
        "stock",
        "transfer",
    }
    assert facts["transfer"] == {"transfer": "t1"}
    assert facts["rules"]["hash"] == shop.rules.in_force.hash


def test_nothing_is_told_of_what_was_rolled_back(shop: Shop) -> None:
    def act() -> None:
        with contextlib.suppress(ZeroDivisionError), shop.books.begin() as tx:
            draft = shop.node.draft(PriceSet(sku="bun", price_minor=1))
            shop.books.record(tx, {ALL: [draft]})
            1 / 0  # noqa: B018

    assert heard(shop, act) == {}
    sell_nothing = heard(shop, lambda: shop.selling.view("1"))
    assert sell_nothing == {}


def digests(shop: Shop) -> int:
    with shop.books.database.reading() as connection:
        kinds = select(journal.c.seq).where(journal.c.type == StockDigest.__name__)
        return len(connection.execute(kinds).all())


def test_the_shelf_is_proved_at_boot_and_every_500_events(shop: Shop) -> None:
    shop.prover.prove()
    assert digests(shop) == 1
    heard = threading.Event()
    heard.set()
    shop.prover.start(heard, first=lambda: None)
    try:
        for n in range(EVERY_EVENTS // 100):
            drafts = [
                shop.node.draft(ReceiptReprinted(sale=f"s{n}", receipt_number=f"x-{k}", copy_no=1))
                for k in range(100)
            ]
            with shop.books.begin() as tx:
                shop.books.record(tx, {shop.node.stream: drafts})
        deadline = time.monotonic() + 60
        while digests(shop) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        shop.prover.stop()
    assert digests(shop) == 2
    with shop.books.database.reading() as connection:
        checks = connection.execute(select(digest_check.c.agreed)).scalars().all()
    assert checks == [True, True]
