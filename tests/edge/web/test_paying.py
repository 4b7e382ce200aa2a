"""Scan-pay and card at the till's page, in a real browser against a provider on real HTTP."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from devices.sim.vcard import VirtualTerminal
from devices.sim.vpay import VirtualProvider
from edge.settings import PaymentSettings, ProviderSettings, TillSettings
from protocol.clock import HOUR_MS
from protocol.events import PromotionPublished
from protocol.ids import ALL
from tests.edge import shop_builder as house
from tests.edge.web.conftest import Site, Visit

LONG_MS = 60_000
CODE = "134512345678901234"


@pytest.fixture(scope="module")
def provider() -> Iterator[VirtualProvider]:
    with VirtualProvider() as virtual:
        yield virtual


@pytest.fixture(scope="module")
def terminal() -> Iterator[VirtualTerminal]:
    with VirtualTerminal() as virtual:
        yield virtual


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, provider: VirtualProvider, terminal: VirtualTerminal
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("paying")
    sim = ProviderSettings(name="sim", kind="simulated", url=provider.url)
    settings = house.settings_for(
        folder,
        payment=PaymentSettings(
            providers=(sim,), patience_s=30.0, poll_s=0.2, retry_max_s=0.5, watch_s=1.0
        ),
        tills=(TillSettings(id="1", card=terminal.url), TillSettings(id="2")),
    )
    made = Site(folder, settings)
    made.shop.tendering.start()
    yield made
    made.stop()
    made.shop.tendering.stop()
    made.shop.books.database.close()


def at_payment(site: Site, visit: Visit, *codes: str, language: str = "en") -> Page:
    """The till's page with these goods, its payment screen open."""
    site.empty_till()
    house.ring_up(site.shop, codes)
    page = ready(visit("anna", "/till", language=language))
    page.keyboard.press("F9")
    expect(page.locator("#by-scan")).to_be_visible(timeout=LONG_MS)
    return page


def ready(page: Page) -> Page:
    page.wait_for_selector("body[data-ready]", timeout=LONG_MS)
    return page


def wedge(page: Page, code: str) -> None:
    """A scanner that types: all keys within one task of the page, as a burst."""
    page.evaluate(
        """(code) => { const at = performance.now();
          for (const key of [...code, 'Enter']) document.activeElement.dispatchEvent(
            new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })); }""",
        code,
    )


