"""The weighing walk in a real Chromium over a scale on a real pty: by scale, by label, by hand."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from devices.device import DeviceState
from devices.sim.vscale import VirtualScale
from devices.sim.vserial import VirtualScanner
from edge.scanning import Screen
from edge.settings import TillSettings
from tests.edge import shop_builder as house
from tests.edge.shop_builder import BUN
from tests.edge.test_weighing import HAM, scale_is, until
from tests.edge.web.conftest import Site, Visit
from tests.edge.web.test_pages import TILL, clean
from tests.keyboard import wedge

pytestmark = pytest.mark.slow
LABEL = "2012345005365"  # 0.536 kg of the ham
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def pan() -> Iterator[VirtualScale]:
    with VirtualScale() as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def gun() -> Iterator[VirtualScanner]:
    with VirtualScanner() as made:
        yield made


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, pan: VirtualScale, gun: VirtualScanner
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("shop")
    tills = (TillSettings(id="1", scale=pan.path, scanner=gun.path), TillSettings(id="2"))
    made = Site(folder, house.settings_for(folder, tills=tills))
    made.shop.weighing.start()
    made.shop.scanning.start()
    yield made
    made.stop()
    made.shop.scanning.stop()
    made.shop.weighing.stop()
    made.shop.books.database.close()


def opened(site: Site, visit: Visit, pan: VirtualScale, language: str = "en") -> Page:
    pan.put(0)
    pan.plug()
    until(lambda: scale_is(site.shop, "up"))
    site.empty_till()
    page = visit("anna", "/till", language=language, size=TILL)
    page.set_default_timeout(PATIENCE_MS)
    expect(page.locator("body")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
    until(lambda: site.shop.scanning.scanners()[0].enabled)
    until(lambda: site.shop.scanning._scanners["1"].state().state is DeviceState.UP)
    return page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_by_scale_with_tare(
    site: Site, visit: Visit, pan: VirtualScale, gun: VirtualScanner, language: str
) -> None:
    page = opened(site, visit, pan, language)
    gun.scan(HAM)
    panel = page.locator("#panel")
    expect(panel.locator("#weigh-says")).to_be_visible(timeout=PATIENCE_MS)
    expect(panel).to_contain_text({"en": "nothing on the scale", "zh": "秤盘上没有商品"}[language])
    expect(page.locator("#rows > li")).to_have_count(0)
    pan.put(548, moving=True)
    expect(panel).to_contain_text({"en": "still moves", "zh": "尚未稳定"}[language])
    page.keyboard.press("Enter")
    expect(page.locator("#rows > li")).to_have_count(0)
    pan.put(548)
    expect(panel.locator("#net")).to_have_text("0.548 kg", timeout=PATIENCE_MS)
    panel.locator("[data-tare='10']").click()
    expect(panel.locator("#net")).to_have_text("0.538 kg", timeout=PATIENCE_MS)
    expect(panel.locator("#weigh-price")).to_have_text("¥47.34")
    clean(page)
    panel.locator("#take-weight").click()
    row = page.locator("#rows > li")
    expect(row).to_have_count(1, timeout=PATIENCE_MS)
    expect(row).to_contain_text("0.538")
    expect(row).to_contain_text("0.548 kg")
    expect(panel).to_be_hidden()
    view = site.shop.selling.view("1")
    assert view.lines[0].weight is not None
    assert (view.lines[0].weight.gross_g, view.lines[0].weight.tare_g) == (548, 10)
    assert view.payable


def test_goods_go_on_while_others_wait_and_a_label_needs_no_scale(
    site: Site, visit: Visit, pan: VirtualScale
) -> None:
    page = opened(site, visit, pan)
    wedge(page, HAM, BUN, LABEL)
    rows = page.locator("#rows > li:not(.pending)")
    expect(rows).to_have_count(2, timeout=PATIENCE_MS)
    expect(rows.nth(1)).to_contain_text("0.536")
    expect(page.locator("#blocked")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#panel #net")).to_be_visible(timeout=PATIENCE_MS)
    pan.put(200)
    expect(page.locator("#net")).to_have_text("0.2 kg", timeout=PATIENCE_MS)
    page.locator("#take-weight").press("Enter")
    expect(rows).to_have_count(3, timeout=PATIENCE_MS)
    expect(page.locator("#blocked")).to_be_hidden()


def test_chosen_from_the_search_and_put_aside(site: Site, visit: Visit, pan: VirtualScale) -> None:
    page = opened(site, visit, pan)
    page.keyboard.press("F2")
    page.locator("#find").fill("Ham")
    page.locator("#hits .hit").first.click()
    expect(page.locator("#panel #net")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#aside").click()
    expect(page.locator("#panel")).to_be_hidden(timeout=PATIENCE_MS)
    assert site.shop.selling.view("1").to_weigh == ()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_by_hand_while_the_scale_is_down(
    site: Site, visit: Visit, pan: VirtualScale, language: str
) -> None:
    page = opened(site, visit, pan, language)
    pan.unplug()
    until(lambda: scale_is(site.shop, "down"))
    wedge(page, HAM)
    field = page.locator("#typed-weight")
    expect(field).to_be_focused(timeout=PATIENCE_MS)
    clean(page)
    field.fill("0.731")
    page.locator("#take-typed").click()
    row = page.locator("#rows > li:not(.pending)")
    expect(row).to_have_count(1, timeout=PATIENCE_MS)
    expect(row).to_contain_text({"en": "typed by hand", "zh": "手工输入重量"}[language])
    told = page.locator("#parts").inner_text() + page.locator("#parts").inner_html()
    assert {"en": "Scale", "zh": "电子秤"}[language] in told


def test_the_page_says_what_it_shows_and_when_it_goes(
    site: Site, visit: Visit, pan: VirtualScale, gun: VirtualScanner
) -> None:
    page = opened(site, visit, pan)
    scanning = site.shop.scanning
    taken: list[str] = []
    before, scanning.on_pay_code = (
        scanning.on_pay_code,
        lambda _till, code, _who: taken.append(code.code),
    )
    try:
        gun.scan("134512345678901234")
        expect(page.locator("#tell")).to_contain_text("SCAN_PAY_CODE_EARLY", timeout=PATIENCE_MS)
        assert taken == []
        gun.scan(BUN)
        expect(page.locator("#rows > li")).to_have_count(1, timeout=PATIENCE_MS)
        page.keyboard.press("F9")
        until(lambda: scanning._page_at("1").screen is Screen.TENDER)
        gun.scan("134512345678901234")
        until(lambda: taken == ["134512345678901234"])
        page.keyboard.press("Escape")
        until(lambda: scanning._page_at("1").screen is Screen.SALE)
        page.goto(site.base + "/stock")
        until(lambda: not scanning.scanners()[0].enabled)
        gun.scan(BUN)
        until(lambda: scanning.missed("1"))
        assert len(site.shop.selling.view("1").lines) == 1
        assert site.shop.selling.view("1").lines[0].qty_milli == 1000
    finally:
        scanning.on_pay_code = before
        scanning.dismiss_missed("1")
