"""The four walks as people do them: real pages in a real Chromium over one real chain."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from deploy import bakery
from deploy.chain import TILL, Chain, Shop
from deploy.walks import CODE, until
from tests.journeys.screens import Office, Phone, Till, follow, shot, without_reload

pytestmark = pytest.mark.slow
BREADS = ("P0001", "P0002", "P0003")  # 6.00, 7.00, 7.50: buy 2, get the cheapest free
LATTE, AMERICANO = "P0188", "P0187"
TOAST = "P0053"  # 12.50
SANDWICH = "P0183"  # 13.80
MOVED = "P0010"
RECEIVER = "陈静"
GOODS = {row["sku"]: row for row in bakery.goods()}


@pytest.fixture(autouse=True)
def _all_up(chain: Chain) -> None:
    """A walk that broke while something was switched off does not break the next one."""
    shops = [shop.process for shop in chain.shops.values()]
    for process in (chain.broker, chain.central, *shops):
        if not process.running:
            process.start()
            process.wait_for()


def zh(*skus: str) -> list[str]:
    return [GOODS[sku]["name_zh"] for sku in skus]


def codes(*skus: str) -> list[str]:
    return [CODE[sku] for sku in skus]


def receipt_row(page: Page, number: str) -> Locator:
    return page.locator("main tbody tr").filter(has=page.get_by_text(number, exact=True))


# -- 1. a sale ------------------------------------------------------------------------------


def test_a_sale_is_rung_up_paid_printed_and_seen_everywhere(
    till: Till, office: Office, receiver: Phone, chain: Chain
) -> None:
    office.menu("Sales")
    office.live()
    receiver.go(f"/stock?q={BREADS[0]}")
    before = dict(bakery.opening_stock("S1"))[BREADS[0]] // 1000
    theirs = receiver.page.locator("#stock tbody tr").get_by_text("People's Road")
    expect(theirs).to_have_text(f"People's Road {before}")
    with without_reload(till.page), without_reload(office.page), without_reload(receiver.page):
        number = _sell_breads(till)
        row = receipt_row(office.page, number)
        expect(row).to_contain_text("¥14.50")
        expect(row).to_contain_text("Agreed")
        expect(theirs).to_have_text(f"People's Road {before - 1}")
    shot(office.page, "office-sales")
    shot(receiver.page, "phone-stock")
    row.get_by_role("link").click()
    expect(office.page.locator("main")).to_contain_text("Bread: buy 2, get 1 free")
    expect(office.page.locator("dt", has_text="Priced again").locator("+ dd")).to_have_text(
        "Agreed"
    )
    shot(office.page, "office-sale")
    _printed(till, chain.shops["S1"], number)


def _sell_breads(till: Till) -> str:
    till.wedge(*codes(*BREADS))
    till.has_rows(3)
    assert till.names() == zh(*BREADS)
    till.total("¥14.50")
    expect(till.rows().filter(has_text="面包买二送一").first).to_be_visible()
    shot(till.page, "till-basket")
    till.page.locator("[data-act=why0]").click()  # one tap
    why = till.page.locator("#panel .reason.yes")
    expect(why).to_contain_text("面包买二送一")
    assert re.search(r"[一-鿿]{4}", why.locator(".text").inner_text())
    shot(till.page, "till-why")
    till.page.keyboard.press("Escape")
    number = till.pay("20.00")
    expect(till.page.locator("#change")).to_have_text("¥5.50")
    expect(till.page.locator("#spool")).to_have_text("小票已打印")
    shot(till.page, "till-change")
    return number


def _printed(till: Till, shop: Shop, number: str) -> None:
    words = [*zh(*BREADS), "面包买二送一", number, "14.50", "5.50", "谢谢惠顾"]
    until(
        "the receipt is on paper",
        lambda: all(word in shop.devices.receipts(TILL)[-1] for word in words),
    )
    assert not shop.devices.faults()
    expect(till.page.locator("#change")).to_be_visible()  # until the next scan


def test_the_serial_scanner_fills_the_same_basket(till: Till, office: Office, chain: Chain) -> None:
    office.menu("Sales")
    office.live()
    with without_reload(till.page), without_reload(office.page):
        for code in codes(LATTE, AMERICANO):
            assert chain.shops["S1"].devices.scan(TILL, code)
        till.has_rows(2)
        assert till.names() == zh(LATTE, AMERICANO)
        till.total("¥22.00")  # 16.00 and half of 12.00
        expect(till.rows().filter(has_text="饮品第二杯半价").first).to_be_visible()
        number = till.pay_exactly()
        expect(till.page.locator("#change")).to_have_text("¥0.00")
        row = receipt_row(office.page, number)
        expect(row).to_contain_text("¥22.00")
        expect(row).to_contain_text("Agreed")


# -- 2. a price and a promotion ---------------------------------------------------------------


def test_a_price_and_a_promotion_reach_the_open_till(till: Till, office: Office) -> None:
    page = office.page
    with without_reload(till.page):
        _set_price(office, BREADS[0], "6.60")
        _publish(office)
        for store in ("S1", "S2"):
            answer = page.locator(f"[data-key=push-{store}]")
            expect(answer.get_by_text("In force", exact=True)).to_be_visible()
            expect(answer).to_contain_text("as expected")
        shot(page, "office-push")
        till.wedge(*codes(BREADS[0], TOAST))
        till.has_rows(2)
        expect(till.rows().first).to_contain_text("¥6.60")
        expect(till.rows().last).to_contain_text("吐司九折 −¥1.25")
        till.total("¥17.85")
        shot(till.page, "till-pushed")
        till.pay_exactly()


def _set_price(office: Office, sku: str, yuan: str) -> None:
    page = office.page
    office.menu("Prices")
    page.locator("#f-search").fill(sku)
    page.locator("#f-search").press("Enter")
    follow(page.locator("main tbody").get_by_role("link", name=GOODS[sku]["name_en"]))
    page.locator("#f-price").fill(yuan)
    page.get_by_role("button", name="Set price").click()
    row = page.locator("main tbody tr").filter(has_text="In force").first
    expect(row).to_contain_text(f"¥{yuan}")
    shot(page, "office-price")


def _publish(office: Office) -> None:
    page = office.page
    office.menu("Promotions")
    follow(page.get_by_role("link", name="New promotion"))
    page.locator("#f-rule").fill("toast-10")
    page.locator("#f-name_zh").fill("吐司九折")
    page.locator("#f-name_en").fill("Toast, 10 % off")
    page.locator("#f-percent").fill("10")
    page.get_by_label("Toast", exact=True).check()
    expect(page.locator("#faults .fine")).to_be_visible()
    shot(page, "office-draft")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", name="Before publishing")).to_be_visible()
    shot(page, "office-preflight")
    page.get_by_role("button", name="Publish now").click()
    expect(page.get_by_role("heading", name="Toast, 10 % off")).to_be_visible()


# -- 3. transfers -----------------------------------------------------------------------------


def places(office: Office) -> Locator:
    """Head office's row of the moved product: A, B, in transit, total."""
    office.go(f"/stock?search={MOVED}")
    office.live()
    return office.page.locator("main tbody tr").filter(has_text=MOVED).locator("td")


