"""The pages in a real browser on a real server: drafts in step, live figures, one stream, axe."""

import json
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page, Route, expect

from central.compose import HeadOffice
from central.web import create_app, live
from central.web.serving import Server
from tests.central.web.bakery import EVENING_MS, Shop
from tests.central.web.conftest import PHONE, enter
from tests.servers import free_port

pytestmark = pytest.mark.slow
SignIn = Callable[..., Page]
PAGES = (
    "/",
    "/sales",
    "/sales/south/sale-south-00002",
    "/stock",
    "/stock/P0103",
    "/transfers",
    "/transfers/tr-1",
    "/products",
    "/products/P0101",
    "/products/new",
    "/products/import",
    "/groups",
    "/prices",
    "/prices/P0101",
    "/promotions",
    "/promotions/lottery",
    "/promotions/weekend",
    "/promotions/buy2get1/edit",
    "/promotions/new",
    "/promotions/buy2get1/preflight",
    "/coverage",
    "/coverage/south",
    "/why?receipt=1",
    "/sales/south/sale-south-00002/why",
    "/sales/south/sale-south-00002/why?rule=evening-cake",
    "/people",
    "/people/chen",
    "/people/new",
    "/accounts",
    "/shops",
    "/shops/north",
    "/shops/new",
    "/chain",
    "/health",
    "/alarms",
    "/forks",
    "/nowhere",
)
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}


def document(page: Page) -> dict[str, object]:
    """What stands in the editor."""
    found = json.loads(page.input_value("#f-text"))
    assert isinstance(found, dict)
    return found


def test_a_promotion_is_drafted_checked_published_and_answered(
    office: HeadOffice, shops: dict[str, Shop], sign_in: SignIn
) -> None:
    """Form and document stay in step; every fault shows; shops answer while one looks on."""
    page = sign_in("qian")
    page.goto("/promotions/new")
    expect(page.locator("#faults")).to_contain_text("Every fault appears here")
    page.fill("#f-rule", "three4two")
    page.fill("#f-name_zh", "糕点三付二")
    page.select_option("#f-type", "bundle")
    page.fill("#f-n", "2")
    page.get_by_label("Pastry").check()
    page.get_by_label("Sat").check()
    page.fill("#f-end", "2026-11-30T23:59")
    assert document(page) == {
        "id": "three4two",
        "type": "bundle",
        "name": {"zh": "糕点三付二", "en": ""},
        "slots": [{"select": {"groups": ["pastry"]}, "qty": 3}],
        "effect": {"kind": "free", "on": "cheapest:1"},
        "when": {"days": ["sat"], "end": "2026-11-30T23:59"},
    }
    expect(page.locator("#faults")).to_contain_text("No faults")

    told = {**document(page), "note": "kept", "colour": "red"}
    told["effect"] = {"kind": "percent", "percent": 50, "on": "cheapest:1"}
    page.fill("#f-text", json.dumps(told))
    expect(page.locator("#f-shape")).to_have_value("cheaper")
    expect(page.locator("#faults code")).to_have_text("colour")
    page.fill("#f-bundle-percent", "40")
    assert document(page)["note"] == "kept"
    page.fill("#f-text", '{"torn": ')
    expect(page.locator("#json-state")).to_have_text("Not readable")
    page.fill("#f-text", json.dumps(told))
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("Not published")
    expect(page.locator("#faults")).to_contain_text("colour")

    del told["colour"]
    page.fill("#f-text", json.dumps(told))
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Before publishing three4two")
    expect(page.locator(".preflight")).to_contain_text("Reaches")
    page.get_by_role("button", name="Publish now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("糕点三付二")
    row = page.locator("tr", has_text="South Gate")
    expect(row).to_contain_text("Sent")
    shops["south"].answer(refuse="lottery")
    expect(row).to_contain_text("In force")
    expect(row).to_contain_text("as expected")
    assert office.campaigns.campaign("three4two").in_force == 1


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Choose a promotion group"), ("zh", "请选择促销组")]
)
def test_a_product_without_a_group_is_refused_in_words(
    sign_in: SignIn, language: str, words: str
) -> None:
    """With a real form; what was typed is still there."""
    page = sign_in("qian", language=language)
    page.goto("/products/new")
    page.fill("#f-sku", "Z9")
    page.fill("#f-name_zh", "无组商品")
    page.locator("[data-add]").click()
    expect(page.locator("[data-row]")).to_have_count(2)
    page.locator("form button.primary").click()
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.locator("#f-name_zh")).to_have_value("无组商品")


def test_a_stock_cell_changes_when_a_sale_comes(shops: dict[str, Shop], sign_in: SignIn) -> None:
    """Without a reload, within moments; the scroll place and the filter stay."""
    page = sign_in()
    page.goto("/stock?search=P0108")
    cell = page.locator('[data-key="P0108@south"]')
    before = int(cell.inner_text())
    page.wait_for_selector("#link-state[data-state=live]")
    shops["south"].sell([("P0108", 3000)], EVENING_MS)
    expect(cell).to_have_text(str(before - 3))
    expect(page.locator("#f-search")).to_have_value("P0108")


def test_the_stream_of_sales_and_the_figures_move(shops: dict[str, Shop], sign_in: SignIn) -> None:
    """The newest sale is first; the day's figures follow."""
    page = sign_in()
    sale = shops["north"].sell([("P0119", 1000)], EVENING_MS + 60_000)
    first = page.locator(".stream li").first
    expect(first).to_contain_text("North Bridge")
    assert first.get_attribute("data-key") == f"north-{sale}"


