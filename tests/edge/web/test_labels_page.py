"""The manager's label page in a real Chromium, over a label printer on a real socket."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from devices.sim.vlabel import VirtualLabelPrinter
from edge.settings import LabelSettings
from tests.edge import shop_builder as house
from tests.edge.test_weighing import until
from tests.edge.web.conftest import Site, Visit
from tests.edge.web.test_pages import DESK, PHONE, TILL, clean, fits

pytestmark = pytest.mark.slow
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def printer() -> Iterator[VirtualLabelPrinter]:
    with VirtualLabelPrinter() as made:
        yield made
    assert made.reader.faults == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, printer: VirtualLabelPrinter) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("shop")
    labels = LabelSettings(printer=printer.url)
    made = Site(folder, house.settings_for(folder, labels=labels))
    made.shop.labelling.start()
    yield made
    made.stop()
    made.shop.labelling.stop()
    made.shop.books.database.close()


@pytest.mark.parametrize(
    ("language", "size"), [("en", DESK), ("zh", PHONE), ("zh", TILL), ("en", PHONE)]
)
def test_search_see_and_print(
    site: Site, printer: VirtualLabelPrinter, visit: Visit, language: str, size: tuple[int, int]
) -> None:
    until(lambda: (c := site.shop.labelling.condition()) and c.state.value == "up")
    page = visit("mei", "/stock", language=language, size=size)
    page.get_by_role("link", name={"en": "Shelf labels", "zh": "货架标签"}[language]).click()
    before = len(printer.labels)
    page.locator("#q").fill("豆沙")
    page.locator("#q").press("Enter")
    expect(page.locator(".labels li")).to_have_count(1, timeout=PATIENCE_MS)
    picture = page.locator(".labels img")
    expect(picture).to_be_visible(timeout=PATIENCE_MS)
    expect(picture).to_have_js_property("naturalWidth", 480, timeout=PATIENCE_MS)
    clean(page)
    fits(page)
    page.locator(".labels input").fill("2")
    page.locator("#labels button[type=submit]").click()
    expect(page.locator(".notice.ok")).to_contain_text("2", timeout=PATIENCE_MS)
    until(lambda: len(printer.labels) == before + 2)


def test_nothing_chosen_is_told_and_cashiers_have_no_business_here(
    site: Site, visit: Visit
) -> None:
    page = visit("mei", "/labels?q=Ham")
    page.locator("#labels button[type=submit]").click()
    expect(page.locator(".notice.bad")).to_contain_text("LABELS_NOTHING", timeout=PATIENCE_MS)
    clean(page)
    page = visit("anna", "/labels")
    expect(page.locator("body")).to_contain_text("NOT_ALLOWED", timeout=PATIENCE_MS)
