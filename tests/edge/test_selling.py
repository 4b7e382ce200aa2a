"""Ring up and take money, on a real database."""

import pytest
from sqlalchemy import select

from edge import till as pure
from edge.compose import Shop
from edge.views import TenderIn
from protocol.errors import Conflict, Refusal
from protocol.events import PriceSet, SaleCompleted
from protocol.ids import ALL
from protocol.node.tables import READ, journal
from tests.edge.shop_builder import (
    BREAD,
    BUN,
    CAKE,
    MILK,
    head_office,
    open_shift,
    ring_up,
    sell,
    three_for_two,
)


def events(shop: Shop, kind: str) -> int:
    with shop.books.database.reading() as connection:
        rows = connection.execute(
            select(journal.c.seq).where(
                journal.c.stream == shop.node.stream, journal.c.type == kind
            )
        ).all()
    return len(rows)


def test_a_scan_becomes_a_priced_line_with_the_zones_price_first(shop: Shop) -> None:
    view = ring_up(shop, [BUN, MILK])
    assert [(x.sku, x.unit_price_minor, x.qty_milli) for x in view.lines] == [
        ("bun", 350, 1000),
        ("milk", 880, 1000),  # the chain says 990
    ]
    assert view.total_minor == 1230
    assert view.items_milli == 2000
    assert view.shown_line == 2


def test_two_scans_in_a_row_are_one_line_and_versions_rise(shop: Shop) -> None:
    view = ring_up(shop, [BUN, BUN, MILK, BUN])
    assert [(x.sku, x.qty_milli) for x in view.lines] == [
        ("bun", 2000),
        ("milk", 1000),
        ("bun", 1000),
    ]
    assert view.version == 4


def test_unknown_code_is_a_red_row_that_blocks_payment_not_scanning(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN, "6999999999997", MILK])
    red = view.lines[1]
    assert (red.kind, red.code, red.reason and red.reason.code) == (
        "unknown",
        "6999999999997",
        "CODE_UNKNOWN",
    )
    assert view.unknown == 1
    assert not view.payable
    with pytest.raises(Refusal, match="PAY_RED_ROWS"):
        open_shop.selling.pay("1", view.sale, [TenderIn("cash", 5000)], person="anna")
    view = open_shop.selling.dismiss_unknown("1", red.line, person="anna")
    assert view.payable
    assert [x.line for x in view.lines] == [1, 3]  # the other rows keep their names


def test_a_product_without_a_price_is_red_with_that_reason(shop: Shop) -> None:
    view = ring_up(shop, [CAKE])
    assert view.lines[0].reason is not None
    assert view.lines[0].reason.code == "PRICE_MISSING"
    assert "蛋糕" in view.lines[0].reason.zh


def test_a_misread_code_says_which_digit_was_expected(shop: Shop) -> None:
    view = ring_up(shop, ["6901028075832"])
    assert view.lines[0].reason is not None
    assert view.lines[0].reason.code == "SCAN_CHECK_DIGIT"
    assert "1" in view.lines[0].reason.en


def test_a_scale_label_sells_its_weight(shop: Shop) -> None:
    view = ring_up(shop, ["2012345005365"])  # 0.536 kg of item 12345
    assert [(x.sku, x.qty_milli, x.gross_minor) for x in view.lines] == [("ham", 536, 4717)]


def test_pay_writes_one_sale_with_receipt_tax_and_change(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN, MILK])
    paid = open_shop.selling.pay("1", view.sale, [TenderIn("cash", 2000)], person="anna")
    assert paid.receipt_number == "1-1-000001"
    assert (paid.total_minor, paid.given_minor, paid.change_minor) == (1230, 2000, 770)
    body = open_shop.selling.sale(view.sale)
    assert body is not None
    assert sum(x.tax_minor for x in body.lines) == sum(t.tax_minor for t in body.tax) == 142
    assert body.lines[1].price_version.startswith("zone/east@")
    assert body.business_date == "2026-11-02"
    assert body.oversold == ("bun", "milk")
    after = open_shop.selling.view("1")
    assert after.lines == ()
    assert after.version > view.version
    with open_shop.books.database.reading() as connection:
        stock = READ["stock"].c
        left = connection.execute(
            select(stock.qty_milli).where(stock.place == "shop/s1", stock.sku == "bun")
        ).scalar()
    assert left == -1000


