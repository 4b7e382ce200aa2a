"""The till's page in a real browser: ready, and a scan's way from the Enter key to the paint."""

import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from edge.compose import Shop
from edge.web import create_app
from edge.web.serving import Server
from edge.web.visitor import BROWSER_COOKIE, SESSION_COOKIE
from hatch_build import compile_translations
from tests.bench.edge_bench import PRODUCTS, big_shop, code
from tests.bench.figures import spread
from tests.edge import shop_builder as sb

SCANS = 120
BASKET = 30
# From the Enter key of a scan to the frame in which a settled (not pending) row is painted.
WATCH = """
window.__times = [];
addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const start = performance.now();
  const text = (id) => document.querySelector(id).textContent;
  const before = text("#total") + text("#items");
  const look = () => {
    if (text("#total") + text("#items") !== before && !document.querySelector("#rows .pending")) {
      requestAnimationFrame(() =>
        setTimeout(() => window.__times.push(performance.now() - start)));
    } else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}, true);
"""


def _scan_all(page: Page, shop: Shop) -> list[float]:
    times: list[float] = []
    for _ in range(SCANS // BASKET):
        shop.selling.clear("1", person="anna")
        page.goto(page.url)
        page.wait_for_load_state("load")
        page.wait_for_timeout(300)  # its modules are running
        for n in range(BASKET):
            page.keyboard.type(code((n * 811 + len(times)) % PRODUCTS), delay=3)
            page.keyboard.press("Enter")
            page.wait_for_function("n => window.__times.length > n", arg=n)
        times += page.evaluate("window.__times")
    return [ms / 1000 for ms in times]


def run() -> list[tuple[str, str]]:
    compile_translations(Path(__file__).parents[2])
    folder, _ = big_shop()
    with sync_playwright() as play:
        shop = sb.build(folder)
        token = shop.pairing.pair(shop.pairing.make_code("1"), name="bench")
        browser_row = shop.pairing.browser(token)
        assert browser_row is not None
        signed = shop.people.sign_in("1111", person="anna", browser=browser_row.key, till="1")
        server = Server(create_app(shop), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.start()}"
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies(
                [
                    {"name": BROWSER_COOKIE, "value": token, "url": url},
                    {"name": SESSION_COOKIE, "value": signed.token, "url": url},
                ]
            )
            context.add_init_script(WATCH)
            page = context.new_page()
            page.goto(url + "/till")
            ready = []
            for _ in range(15):
                start = time.perf_counter()
                page.goto(url + "/till")
                page.wait_for_selector("#total")
                ready.append(time.perf_counter() - start)
            painted = _scan_all(page, shop)
        finally:
            browser.close()
            server.stop()
            shop.books.database.close()
    return [
        ("page ready (loaded, total drawn)", spread(ready, "<= 500 ms")),
        ("scan: Enter key -> confirmed row painted", spread(painted, "p99 <= 100 ms")),
    ]
