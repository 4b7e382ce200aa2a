"""The virtual shop's page in Debian's Chromium: usable, fresh, and without axe violations."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from devices.device import DeviceState
from devices.printer import Printer
from devices.receipt import Cut, Text, profile, render
from devices.sim.store import Kit, VirtualShop

CHROMIUM = "/usr/bin/chromium"
pytestmark = pytest.mark.slow
WIDE = profile("80mm-48col")

SIZES = """all => all.map((one) => one.getBoundingClientRect())
    .map((box) => [box.width, box.height]).filter(([width]) => width > 0)"""


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_page(page, events, eventually):
    with VirtualShop(
        ["t1"], name="面包店", goods=[("牛角包", "6901028075831")], kit=Kit(full=True)
    ) as shop:
        printer = Printer("p1", shop.printer_url("t1"), profile=WIDE, on_event=events.put)
        printer.start()
        eventually(lambda: printer.state().state is DeviceState.UP)
        printer.print(render([Text("你好"), Cut()], WIDE)).result(timeout=60)
        for language in ("zh-CN", "en"):
            page.goto(f"{shop.page_url}?lang={language}")
            page.wait_for_selector("figure img")
            result = Axe().run(page)
            assert result.violations_count == 0, result.generate_report()
            boxes = page.eval_on_selector_all("button", SIZES)  # the page draws itself anew
            assert all(side >= 48 for box in boxes for side in box), boxes
        page.fill("#grams-t1", "536")
        page.click("#t1-weigh")
        expect(page.locator("#scale-t1")).to_contain_text("536")
        assert shop.tills["t1"].scale.grams == 536
        page.select_option("#behaviour", "lost-answer")
        page.click("#set-behaviour")
        eventually(lambda: shop.provider.scripted() == ["lost-answer"])
        page.click("#scan-pay-slow")
        eventually(lambda: shop.provider.scripted() == ["lost-answer", "slow"])
        page.click("#card-t1-line")
        expect(page.locator("#card-t1-line")).to_have_attribute("value", "up")
        assert shop.tills["t1"].terminal.down
        assert not shop.provider.down
        page.click("#t1-power-off")
        page.wait_for_selector("#t1-power-on")
        assert not shop.tills["t1"].printer.powered
        page.click("#t1-power-on")
        eventually(lambda: printer.state().state is DeviceState.UP)
        printer.print(render([Text("second"), Cut()], WIDE)).result(timeout=60)
        page.wait_for_selector("#text-t1-1", state="attached", timeout=60_000)  # by itself
        expect(page.locator("#text-t1-1 pre")).to_contain_text("second")
        printer.stop()
        page.goto("about:blank")