def test_two_clicks_on_pay_are_one_sale_and_one_answer(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN])
    first = open_shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
    ring_up(open_shop, [MILK])  # the next customer is already there
    second = open_shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
    assert second.again
    assert not first.again
    assert second.receipt_number == first.receipt_number
    assert events(open_shop, "SaleCompleted") == 1
    assert len(open_shop.selling.view("1").lines) == 1


def test_paying_for_a_sale_that_is_not_on_the_till_books_nothing(open_shop: Shop) -> None:
    ring_up(open_shop, [BUN])
    with pytest.raises(Conflict, match="PAY_OTHER_SALE"):
        open_shop.selling.pay("1", "some-other-sale", [TenderIn("cash", 350)], person="anna")
    assert events(open_shop, "SaleCompleted") == 0


def test_no_shift_no_payment_but_scanning_works(shop: Shop) -> None:
    view = ring_up(shop, [BUN])
    assert not view.payable
    with pytest.raises(Refusal, match="SHIFT_NONE"):
        shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")


@pytest.mark.parametrize(
    ("tenders", "code"),
    [
        ([TenderIn("cash", 300)], "PAY_SHORT"),
        ([TenderIn("card", 400)], "PAY_TOO_MUCH"),
        ([TenderIn("shells", 350)], "TENDER_UNKNOWN"),
        ([TenderIn("cash", -5)], "AMOUNT_OUT_OF_RANGE"),
        ([], "PAY_SHORT"),
    ],
)
def test_wrong_money_is_refused_in_words(
    open_shop: Shop, tenders: list[TenderIn], code: str
) -> None:
    view = ring_up(open_shop, [BUN])
    with pytest.raises(Refusal, match=code):
        open_shop.selling.pay("1", view.sale, tenders, person="anna")
    assert len(open_shop.selling.view("1").lines) == 1


def test_card_and_cash_together(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN, MILK])
    tenders = [TenderIn("cash", 500), TenderIn("card", 1000, "T-77")]
    paid = open_shop.selling.pay("1", view.sale, tenders, person="anna")
    body = open_shop.selling.sale(paid.sale)
    assert body is not None
    assert [(t.kind, t.amount_minor, t.given_minor) for t in body.tenders] == [
        ("card", 1000, 1000),
        ("cash", 230, 500),
    ]
    assert paid.change_minor == 270


def test_the_bakery_promotion_takes_the_cheapest_and_says_why(open_shop: Shop) -> None:
    head_office(open_shop, ALL, three_for_two())
    open_shop.rules.refresh()
    view = ring_up(open_shop, [BUN, BREAD])
    assert view.discount_minor == 0
    near = view.lines[0].touching[0]
    assert (near.rule, near.applied, near.why.code) == ("B3", False, "QTY_SHORT")
    assert "买二送一" in near.why.zh
    view = ring_up(open_shop, [BREAD])
    assert view.discount_minor == 350
    assert view.total_minor == 2400
    assert view.lines[0].promotions[0].zh == "买二送一"
    assert view.lines[0].touching[0].applied
    paid = open_shop.selling.pay("1", view.sale, [TenderIn("cash", 2400)], person="anna")
    body = open_shop.selling.sale(paid.sale)
    assert isinstance(body, SaleCompleted)
    assert body.rules_hash == open_shop.rules.in_force.hash
    assert body.applied[0].per_line == ((0, 350),)
    assert body.context["store"] == "s1"


def test_quantity_void_clear_and_versions(shop: Shop) -> None:
    view = ring_up(shop, [BUN, MILK])
    view = shop.selling.set_quantity("1", 1, 5000, person="anna", expect_version=view.version)
    assert view.lines[0].qty_milli == 5000
    with pytest.raises(Conflict, match="BASKET_CHANGED"):
        shop.selling.void_line("1", 1, person="anna", expect_version=1)
    with pytest.raises(Refusal, match="QUANTITY_TOO_FINE"):
        shop.selling.set_quantity("1", 1, 500, person="anna")
    view = shop.selling.void_line("1", 1, person="anna")
    assert [x.sku for x in view.lines] == ["milk"]
    old_sale = view.sale
    view = shop.selling.clear("1", person="anna")
    assert view.lines == ()
    assert view.sale != old_sale


