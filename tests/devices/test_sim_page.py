"""The virtual shop's page in Debian's Chromium: usable, fresh, and without axe violations."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from devices.device import DeviceState
from devices.printer import Printer
from devices.receipt import Cut, Text, profile, render
from devices.sim.store import Kit, VirtualShop

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
WIDE = profile("80mm-48col")


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
            boxes = [button.bounding_box() for button in page.query_selector_all("button")]
            assert all(box["height"] >= 48 and box["width"] >= 48 for box in boxes)
        page.fill("#grams-t1", "536")
        page.click("#t1-weigh")
        page.wait_for_function("document.querySelector('#scale-t1').innerText.includes('536')")
        assert shop.tills["t1"].scale.grams == 536
        page.select_option("#behaviour", "lost-answer")
        page.click("#set-behaviour")
        eventually(lambda: shop.provider.scripted() == ["lost-answer"])
        page.click("#scan-pay-slow")
        eventually(lambda: shop.provider.scripted() == ["lost-answer", "slow"])
        page.click("#card-t1-line")
        page.wait_for_function("document.querySelector('#card-t1-line').value === 'up'")
        assert shop.tills["t1"].terminal.down
        assert not shop.provider.down
        page.click("#t1-power-off")
        page.wait_for_selector("#t1-power-on")
        assert not shop.tills["t1"].printer.powered
        page.click("#t1-power-on")
        eventually(lambda: printer.state().state is DeviceState.UP)
        printer.print(render([Text("second"), Cut()], WIDE)).result(timeout=60)
        page.wait_for_selector("#text-t1-1", state="attached", timeout=60_000)  # by itself
        page.click("#text-t1-1 summary")
        assert "second" in page.inner_text("#text-t1-1 pre")
        printer.stop()
        page.goto("about:blank")
