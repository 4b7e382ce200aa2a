"""The till in a real Chromium: nothing that is scanned is lost, joined, reordered or paid twice."""

import re
from itertools import cycle, islice

import pytest
from playwright.sync_api import Page, expect

from tests.edge.shop_builder import BREAD, BUN, MILK, head_office, product
from tests.edge.web.conftest import Site, Visit
from tests.edge.web.test_live import wait_until_alone
from tests.keyboard import wedge

pytestmark = pytest.mark.slow


@pytest.fixture
def till(site: Site, visit: Visit) -> Page:
    site.empty_till()
    page = visit("anna", "/till")
    page.wait_for_selector("body[data-ready]")
    return page


def typed(page: Page, text: str) -> None:
    """A person at the keyboard."""
    page.keyboard.type(text, delay=70)


def settled(page: Page, rows: int) -> None:
    expect(page.locator("#rows > li:not(.pending)")).to_have_count(rows)
    expect(page.locator("#rows > li.pending")).to_have_count(0)


def test_forty_scans_against_a_stalled_server(site: Site, till: Page) -> None:
    site.front.stall_s = 0.15
    burst = list(islice(cycle([BUN, MILK, BREAD]), 40))
    wedge(till, *burst)
    assert till.locator("#rows > li.pending").count() > 5, "rows appear at once"
    settled(till, 40)
    assert site.codes() == burst
    assert till.input_value("#code") == ""


def test_scan_while_a_field_has_the_focus(site: Site, till: Page) -> None:
    till.keyboard.press("F2")
    typed(till, "To")
    wedge(till, BUN)
    settled(till, 1)
    assert site.codes() == [BUN]


def test_slow_keys_are_a_person(site: Site, till: Page) -> None:
    typed(till, "3*" + MILK)
    expect(till.locator("#code")).to_have_value("3*" + MILK)
    assert site.codes() == []
    till.keyboard.press("Enter")
    settled(till, 1)
    assert site.codes() == [MILK] * 3


def test_unknown_code_is_a_red_row_and_the_next_scan_is_kept(site: Site, till: Page) -> None:
    wedge(till, "4012345678901", BUN)
    settled(till, 2)
    red = till.locator("#rows > li.unknown")
    expect(red).to_contain_text("4012345678901")
    expect(till.locator("#blocked")).to_be_visible()
    assert till.evaluate("document.body.dataset.errorTones") == "1"
    till.keyboard.press("F9")
    expect(till.locator("#given")).to_have_count(0)
    red.get_by_role("button", name="Take out").click()
    settled(till, 1)
    till.keyboard.press("F9")
    expect(till.locator("#given")).to_be_visible()
    assert site.codes() == [BUN]


def test_sale_by_keyboard_alone_and_exact_cash_in_two_keys(site: Site, till: Page) -> None:
    wedge(till, BUN, MILK)
    settled(till, 2)
    before = len(site.shop.selling.recent("1"))
    till.keyboard.press("F9")
    till.wait_for_timeout(350)
    till.keyboard.press("Enter")
    expect(till.locator("#change")).to_have_text("¥0.00")
    assert len(site.shop.selling.recent("1")) == before + 1
    wedge(till, BREAD)  # the next scan starts the next sale
    expect(till.locator("#change")).to_have_count(0)
    settled(till, 1)
    typed(till, "+")
    expect(till.locator("#rows .qty")).to_have_text("2")
    till.keyboard.press("F9")
    typed(till, "50")
    till.keyboard.press("Enter")
    expect(till.locator("#change")).to_have_text("¥26.00")
    size = till.evaluate("document.querySelector('#change').getBoundingClientRect().height")
    assert size >= 56


def test_a_fast_cashier_is_never_ignored(site: Site, till: Page) -> None:
    for given, change in (("9", "¥5.50"), ("50", "¥46.50"), ("100", "¥96.50")):
        wedge(till, BUN)
        settled(till, 1)
        till.keyboard.press("F9")
        till.keyboard.type(given)
        till.keyboard.press("Enter")
        expect(till.locator("#change")).to_have_text(change)


def test_a_clock_that_was_set_back_keeps_the_keyboard(site: Site, till: Page) -> None:
    """What was scanned an hour "later" must not swallow the cashier's Enter now."""
    wedge(till, BUN, ahead_s=3600)
    settled(till, 1)
    till.keyboard.press("F9")
    typed(till, "10")
    till.keyboard.press("Enter")
    expect(till.locator("#change")).to_be_visible()


def test_two_clicks_on_pay_are_one_sale(site: Site, till: Page) -> None:
    wedge(till, BUN)
    settled(till, 1)
    before = len(site.shop.selling.recent("1"))
    site.front.stall_s = 0.2
    till.click("#pay")
    till.wait_for_timeout(350)
    till.dblclick("#confirm")
    expect(till.locator("#change")).to_be_visible()
    assert len(site.shop.selling.recent("1")) == before + 1


def test_double_click_on_pay_takes_no_money_by_itself(site: Site, till: Page) -> None:
    wedge(till, BUN)
    settled(till, 1)
    before = len(site.shop.selling.recent("1"))
    till.dblclick("#pay")
    till.wait_for_timeout(300)
    assert len(site.shop.selling.recent("1")) == before


def test_enter_of_a_scan_never_pays(site: Site, till: Page) -> None:
    wedge(till, BUN)
    settled(till, 1)
    before = len(site.shop.selling.recent("1"))
    till.keyboard.press("F9")
    till.wait_for_timeout(350)
    wedge(till, MILK)
    settled(till, 2)
    assert len(site.shop.selling.recent("1")) == before
    assert site.codes() == [BUN, MILK]