def test_two_tabs_share_one_stream(
    office: HeadOffice, app: Flask, shops: dict[str, Shop], sign_in: SignIn
) -> None:
    """The leader tells the other; when it goes, the other takes over."""
    first = sign_in()
    second = first.context.new_page()
    second.goto("/stock?search=P0107")
    first.goto("/stock?search=P0107")
    for page in (first, second):
        page.wait_for_selector("#link-state[data-state=live]")
    for _ in range(6):  # writes find that the browsers of other tests went away
        office.hub.publish("link", {})
        first.wait_for_timeout(250)
    assert app.extensions[live.EXTENSION].count == 1
    cells = [page.locator('[data-key="P0107@north"]') for page in (first, second)]
    before = int(cells[0].inner_text())
    shops["north"].sell([("P0107", 1000)], EVENING_MS)
    for cell in cells:
        expect(cell).to_have_text(str(before - 1))
    second.close()
    first.wait_for_timeout(1_500)
    shops["north"].sell([("P0107", 1000)], EVENING_MS)
    expect(cells[0]).to_have_text(str(before - 2))


def test_what_happens_before_a_page_listens_is_shown_too(
    shops: dict[str, Shop], sign_in: SignIn
) -> None:
    """Drawn, then a sale, then the stream: the figure is today's, in the first tab and the next."""
    first = sign_in()

    def sale_before(route: Route) -> None:
        shops["north"].sell([("P0105", 1000)], EVENING_MS)
        route.continue_()

    first.goto("/stock?search=P0105")
    cell = first.locator('[data-key="P0105@north"]')
    before = int(cell.inner_text())
    first.route("**/live", sale_before, times=1)
    first.goto("/stock?search=P0105")
    expect(cell).to_have_text(str(before - 1))
    second = first.context.new_page()
    second.route("**/parts.js", sale_before, times=1)
    second.goto("/stock?search=P0105")
    expect(second.locator('[data-key="P0105@north"]')).to_have_text(str(before - 2))
    second.close()


def test_a_lost_stream_greys_and_says_since_when(
    office: HeadOffice, browser: Browser, sign_in: SignIn
) -> None:
    """Old figures never look like new ones; a restarted head office is found again."""
    del sign_in
    port = free_port()
    server = Server(create_app(office), "127.0.0.1", port)
    server.start()
    context = browser.new_context(base_url=f"http://127.0.0.1:{port}", locale="en-GB")
    page = enter(context, "zhao", "en")
    page.goto("/stock")
    page.wait_for_selector("#link-state[data-state=live]")
    server.stop()
    state = page.locator("#link-state")
    expect(state).to_have_attribute("data-state", "lost")
    expect(state).to_contain_text("No connection, as of")
    assert page.evaluate("document.documentElement.dataset.liveLost") == "1"
    server = Server(create_app(office), "127.0.0.1", port)
    server.start()
    expect(state).to_have_attribute("data-state", "live")
    assert page.evaluate("document.documentElement.dataset.liveLost") == "0"
    context.close()
    server.stop()


def test_a_full_house_is_polled(app: Flask, shops: dict[str, Shop], sign_in: SignIn) -> None:
    """No stream left: the page asks every few seconds, and says so."""
    streams = app.extensions[live.EXTENSION]
    page = sign_in()
    streams.limit = 0
    try:
        page.goto("/stock?search=P0106")
        expect(page.locator("#link-state")).to_have_attribute("data-state", "polling")
        cell = page.locator('[data-key="P0106@south"]')
        before = int(cell.inner_text())
        shops["south"].sell([("P0106", 2000)], EVENING_MS)
        expect(cell).to_have_text(str(before - 2))
    finally:
        streams.limit = live.STREAMS_MAX


def test_the_menu_of_a_phone_works_by_keyboard(sign_in: SignIn) -> None:
    """Open, walk, escape; the focus comes back."""
    page = sign_in(phone=True)
    menu = page.get_by_role("button", name="Menu")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Overview")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    expect(page.locator("#side")).to_be_hidden()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_is_clean_for_axe(sign_in: SignIn, language: str) -> None:
    """No violation on a desk; on a phone nothing is wider than the screen."""
    axe, page = Axe(), sign_in(language=language)
    for path in PAGES:
        page.goto(path, wait_until="domcontentloaded")
        found = axe.run(page, options=AXE)
        assert found.violations_count == 0, (path, found.generate_report())
    page.set_viewport_size(PHONE)
    for path in PAGES:
        page.goto(path, wait_until="domcontentloaded")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], (path, width)
    for path in ("/", "/stock", "/products/P0101", "/transfers/tr-1"):
        page.goto(path, wait_until="domcontentloaded")
        assert axe.run(page, options=AXE).violations_count == 0, path
    page.goto("/shops/north", wait_until="domcontentloaded")
    page.locator('form[action$="/token"] button').click()
    expect(page.locator("img.token-qr")).to_be_visible()
    assert axe.run(page, options=AXE).violations_count == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.context.clear_cookies()
    page.goto(f"/sign-in?lang={language}")
    assert axe.run(page, options=AXE).violations_count == 0


def test_pages_and_forms_work_without_scripts(browser: Browser, site: str, sign_in: SignIn) -> None:
    """The document is enough to publish."""
    del sign_in
    context = browser.new_context(java_script_enabled=False, base_url=site, locale="en-GB")
    page = enter(context, "qian", "en")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.goto("/promotions/new")
    page.fill("#f-rule", "plain")
    page.fill("#f-text", '{"type": "percent_off", "percent": 5, "select": {"all": true}}')
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("button", name="Publish now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("plain")
    context.close()
