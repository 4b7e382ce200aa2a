"""After a power cut without a network a manager vouches for the time, on the health page."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from protocol.clock import ClockState
from protocol.node.tables import journal
from tests.edge.shop_builder import PINS
from tests.edge.web.conftest import Site, Visit
from tests.edge.web.test_pages import PHONE, clean, fits

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_manager_vouches_for_the_time(site: Site, visit: Visit, language: str) -> None:
    clock = site.shop.clock
    before = clock.at_ms

    def confirm(true_ms: int) -> None:
        clock.at_ms, clock.state = true_ms, ClockState.HOLDOVER

    clock.confirm = confirm
    clock.state = ClockState.UNKNOWN
    page = visit("mei", "/health", language=language, size=PHONE)
    clean(page)
    fits(page)
    page.locator("input[name=time]").fill("2026-11-02T13:05")
    page.locator("input[name=pin]").fill("0000")
    page.locator("form[action$='/health/time'] button").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert clock.state is ClockState.UNKNOWN
    page.locator("input[name=time]").fill("2026-11-02T13:05")
    page.locator("input[name=pin]").fill(PINS["mei"])
    page.locator("form[action$='/health/time'] button").click()
    expect(page.locator("form[action$='/health/time']")).to_have_count(0)
    assert clock.at_ms == 1_793_595_900_000  # 13:05 in Shanghai
    with site.shop.books.database.reading() as connection:
        kinds = connection.execute(select(journal.c.type)).scalars().all()
    assert "ClockConfirmed" in kinds
    clock.at_ms, clock.state = before, ClockState.TRUSTED