def test_a_scan_that_a_busy_machine_gave_to_the_cash_field_comes_back(
    site: Site, till: Page
) -> None:
    """The field takes twelve characters, the code has thirteen: none of them is lost."""
    wedge(till, BUN)
    settled(till, 1)
    till.keyboard.press("F9")
    expect(till.locator("#given")).to_be_focused()
    wedge(till, MILK, stall_s=0.2)
    settled(till, 2)
    assert site.codes() == [BUN, MILK]


def test_reload_keeps_the_basket_and_the_scans_on_their_way(site: Site, till: Page) -> None:
    wedge(till, BUN)
    settled(till, 1)
    site.front.stall_s = 0.3
    wedge(till, MILK, BREAD, BUN)
    till.reload()
    site.front.stall_s = 0.0
    settled(till, 4)
    assert site.codes() == [BUN, MILK, BREAD, BUN]


def test_edge_away_keeps_scans_and_goes_on_by_itself(site: Site, till: Page) -> None:
    wedge(till, BUN)
    settled(till, 1)
    site.stop()
    wedge(till, MILK, BREAD)
    expect(till.locator("#away")).to_be_visible(timeout=60_000)
    expect(till.locator("#rows > li.pending")).to_have_count(2)
    site.start()
    settled(till, 3)
    expect(till.locator("#away")).to_be_hidden(timeout=60_000)
    assert site.codes() == [BUN, MILK, BREAD]


def test_hold_and_resume_by_keyboard(site: Site, till: Page) -> None:
    wedge(till, BUN, MILK)
    settled(till, 2)
    till.keyboard.press("F4")
    expect(till.locator("#empty")).to_be_visible()
    expect(till.locator("#held-count")).to_have_text("1")
    till.keyboard.press("F6")
    expect(till.locator("#panel .hit")).to_be_visible()
    till.keyboard.press("Enter")
    settled(till, 2)
    assert site.codes() == [BUN, MILK]


def test_void_row_and_why(site: Site, till: Page) -> None:
    wedge(till, BUN, BUN, BUN, MILK)
    settled(till, 2)
    expect(till.locator("#saved")).to_contain_text("3.50")
    till.keyboard.press("Delete")
    expect(till.locator("#total")).to_have_text("¥7.00")
    till.keyboard.press("F8")
    expect(till.locator("#panel .reason.yes")).to_contain_text("Buy 2 get 1")


def test_the_row_that_is_seen_last_is_voided_also_while_it_is_on_its_way(
    site: Site, till: Page
) -> None:
    wedge(till, BUN)
    settled(till, 1)
    site.front.stall_s = 0.5
    wedge(till, MILK)
    till.keyboard.press("Delete")
    site.front.stall_s = 0
    expect(till.locator("#rows > li.pending")).to_have_count(0)
    expect(till.locator("#total")).to_have_text("¥3.50")
    assert site.codes() == [BUN]


def test_a_scan_of_the_shops_own_scanner_appears(site: Site, till: Page) -> None:
    expect(till.locator("#bar")).not_to_have_class(re.compile("stale"))
    till.wait_for_timeout(300)
    site.shop.selling.scan("1", BUN, "anna")  # as edge.scanning does
    settled(till, 1)
    expect(till.locator("#last")).to_contain_text("Bean bun")


def test_search_by_name_and_pick_with_the_keyboard(site: Site, till: Page) -> None:
    till.keyboard.press("F2")
    typed(till, "Fresh")
    expect(till.locator("#panel .hit")).to_have_count(1)
    till.keyboard.press("Enter")
    settled(till, 1)
    assert site.codes()


def test_names_of_goods_are_text(site: Site, till: Page) -> None:
    trap = "<img src=x onerror=\"document.title='hit'\">"
    listed = product("trap", trap, trap, "4006381333931")
    head_office(site.shop, "all", listed)
    wedge(till, "4006381333931")  # no price yet: a red row that carries the name
    settled(till, 1)
    expect(till.locator("#rows")).to_contain_text("<img")
    assert "hit" not in till.title()
    assert till.locator("#rows img").count() == 0


def test_no_request_leaves_for_another_origin(site: Site, visit: Visit) -> None:
    site.empty_till()
    page = visit("anna", "/till")
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert seen
    assert all(url.startswith(site.base) for url in seen)
    assert page.locator("body").evaluate("() => typeof window.alert") == "function"


def test_one_stream_per_browser(site: Site, till: Page) -> None:
    wait_until_alone(site, 1)
    second = till.context.new_page()
    second.goto(site.base + "/sales")
    second.wait_for_timeout(600)  # long enough to open another
    wait_until_alone(site, 1)
    till.goto("about:blank")  # the leader goes, the other tab takes over
    expect(second.locator("#bar")).not_to_have_class(re.compile("stale"))
    wait_until_alone(site, 1)


def test_a_frozen_page_splits_and_joins_nothing(site: Site, till: Page) -> None:
    """The page does nothing for 70 ms again and again while the keys come."""
    till.evaluate(
        "() => { setInterval(() => { const end = performance.now() + 70;"
        " while (performance.now() < end); }, 90); }"
    )
    burst = list(islice(cycle([BUN, MILK, BREAD]), 24))
    wedge(till, *burst)
    settled(till, 24)
    assert site.codes() == burst