def lie(places: Locator, a: int, b: int, transit: int) -> None:
    """So many lie there; the sum is the one of the first morning."""
    total = re.compile("^65( |$)")
    expect(places).to_have_text([str(a), str(b), str(transit), total])


def test_ten_are_sent_and_nine_arrive(sender: Phone, receiver: Phone, office: Office) -> None:
    goods = places(office)
    lie(goods, 35, 30, 0)
    receiver.go("/transfers")
    with without_reload(office.page), without_reload(receiver.page):
        sender.send("S2", CODE[MOVED], "10")
        lie(goods, 25, 30, 10)
        coming = receiver.page.locator("main .todo li").filter(has_text="People's Road")
        expect(coming).to_contain_text("in transit")
    shot(receiver.page, "phone-incoming")
    disputes = office.open("/transfers?view=disputes")
    office.live(disputes)
    with without_reload(office.page), without_reload(disputes):
        follow(coming.get_by_role("link"))
        follow(receiver.page.get_by_role("link", name="Receive"))
        receiver.book_arrival("9")
        expect(receiver.page.locator("main")).to_contain_text("disputed")
        shot(receiver.page, "phone-disputed")
        lie(goods, 25, 39, 1)
        dispute = disputes.locator("main tbody tr")
        expect(dispute).to_have_count(1)
        expect(dispute).to_contain_text(RECEIVER)
    shot(disputes, "office-disputes")
    dispute.get_by_role("link").click()
    expect(disputes.locator("main")).to_contain_text("Still in transit")
    shot(disputes, "office-dispute")
    disputes.close()


