"""Counting, receiving, scrapping, and the time axis of a product."""

import pytest
from sqlalchemy import func, select

from edge.compose import Shop
from edge.stockroom import Piece
from protocol.errors import Refusal
from protocol.node.tables import READ
from tests.edge.shop_builder import BUN, MILK, sell


def on_hand(shop: Shop, sku: str) -> int:
    row = shop.stockroom.find(sku)
    assert row is not None
    return row.on_hand_milli


def everywhere(shop: Shop) -> int:
    stock = READ["stock"].c
    with shop.books.database.reading() as connection:
        total = connection.execute(select(func.sum(stock.qty_milli + stock.sold_milli))).scalar()
        return total or 0


def test_opening_count_receive_scrap_and_their_log(open_shop: Shop, clock) -> None:
    room = open_shop.stockroom
    room.count("open-1", [Piece("bun", 50_000)], person="mei", opening=True)
    clock.later(1000)
    room.receive("in-1", "Mill & Co", [Piece("bun", 20_000)], person="mei")
    clock.later(1000)
    room.scrap("waste-1", "stale", [Piece("bun", 3_000)], person="mei")
    clock.later(1000)
    sell(open_shop, [BUN])
    clock.later(1000)
    assert room.count("count-1", [Piece("bun", 65_000)], person="mei") == 1
    assert on_hand(open_shop, "bun") == 65_000
    log = room.stock_log("bun")
    assert [(r.kind, r.change_milli, r.after_milli) for r in log] == [
        ("StockCounted", -1_000, 65_000),
        ("SaleCompleted", -1_000, 66_000),
        ("GoodsScrapped", -3_000, 67_000),
        ("GoodsReceived", 20_000, 70_000),
        ("StockCounted", 50_000, 50_000),
    ]
    assert [r.actor for r in log] == ["mei", "anna", "mei", "mei", "mei"]
    assert log[1].till == "1"
    assert log[-1].source == "opening/s1"
    assert everywhere(open_shop) == 0


def test_one_document_is_booked_once(shop: Shop) -> None:
    for _ in range(2):
        shop.stockroom.receive("in-1", "Mill", [Piece("bun", 20_000)], person="mei")
        shop.stockroom.scrap("waste-1", "wet", [Piece("bun", 15_000)], person="mei")
    assert on_hand(shop, "bun") == 5_000


def test_what_cannot_be_is_refused_in_words(shop: Shop) -> None:
    room = shop.stockroom
    with pytest.raises(Refusal, match="SHELF_SHORT"):
        room.scrap("w", "stale", [Piece("bun", 1_000)], person="mei")
    with pytest.raises(Refusal, match="DOCUMENT_EMPTY"):
        room.receive("r", "x", [], person="mei")
    with pytest.raises(Refusal, match="LINE_TWICE"):
        room.receive("r", "x", [Piece("bun", 1000), Piece("bun", 1000)], person="mei")
    with pytest.raises(Refusal, match="PRODUCT_UNKNOWN"):
        room.receive("r", "x", [Piece("ghost", 1000)], person="mei")
    with pytest.raises(Refusal, match="QUANTITY_WRONG"):
        room.receive("r", "x", [Piece("bun", 0)], person="mei")
    with pytest.raises(Refusal, match="QUANTITY_TOO_FINE"):
        room.receive("r", "x", [Piece("bun", 500)], person="mei")
    with pytest.raises(Refusal, match="NOT_ALLOWED"):
        room.receive("r", "x", [Piece("bun", 1000)], person="anna")
    with pytest.raises(Refusal, match="REASON_MISSING"):
        room.scrap("w", " ", [Piece("bun", 1000)], person="mei")
    room.receive("r", "x", [Piece("bun", 1000)], person="mei")
    with pytest.raises(Refusal, match="OPENING_DONE"):
        room.count("o", [Piece("bun", 1000)], person="mei", opening=True)
    assert on_hand(shop, "bun") == 1_000


def test_the_list_finds_pages_and_oversold_goods(open_shop: Shop) -> None:
    page = open_shop.stockroom.on_hand()
    assert {r.sku for r in page.rows} == {"bun", "milk", "cake", "bread", "ham"}
    assert (page.page, page.pages, page.total) == (1, 1, 5)
    assert [r.sku for r in open_shop.stockroom.on_hand("牛奶").rows] == ["milk"]
    assert [r.sku for r in open_shop.stockroom.on_hand("69211").rows] == ["milk"]
    assert open_shop.stockroom.on_hand(page=99).page == 1
    sell(open_shop, [MILK])
    short = open_shop.stockroom.on_hand(oversold=True).rows
    assert [(r.sku, r.on_hand_milli, r.oversold) for r in short] == [("milk", -1000, True)]
    assert open_shop.stockroom.find("no such thing") is None
    found = open_shop.stockroom.find("]E0" + MILK)
    assert found is not None
    assert (found.sku, found.price_minor, found.code) == ("milk", 880, MILK)
