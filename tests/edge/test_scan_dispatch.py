"""A scan goes where the till's screen says; a payment code never becomes a row."""

import msgspec
import pytest
from sqlalchemy import select

from devices.scan import PayCode
from edge.compose import Shop
from edge.scanning import Screen
from edge.tables import missed_scan
from protocol.errors import Refusal
from protocol.ids import ALL
from tests.edge.shop_builder import BUN, FixedClock, build, head_office, product, settings_for

WECHAT = "134512345678901234"
ALIPAY = "281234567890123456"
WIDE = "１３４５１２３４５６７８９０１２３４"


@pytest.fixture
def taken(open_shop: Shop) -> list[tuple[str, PayCode, str]]:
    found: list[tuple[str, PayCode, str]] = []
    open_shop.scanning.on_pay_code = lambda *each: found.append(each)
    return found


@pytest.mark.parametrize(
    "raw", [WECHAT, f"]C0{WECHAT}\r", ALIPAY, "１３４５１２３４５６７８９０１２３４"]
)
def test_on_the_sale_screen_a_payment_code_is_refused_and_never_a_row(
    open_shop: Shop, taken: list[object], raw: str
) -> None:
    head_office(open_shop, ALL, product("odd", "怪", "Odd", WECHAT, ALIPAY))
    with pytest.raises(Refusal, match="SCAN_PAY_CODE_EARLY") as refused:
        open_shop.selling.scan("1", raw, "anna")
    assert WECHAT not in str(refused.value.params)
    open_shop.scanning.till_alive("1", "anna", Screen.SALE)
    with open_shop.hub.subscribe() as facts:
        open_shop.scanning.take("1", raw)
        told = msgspec.json.decode(facts.get(timeout=60).data)
    assert told["code"] == "SCAN_PAY_CODE_EARLY"
    assert len(told["raw"]) == 5  # four digits and an ellipsis: a payment code is money
    assert open_shop.stockroom.find(raw) is None
    assert open_shop.selling.view("1").lines == ()
    assert taken == []


def test_on_the_tender_screen_it_is_paid_with_and_goods_stay_goods(
    open_shop: Shop, taken: list[tuple[str, PayCode, str]]
) -> None:
    open_shop.scanning.till_alive("1", "anna", Screen.TENDER)
    open_shop.scanning.take("1", f"]Q1{WECHAT}")
    open_shop.scanning.take("1", BUN)
    open_shop.scanning.take("1", "6212345678901234567")
    assert [(till, c.provider, c.code, who) for till, c, who in taken] == [
        ("1", "wechat", WECHAT, "anna"),
        ("1", "unionpay", "6212345678901234567", "anna"),
    ]
    assert [line.code for line in open_shop.selling.view("1").lines] == [BUN]


def test_without_a_page_it_is_kept_out_and_masked(open_shop: Shop, taken: list[object]) -> None:
    open_shop.scanning.till_alive("1", "anna", Screen.TENDER)
    open_shop.scanning.till_gone("1")
    open_shop.scanning.take("1", WECHAT)
    open_shop.scanning.take("1", BUN)
    assert [one.code for one in open_shop.scanning.missed("1")] == [BUN, "1345…"]
    with open_shop.books.database.reading() as connection:
        assert WECHAT not in connection.execute(select(missed_scan.c.code)).scalars().all()
    assert taken == []


def test_a_page_that_says_nothing_any_more_gets_no_goods(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_shop.scanning.till_alive("1", "anna")
    monkeypatch.setattr("edge.scanning.ALIVE_S", 0.0)
    open_shop.scanning.take("1", BUN)
    assert open_shop.selling.view("1").lines == ()
    assert [one.code for one in open_shop.scanning.missed("1")] == [BUN]


def test_a_fault_in_one_scan_leaves_the_next_alone(
    open_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_shop.scanning.till_alive("1", "anna")
    scan = open_shop.selling.scan
    with monkeypatch.context() as patch, open_shop.hub.subscribe() as facts:
        patch.setattr(open_shop.selling, "scan", lambda *_: 1 / 0)
        open_shop.scanning.take("1", BUN)
        assert msgspec.json.decode(facts.get(timeout=60).data)["code"] == "INTERNAL"
    assert open_shop.selling.scan == scan
    open_shop.scanning.take("1", BUN)
    assert len(open_shop.selling.view("1").lines) == 1


def test_a_shop_may_have_its_own_in_store_codes(tmp_path, clock: FixedClock) -> None:
    settings = settings_for(tmp_path, code_prefixes=("27:item5:weight5",))
    shop = build(tmp_path, clock=clock, settings=settings)
    with shop.books.database.reading() as connection:
        layouts = shop.selling._recogniser.prefixes(connection)
        own = shop.selling._recogniser.meaning(connection, "2712345005364")
    shop.books.database.close()
    assert [layout.prefix for layout in layouts] == ["27"]
    assert getattr(own, "weight_g", None) == 536


def test_beating_pages_keep_nobody_signed_in(open_shop: Shop, clock: FixedClock) -> None:
    signed = open_shop.people.sign_in("1111", person="anna", browser="b", till="1")
    minute = 60_000
    for _ in range(open_shop.settings.idle_minutes // 10):
        clock.later(10 * minute)
        assert open_shop.people.session(signed.token, browser="b", acts=False) is not None
    clock.later(minute)
    assert open_shop.people.session(signed.token, browser="b", acts=False) is None


def test_the_last_word_of_a_page_that_was_left_does_not_silence_the_next(open_shop: Shop) -> None:
    scanning = open_shop.scanning
    scanning.till_alive("1", "anna", page="old")
    scanning.till_alive("1", "anna", page="new")
    scanning.till_gone("1", page="old")
    scanning.take("1", BUN)
    assert len(open_shop.selling.view("1").lines) == 1
    scanning.till_gone("1", page="new")
    scanning.take("1", BUN)
    assert open_shop.selling.view("1").lines[0].qty_milli == 1000