def test_the_van_is_faster_than_the_news(
    sender: Phone, receiver: Phone, office: Office, chain: Chain
) -> None:
    goods = places(office)
    lie(goods, 25, 39, 1)
    with without_reload(office.page):
        chain.broker.kill()
        note = sender.send("S2", CODE[MOVED], "10")
        receiver.go("/transfers")
        follow(receiver.page.locator("main a[href$='/by-note']"))
        receiver.page.locator("#note-text").fill(note)
        shot(receiver.page, "phone-by-note")
        receiver.page.locator("#read-note").click()
        receiver.book_arrival()
        expect(receiver.page.locator("main")).to_contain_text("by the note")
        shot(receiver.page, "phone-received-by-note")
        lie(goods, 25, 39, 1)  # nothing is known of it
        chain.broker.start()
        lie(goods, 15, 49, 1)


# -- 4. cut off -------------------------------------------------------------------------------


def test_cut_off_and_killed_nothing_is_lost(till: Till, office: Office, chain: Chain) -> None:
    office.menu("Sales")
    with without_reload(till.page):
        _causes_apart(till, chain)
        numbers = [_sell_one(till) for _ in range(5)]
        expect(till.page.locator("#unsynced")).to_have_text(re.compile("^待上传 [1-9]"))
        numbers.append(_killed_in_mid_basket(till, chain))
        chain.central.wait_for()
        office.go("/sales")
        office.live()
        with without_reload(office.page):
            chain.broker.start()
            for number in numbers:
                expect(receipt_row(office.page, number)).to_have_count(1)
        unsynced = till.page.locator("#unsynced")
        expect(unsynced).to_have_text("已全部上传")
        for key in ("office", "internet"):
            expect(till.part(key)).to_have_class("part ok")
    shot(office.page, "office-caught-up")
    newest = office.page.locator("main tbody th a.code").all_inner_texts()
    assert newest[: len(numbers)] == numbers[::-1]
    office.menu("Node health")
    expect(office.page.locator("main")).to_contain_text("Every product sums to zero")
    for shop in ("People's Road", "University Town"):
        node = office.page.locator("main tbody tr").filter(has_text=shop).first
        expect(node.locator("[data-label=Books]")).to_contain_text("Agree")
    shot(office.page, "office-health")


def _causes_apart(till: Till, chain: Chain) -> None:
    """First head office's computer is away, then the line to it; each is told by its own name."""
    sheet = till.page.locator("#sheet")
    expect(till.page.locator("#unsynced")).to_have_text("已全部上传")
    till.page.locator("#links summary").click()
    chain.central.stop()
    expect(sheet).to_contain_text("网络正常，但总部没有响应。")
    expect(till.part("internet")).to_have_class("part ok")
    expect(till.part("office")).to_have_class("part warn")
    shot(till.page, "till-head-office-away")
    chain.broker.kill()
    expect(sheet).to_contain_text("与总部的网络已断开")
    expect(till.part("internet")).to_have_class("part warn")
    expect(sheet).to_contain_text("销售、打印、价格和促销均可用，记录稍后上传。")
    for key in ("printer", "edge", "clock"):
        expect(till.part(key)).to_have_class("part ok")
    shot(till.page, "till-broker-away")
    till.page.keyboard.press("Escape")
    chain.central.start()


def _sell_one(till: Till) -> str:
    till.wedge(CODE[AMERICANO])
    till.has_rows(1)
    return till.pay_exactly()


def _killed_in_mid_basket(till: Till, chain: Chain) -> str:
    till.wedge(*codes(BREADS[1], LATTE))
    till.has_rows(2)
    chain.shops["S1"].process.kill()
    expect(till.page.locator("#away")).to_be_visible()
    expect(till.page.locator("#away")).to_contain_text("扫码已保存在此")
    till.wedge(*codes(SANDWICH, BREADS[2]))
    expect(till.page.locator("#rows > li.pending")).to_have_count(2)
    expect(till.page.locator("#away-count")).to_contain_text("2")
    shot(till.page, "till-edge-away")
    chain.shops["S1"].process.start()
    till.has_rows(4)
    assert till.names() == zh(BREADS[1], LATTE, SANDWICH, BREADS[2])
    expect(till.page.locator("#away")).to_be_hidden()
    till.total("¥44.30")  # 7.00, 16.00, 13.80, 7.50
    shot(till.page, "till-edge-back")
    return till.pay_exactly()