def test_500_lines_and_not_one_more(shop: Shop) -> None:
    state = pure.BasketState(sale="x")
    for n in range(500):
        state = pure.add(state, pure.BasketLine(line=0, sku=f"p{n}", unit_price_minor=1))
    with pytest.raises(Refusal, match="BASKET_FULL"):
        pure.add(state, pure.BasketLine(line=0, sku="one more"))
    again = pure.add(state, pure.BasketLine(line=0, sku="p499", unit_price_minor=1))
    assert again.lines[-1].qty_milli == 2000
    assert pure.read(pure.dump(again)) == again


def test_hold_and_resume_at_another_till_with_new_prices(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN])
    with pytest.raises(Refusal, match="BASKET_EMPTY"):
        open_shop.selling.hold("2", person="mei")
    view = open_shop.selling.hold("1", person="anna", note="张先生")
    assert (view.lines, view.held) == ((), 1)
    held = open_shop.selling.list_held()[0]
    assert (held.note, held.first_zh, held.lines) == ("张先生", "豆沙包", 1)
    head_office(open_shop, ALL, PriceSet(sku="bun", price_minor=400, effective_from_ms=5))
    ring_up(open_shop, [MILK], "2", person="mei")
    with pytest.raises(Refusal, match="BASKET_NOT_EMPTY"):
        open_shop.selling.resume("2", held.held, person="mei")
    open_shop.selling.clear("2", person="mei")
    view = open_shop.selling.resume("2", held.held, person="mei")
    assert [(x.sku, x.unit_price_minor) for x in view.lines] == [("bun", 400)]
    with pytest.raises(Refusal, match="HELD_UNKNOWN"):
        open_shop.selling.resume("1", held.held, person="anna")


def test_roles_and_tills_are_checked(shop: Shop) -> None:
    with pytest.raises(Refusal, match="PERSON_UNKNOWN"):
        shop.selling.scan("1", BUN, "nobody")
    with pytest.raises(Refusal, match="TILL_UNKNOWN"):
        shop.selling.view("9")


def test_receipts_are_numbered_per_till_and_found_again(open_shop: Shop) -> None:
    open_shift(open_shop, "2", person="mei")
    numbers = [sell(open_shop, [BUN]).receipt_number for _ in range(3)]
    other = sell(open_shop, [BUN], "2", person="mei")
    assert numbers == ["1-1-000001", "1-1-000002", "1-1-000003"]
    assert other.receipt_number == "2-1-000001"
    found = open_shop.selling.find_receipt("TMR:1-1-000002")
    assert found is not None
    assert found.receipt_number == "1-1-000002"
    assert [p.receipt_number for p in open_shop.selling.recent("2")] == ["2-1-000001"]


def test_search_by_name_code_and_id(shop: Shop) -> None:
    def skus(text: str) -> list[str]:
        return [hit.product.sku for hit in shop.selling.search(text)]

    assert skus("牛奶") == ["milk"]
    assert skus("TOAST") == ["bread"]
    assert skus("69211") == ["milk"]
    assert skus("brea") == ["bread"]
    assert skus("100%") == []
    assert skus(" ") == []
    hit = shop.selling.search("牛奶")[0]
    assert hit.price is not None
    assert hit.price.price_minor == 880


def test_a_scan_asked_again_after_a_power_cut_stays_one_scan(open_shop: Shop) -> None:
    first = open_shop.selling.scan("1", BUN, "anna", scan_id="k1", qty_milli=3000)
    assert [x.qty_milli for x in first.lines] == [3000]
    with open_shop.books.database.reading() as connection:  # all that a restart would find
        kept = open_shop.selling._floor.baskets.load(connection, "1")
    assert kept.state.taken == ("k1",)
    again = open_shop.selling.scan("1", BUN, "anna", scan_id="k1", qty_milli=3000)
    assert [x.qty_milli for x in again.lines] == [3000]
    open_shop.selling.add_product("1", "milk", 1000, person="anna", scan_id="k2")
    view = open_shop.selling.add_product("1", "milk", 1000, person="anna", scan_id="k2")
    assert [x.qty_milli for x in view.lines] == [3000, 1000]
    pay = [TenderIn("cash", view.total_minor)]
    open_shop.selling.pay("1", view.sale, pay, person="anna")
    assert open_shop.selling.scan("1", MILK, "anna", scan_id="k2").lines == ()