def clean(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_code_scanned_on_the_payment_screen_pays_although_the_reply_is_lost(
    site: Site, visit: Visit, provider: VirtualProvider
) -> None:
    page = at_payment(site, visit, house.MILK)
    clean(page)
    before = len(provider.captured)
    provider.script("lost-answer")
    wedge(page, CODE)
    expect(page.locator("#change")).to_have_text("¥8.80", timeout=LONG_MS)
    assert len(provider.captured) == before + 1
    sale = site.shop.selling.recent("1")[0]
    assert (sale.total_minor, sale.change_minor) == (880, 0)
    clean(page)


def test_slow_customer_progress_reload_and_cancel(
    site: Site, visit: Visit, provider: VirtualProvider
) -> None:
    page = at_payment(site, visit, house.MILK, language="zh")
    provider.script("never")
    wedge(page, CODE)
    says = page.locator("#paying-says")
    expect(says).to_contain_text("等待顾客确认支付", timeout=LONG_MS)
    clean(page)
    wedge(page, house.BUN)  # goods must wait
    expect(page.locator("#tell")).to_contain_text("未录入", timeout=LONG_MS)
    page.reload()
    ready(page)
    expect(says).to_contain_text("等待顾客确认支付", timeout=LONG_MS)
    page.keyboard.press("Escape")  # points at the way out, and is none itself
    expect(page.locator("#cancel-payment")).to_be_focused(timeout=LONG_MS)
    page.keyboard.press("Enter")
    expect(page.locator("#pay-says")).to_contain_text("付款已撤销", timeout=LONG_MS)
    assert site.codes() == [house.MILK]
    assert site.shop.tendering.list_open() == []


def test_refused_then_another_code(site: Site, visit: Visit, provider: VirtualProvider) -> None:
    page = at_payment(site, visit, house.MILK)
    provider.script("refused")
    page.press("#by-scan", "Enter")  # a key is deliberate, a second click may not be
    expect(page.locator("#paycode")).to_be_focused(timeout=LONG_MS)
    clean(page)
    page.fill("#paycode", CODE)
    page.click("#collect")
    expect(page.locator("#pay-says")).to_contain_text("balance too low", timeout=LONG_MS)
    wedge(page, CODE)
    expect(page.locator("#change")).to_have_text("¥8.80", timeout=LONG_MS)


def test_part_by_card_rest_in_cash(site: Site, visit: Visit, terminal: VirtualTerminal) -> None:
    page = at_payment(site, visit, house.MILK, house.BUN)
    page.fill("#given", "5")
    page.press("#by-card", "Enter")
    expect(page.get_by_text("Card: ¥5.00 paid")).to_be_visible(timeout=LONG_MS)
    expect(page.locator("#given")).to_have_attribute("placeholder", "7.30")
    clean(page)
    page.fill("#given", "10")
    page.click("#confirm")
    expect(page.locator("#change")).to_have_text("¥2.70", timeout=LONG_MS)
    assert len(terminal.captured) == 1


def test_what_is_open_is_listed_and_a_manager_gives_it_back(
    site: Site, visit: Visit, provider: VirtualProvider
) -> None:
    page = at_payment(site, visit, house.MILK)
    provider.script("never")
    wedge(page, CODE)
    expect(page.locator("#paying-says")).to_contain_text("Waiting for", timeout=LONG_MS)
    boss = visit("mei", "/payments", till="", size=(390, 844))
    expect(boss.locator("main")).to_contain_text("Waiting for the customer", timeout=LONG_MS)
    clean(boss)
    home = visit("mei", "/home", till="")
    expect(home.locator("main")).to_contain_text("1 payment is open")
    boss.get_by_role("button", name="Give back").click()
    expect(page.locator("#pay-says")).to_contain_text("undone", timeout=LONG_MS)
    boss.goto(f"{site.base}/payments")
    expect(boss.locator("main")).to_contain_text("Nothing is open", timeout=LONG_MS)


@pytest.fixture
def lunch(site: Site) -> Iterator[house.FixedClock]:
    """¥1.80 off the milk until one o'clock; the clock to move past it."""
    document = {
        "id": "LUNCH",
        "version": 1,
        "type": "amount_off",
        "off_minor": 180,
        "select": {"skus": ["milk"]},
        "name": {"zh": "午市优惠", "en": "Lunch"},
        "when": {"start": "2026-11-02T11:00", "end": "2026-11-02T13:00"},
    }
    clock = site.shop.clock
    assert isinstance(clock, house.FixedClock)
    before = clock.at_ms
    published = PromotionPublished(rule="LUNCH", version=1, document=document)
    house.head_office(site.shop, ALL, published)
    site.shop.rules.refresh()
    yield clock
    clock.at_ms = before


def test_total_and_rows_are_those_of_the_price_being_paid(
    site: Site, visit: Visit, provider: VirtualProvider, lunch: house.FixedClock
) -> None:
    """A promotion ends while the payment is open: nothing moves, until it is given up."""
    page = at_payment(site, visit, house.MILK)
    total, rows = page.locator("#total"), page.locator("#rows")
    expect(total).to_have_text("¥7.00", timeout=LONG_MS)
    provider.script("never")
    wedge(page, CODE)
    expect(page.locator("#paying-amount")).to_have_text("¥7.00", timeout=LONG_MS)
    expect(page.locator("#paying-says")).to_contain_text("Waiting for", timeout=LONG_MS)
    lunch.later(2 * HOUR_MS)
    page.reload()
    ready(page)
    expect(page.locator("#paying-says")).to_contain_text("Waiting for", timeout=LONG_MS)
    expect(total).to_have_text("¥7.00", timeout=LONG_MS)
    expect(rows).to_contain_text("Lunch −¥1.80")
    page.click("#cancel-payment")
    expect(page.locator("#pay-says")).to_contain_text("undone", timeout=LONG_MS)
    expect(total).to_have_text("¥8.80", timeout=LONG_MS)
    expect(rows).not_to_contain_text("Lunch")
    expect(page.locator("#given")).to_have_attribute("placeholder", "8.80")
    page.fill("#given", "10")
    expect(page.locator("#given-says")).to_contain_text("¥1.20")
    page.press("#given", "Enter")
    expect(page.locator("#change")).to_have_text("¥1.20", timeout=LONG_MS)


def test_what_is_due_in_cash_follows_the_price(
    site: Site, visit: Visit, lunch: house.FixedClock
) -> None:
    """Cash freezes nothing: a refused amount says why, and the panel asks for the new one."""
    page = at_payment(site, visit, house.MILK)
    page.fill("#given", "8")
    expect(page.locator("#given-says")).to_contain_text("¥1.00", timeout=LONG_MS)
    lunch.later(2 * HOUR_MS)
    page.press("#given", "Enter")  # a key is deliberate, a second click may not be
    expect(page.locator("#pay-says")).to_contain_text("PAY_SHORT", timeout=LONG_MS)
    expect(page.locator("#total")).to_have_text("¥8.80", timeout=LONG_MS)
    expect(page.locator("#given")).to_have_attribute("placeholder", "8.80", timeout=LONG_MS)
    expect(page.locator("#given")).to_have_value("8")
    expect(page.locator("#given-says")).to_contain_text("¥0.80")
    expect(page.locator("#confirm")).to_be_disabled()
    expect(page.locator("#pay-says")).to_contain_text("PAY_SHORT")
    page.fill("#given", "10")
    page.press("#given", "Enter")
    expect(page.locator("#change")).to_have_text("¥1.20", timeout=LONG_MS)


def test_a_till_with_cash_only_shows_nothing_else(site: Site, visit: Visit) -> None:
    site.empty_till("2")
    house.ring_up(site.shop, [house.MILK], "2")
    page = ready(visit("anna", "/till", till="2"))
    page.keyboard.press("F9")
    expect(page.locator("#by-scan")).to_be_visible(timeout=LONG_MS)
    assert page.locator("#by-card").count() == 0
