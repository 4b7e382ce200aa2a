"""The customer's window in a real Chromium: what it shows, in the language of the shop."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from edge.views import TenderIn
from tests.edge.shop_builder import BUN, MILK
from tests.edge.web.conftest import Site, Visit
from tests.edge.web.test_pages import DESK, PHONE, clean

pytestmark = pytest.mark.slow
PATIENCE_MS = 60_000


@pytest.fixture(scope="module", autouse=True)
def _showing(site: Site) -> Iterator[None]:
    site.shop.showing.start()
    yield
    site.shop.showing.stop()


def opened(site: Site, visit: Visit, **how: object) -> Page:
    site.empty_till()
    page = visit("anna", "/customer", **how)
    expect(page.locator("body")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
    return page


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_rows_total_savings_and_change(site: Site, visit: Visit, size: tuple[int, int]) -> None:
    page = opened(site, visit, size=size, language="en")  # the visitor's language decides nothing
    assert page.get_attribute("html", "lang") == "zh-CN"
    selling = site.shop.selling
    for _ in range(3):
        selling.scan("1", BUN, "anna")
    view = selling.scan("1", MILK, "anna")
    rows = page.locator("#goods li")
    expect(rows).to_have_count(2, timeout=PATIENCE_MS)
    expect(rows.nth(0)).to_contain_text("豆沙包")
    expect(rows.nth(0)).to_contain_text("买二送一")
    foot = page.locator("#foot")
    expect(foot).to_contain_text("¥15.80", timeout=PATIENCE_MS)
    expect(foot).to_contain_text("已优惠 ¥3.50")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    clean(page)
    page.reload()
    expect(rows).to_have_count(2, timeout=PATIENCE_MS)
    selling.pay("1", view.sale, [TenderIn("cash", 2000)], person="anna")
    expect(foot).to_contain_text("¥4.20", timeout=PATIENCE_MS)
    expect(foot).to_contain_text("找零")
    assert "Anna" not in page.content()
    clean(page)


def test_it_follows_a_till_of_the_same_browser(site: Site, visit: Visit) -> None:
    page = opened(site, visit)
    till = page.context.new_page()
    till.goto(site.base + "/till")
    expect(till.locator("body")).to_have_attribute("data-ready", "1", timeout=PATIENCE_MS)
    till.locator("#code").fill(MILK)
    till.locator("#code").press("Enter")
    expect(page.locator("#goods li")).to_have_count(1, timeout=PATIENCE_MS)
    expect(page.locator("#foot")).to_contain_text("¥8.80", timeout=PATIENCE_MS)


def test_it_needs_a_till_but_no_person(site: Site, client_of: "type[FlaskClient]") -> None:
    client = client_of("anna")
    client.delete_cookie("tm_session")
    assert client.get("/customer/picture").status_code == 200
    assert client_of().get("/customer/picture").status_code in {302, 401, 403}
    assert client_of("anna", till="").get("/customer/picture").status_code in {403, 409, 422}
