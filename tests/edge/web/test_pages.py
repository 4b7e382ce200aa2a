"""The manager's pages in a real Chromium: each flow, each page in both languages, on a phone."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import delete, insert

from devices.note import encode_note
from edge.stockroom import Piece
from protocol.node.tables import READ
from tests.edge.shop_builder import BUN, MILK, sell
from tests.edge.web.conftest import Site, Visit
from tests.edge.web.test_till_page import settled
from tests.journeys.screens import shot
from tests.keyboard import wedge

pytestmark = pytest.mark.slow
PHONE, DESK, TILL = (390, 844), (1440, 900), (1280, 800)
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
PAGES = (
    "/home", "/stock", "/stock/bun", "/count", "/count?opening=1", "/receive", "/scrap", "/send",
    "/transfers", "/transfers/by-note", "/sales", "/health", "/settings", "/shift", "/shift/close",
    "/nowhere",
)  # fmt: skip


def clean(page: Page) -> None:
    found = Axe().run(page, options=WCAG).response["violations"]
    assert not found, [(v["id"], [n["target"] for n in v["nodes"]]) for v in found]


def fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, page.url


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_is_clean_and_fits(site: Site, visit: Visit, language: str) -> None:
    site.empty_till()
    stock_up(site)
    transfer = site.coming()
    sent = site.shop.node.new_id()
    site.shop.transfers.dispatch(sent, "s2", [Piece("milk", 1000)], person="mei")
    sale = sell_one(site)
    page = visit("mei", "/home", language=language, size=PHONE)
    more = (
        f"/transfers/{transfer}", f"/transfers/{transfer}/receive", f"/transfers/{sent}/note",
        f"/sales/{sale}",
    )  # fmt: skip
    for path in (*PAGES, *more):
        page.goto(site.base + path)
        assert page.get_attribute("html", "lang") == {"zh": "zh-CN", "en": "en"}[language]
        clean(page)
        fits(page)
    page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
    for path in ("/home", "/stock", "/health", f"/transfers/{transfer}/receive"):
        page.goto(site.base + path)
        clean(page)
        fits(page)
    page.context.clear_cookies(name="tm_session")
    page.goto(site.base + "/sign-in")
    clean(page)
    page.goto(site.base + "/pair?again=1")
    clean(page)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_till_is_clean_in_every_state(site: Site, visit: Visit, language: str) -> None:
    site.empty_till()
    page = visit("anna", "/till", language=language, size=TILL)
    page.wait_for_selector("body[data-ready]")
    clean(page)
    wedge(page, BUN, "4012345678901", MILK)
    settled(page, 3)
    clean(page)
    page.locator("li.unknown .tools button").nth(1).click()
    settled(page, 2)
    for key in ("F8", "F2", "F6", "F9"):
        page.keyboard.press(key)
        expect(page.locator("#panel")).to_be_visible()
        clean(page)
        page.keyboard.press("Escape")
    page.locator("#links > summary").click()
    clean(page)
    page.keyboard.press("Escape")
    page.keyboard.press("F9")
    page.wait_for_timeout(350)
    page.keyboard.press("Enter")
    expect(page.locator("#change")).to_be_visible()
    clean(page)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    fits(page)


def test_the_till_speaks_once_and_keeps_the_focus(site: Site, visit: Visit) -> None:
    """What a screen reader hears of scans and refusals, and where the keyboard is after a panel."""
    site.empty_till()
    page = visit("anna", "/till", size=TILL)
    page.wait_for_selector("body[data-ready]")
    page.evaluate(
        """() => { window.spoken = [];
          const ears = new MutationObserver((all) => { for (const one of all) {
            const region = one.target.closest?.('[role]');
            if (region) spoken.push([region.id, region.textContent]); } });
          for (const region of document.querySelectorAll('main [role=status], main [role=alert]'))
            ears.observe(region, { childList: true, subtree: true }); }"""
    )
    wedge(page, BUN)
    settled(page, 1)
    expect(page.locator("#said")).to_have_text("Bean bun 1 ¥3.50. Total ¥3.50")
    wedge(page, "4012345678901")
    settled(page, 2)
    expect(page.locator("#said")).to_contain_text("4012345678901")
    wedge(page, MILK)
    settled(page, 3)
    expect(page.locator("#said")).to_contain_text("Fresh milk 1 ¥8.80. Total ¥12.30")
    spoken = page.evaluate("spoken")
    assert len([one for one in spoken if one[0] == "said"]) == 3, spoken
    assert len([one for one in spoken if one[0] == "blocked" and "Unknown" in one[1]]) <= 1, spoken
    for key in ("F8", "F2", "F6"):
        page.keyboard.press(key)
        expect(page.locator("#panel")).to_be_visible()
        page.wait_for_function("document.querySelector('#panel').contains(document.activeElement)")
        page.keyboard.press("Escape")
        expect(page.locator("#code")).to_be_focused()


def stock_up(site: Site) -> None:
    lines = [Piece("bun", 50_000), Piece("milk", 50_000)]
    site.shop.stockroom.count(site.shop.node.new_id(), lines, person="mei")


def sell_one(site: Site) -> str:
    return sell(site.shop, [BUN]).sale


def on_hand(site: Site, sku: str) -> int:
    row = site.shop.stockroom.find(sku)
    assert row is not None
    return row.on_hand_milli // 1000


def test_receive_by_scan_and_search_and_keep_over_a_reload(site: Site, visit: Visit) -> None:
    before = on_hand(site, "bun")
    page = visit("mei", "/receive", size=PHONE)
    page.fill("#supplier", "Mill & Sons")
    wedge(page, BUN, BUN)
    expect(page.locator("#lines li")).to_have_count(1)
    expect(page.locator("#qty_milli-bun")).to_have_value("2")
    page.fill("#find", "Fresh")
    page.locator("#hits li").first.click()
    expect(page.locator("#lines li")).to_have_count(2)
    page.reload()
    expect(page.locator("#kept")).to_be_visible()
    expect(page.locator("#lines li")).to_have_count(2)
    page.fill("#supplier", "Mill & Sons")
    page.fill("#qty_milli-bun", "12")
    page.click("#book")
    page.wait_for_url("**/stock?said=receive")
    assert on_hand(site, "bun") == before + 12


def test_a_code_that_nobody_knows_stays_in_sight(site: Site, visit: Visit) -> None:
    page = visit("mei", "/count")
    wedge(page, "4012345678901")
    expect(page.locator("#unknown")).to_contain_text("4012345678901")


def test_count_by_keyboard(site: Site, visit: Visit) -> None:
    page = visit("mei", "/count")
    page.locator("#find").focus()
    page.keyboard.type("Fresh", delay=70)
    expect(page.locator("#hits li")).to_have_count(1)
    page.keyboard.press("Enter")
    page.locator("#qty_milli-milk").focus()
    page.keyboard.type("7", delay=70)
    page.keyboard.press("Tab")
    page.locator("#book").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/stock?said=count")
    assert on_hand(site, "milk") == 7


def test_send_goods_and_show_the_note(site: Site, visit: Visit) -> None:
    stock_up(site)
    page = visit("mei", "/send", size=PHONE)
    page.select_option("#to_store", "s2")
    wedge(page, BUN)
    expect(page.locator("#lines li")).to_have_count(1)
    page.click("#book")
    page.wait_for_url("**/note?said=1")
    expect(page.locator("svg.qr")).to_be_visible()
    assert on_hand(site, "bun") == 49
    assert site.shop.transfers.outgoing()


def test_more_than_the_shelf_has_is_refused_and_everything_kept(site: Site, visit: Visit) -> None:
    stock_up(site)
    page = visit("mei", "/scrap")
    page.fill("#reason", "past its date")
    wedge(page, BUN)
    page.fill("#qty_milli-bun", "9999")
    page.click("#book")
    expect(page.locator("#fault")).to_contain_text("SHELF_SHORT")
    expect(page.locator("#lines li")).to_have_count(1)
    assert on_hand(site, "bun") == 50


def test_receive_a_transfer_with_a_piece_missing(site: Site, visit: Visit) -> None:
    stock_up(site)
    transfer = site.coming()
    page = visit("mei", f"/transfers/{transfer}/receive", size=PHONE)
    page.click("#all-came")
    wedge(page, BUN)
    expect(page.locator("#said-bun")).to_contain_text("1 more than was sent")
    page.fill("#qty_milli-bun", "9")
    page.keyboard.press("Tab")
    expect(page.locator("#said-bun")).to_contain_text("1 missing")
    page.click("#book")
    page.wait_for_url(f"**/transfers/{transfer}")
    expect(page.locator("h1 + .badge")).to_contain_text("disputed")
    assert on_hand(site, "bun") == 59


def test_receive_by_the_note_before_the_news(site: Site, visit: Visit) -> None:
    stock_up(site)
    note = encode_note(site.shop.node.new_id(), source="s2", target="s1", lines=[("bun", 4000)])
    page = visit("mei", "/transfers/by-note")
    wedge(page, note)
    expect(page.locator("#lines li")).to_have_count(1)
    page.click("#all-came")
    page.click("#book")
    page.wait_for_url(re.compile(r"/transfers/[0-9a-f-]+$"))
    assert on_hand(site, "bun") == 54


def test_shift_by_keyboard_with_a_blind_count(site: Site, visit: Visit) -> None:
    page = visit("anna", "/shift", till="2")
    page.keyboard.type("200", delay=60)
    page.keyboard.press("Enter")
    page.wait_for_url("**/till")
    page.goto(site.base + "/shift/close")
    assert "220" not in page.content()
    assert "200.00" not in page.content()
    page.keyboard.type("201.5", delay=60)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/shift/[0-9a-f-]+$"))
    expect(page.locator("table")).to_contain_text("over")
    expect(page.locator("table")).to_contain_text("¥1.50")


def test_sign_in_with_the_pad_and_out(site: Site, visit: Visit) -> None:
    page = visit("mei", "/settings", till="")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    for digit in "2222":
        page.click(f"[data-digit='{digit}']")
    size = page.locator("[data-digit='1']").bounding_box()
    assert size is not None
    assert size["height"] >= 64
    page.click("#go")
    page.wait_for_url("**/home")


def test_stock_moves_on_the_page_by_itself(site: Site, visit: Visit) -> None:
    stock_up(site)
    page = visit("mei", "/stock?q=bun")
    expect(page.locator("td.here strong")).to_have_text("50")
    page.wait_for_timeout(500)
    page.locator("h1").click()
    lines = [Piece("bun", 8_000)]
    site.shop.stockroom.receive(site.shop.node.new_id(), "Mill", lines, person="mei")
    expect(page.locator("td.here strong")).to_have_text("58")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_sale_whose_event_was_pruned_is_told_in_words(
    site: Site, visit: Visit, language: str
) -> None:
    sale = READ["sale"]
    row = {c.name: "" if c.type.python_type is str else 1 for c in sale.columns}
    row |= {"store": "s1", "sale": "long-ago", "receipt_number": "1-1-000001", "seq": 0}
    with site.shop.books.database.begin() as tx:
        tx.execute(delete(sale).where(sale.c.sale == "long-ago"))
        tx.execute(insert(sale).values({**row, "business_date": "2026-08-01"}))
    page = visit("mei", "/sales/long-ago", language=language)
    words = {"zh": "完整小票请在总部查询", "en": "Head office has the whole receipt"}
    expect(page.locator("main")).to_contain_text(words[language])
    expect(page.locator("main")).to_contain_text("1-1-000001")
    for size in (TILL, PHONE):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        clean(page)
        fits(page)
        shot(page, f"pruned-{language}-{size[0]}")
    page.goto(site.base + "/sales")
    clean(page)
    with site.shop.books.database.begin() as tx:
        tx.execute(delete(sale).where(sale.c.sale == "long-ago"))
