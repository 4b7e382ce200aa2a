"""People in front of real screens: what a cashier, a manager or head office does and reads there.

TILLMESH_SHOTS=folder keeps a picture of each screen at the moments that matter.
"""

import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.keyboard import wedge

FINGER_MS: Final = 90  # between two keys of a person
SHOTS: Final = os.environ.get("TILLMESH_SHOTS", "")
DESK: Final = (1280, 800)
PHONE: Final = (390, 844)
TOO_WIDE: Final = """() => [...document.body.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)
    .map((one) => `${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 40)}`)"""
LOCALE: Final = {"zh": "zh-CN", "en": "en-GB"}


def shot(page: Page, name: str) -> None:
    """Keep a picture for people to look at, when a folder is named."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def follow(link: Locator) -> None:
    """Go where a link or a form leads; there its scripts have run, as for every slow person."""
    with link.page.expect_event("domcontentloaded"):
        link.click()


class Desk:
    """One browser of one person; its faults are kept, a page that was loaded anew is noticed."""

    def __init__(
        self, browser: Browser, url: str, *, language: str, size: tuple[int, int] = DESK
    ) -> None:
        self.url = url
        self.faults: list[str] = []
        self.context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, locale=LOCALE[language]
        )
        self.page = self.open("")

    def open(self, path: str) -> Page:
        """Another tab; "" leaves it blank."""
        page = self.context.new_page()
        page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        if path:
            page.goto(self.url + path)
        return page

    def go(self, path: str) -> None:
        """Type an address."""
        self.page.goto(self.url + path)

    def close(self) -> None:
        """Leave; nothing may have gone wrong in any script."""
        self.context.close()
        assert not self.faults, self.faults


@contextmanager
def without_reload(page: Page) -> Iterator[None]:
    """What happens inside must reach the page that is open now, not a fresh copy of it."""
    page.evaluate("() => { window.sameDocument = true; }")
    yield
    assert page.evaluate("() => window.sameDocument === true"), f"{page.url} was loaded anew"


class ShopDesk(Desk):
    """A browser of a shop."""

    def pair(self, code: str) -> None:
        """The six digits."""
        self.go("/")
        self.page.locator("#code").fill(code)
        follow(self.page.locator("form button[type=submit]"))
        expect(self.page.locator("#pin-form")).to_be_visible()

    def sign_in(self, pin: str) -> None:
        """The PIN, by the keys on the screen."""
        for digit in pin:
            self.page.locator(f"[data-digit='{digit}']").click()
        follow(self.page.locator("#go"))
        expect(self.page.locator("#pin-form")).to_have_count(0)


class Till(ShopDesk):
    """The cashier's screen."""

    def book_opening(self, goods: Iterable[tuple[str, int]]) -> None:
        """The first figures of the shelf, sent as the page would send them."""
        self.go("/count?opening=1")
        boot = json.loads(self.page.locator("#boot").inner_text())
        lines = [{"sku": sku, "qty_milli": quantity} for sku, quantity in goods]
        answer = self.page.request.post(
            self.url + "/api/documents/count",
            headers={"X-CSRF": boot["csrf"]},
            data={"document": boot["document"], "lines": lines, "opening": True},
        )
        assert answer.ok, answer.text()

    def code_for_phone(self) -> str:
        """Settings, "Make a code": what a phone is paired with."""
        self.go("/settings")
        form = self.page.locator("form[action$='/settings/code']")
        form.locator("select").select_option("")
        form.locator("button").click()
        return self.page.locator(".code-big").inner_text()

    def sign_out(self) -> None:
        """The next person may come."""
        self.go("/settings")
        follow(self.page.locator("main form[action$='/sign-out'] button"))
        expect(self.page.locator("#pin-form")).to_be_visible()

    def open_shift(self, amount: str) -> None:
        """Count the float in."""
        self.page.locator("#float").fill(amount)
        self.page.locator("form[action$='/shift/open'] button").click()
        self.ready()

    def ready(self) -> None:
        """The till's script runs and its stream is open."""
        self.page.wait_for_selector("body[data-ready]")
        expect(self.page.locator("#since")).to_be_hidden()

    def wedge(self, *codes: str) -> None:
        """A keyboard-wedge scanner."""
        wedge(self.page, *codes)

    def rows(self) -> Locator:
        """Rows that the shop's computer has confirmed."""
        return self.page.locator("#rows > li:not(.pending):not(.refused)")

    def has_rows(self, number: int) -> None:
        """Wait until everything that was scanned stands in the basket."""
        expect(self.rows()).to_have_count(number)
        expect(self.page.locator("#rows > li")).to_have_count(number)

    def names(self) -> list[str]:
        """What lies in the basket, from top to bottom."""
        return self.rows().locator(".name").all_inner_texts()

    def total(self, text: str) -> None:
        """The big figure."""
        expect(self.page.locator("#total")).to_have_text(text)

    def pay_exactly(self) -> str:
        """F9 and, when the drawer panel is up, F9 again; the number of the receipt comes back."""
        self.page.keyboard.press("F9", delay=350)
        expect(self.page.locator("#given")).to_be_focused()
        self.page.keyboard.press("F9")
        return self.receipt()

    def pay(self, given: str) -> str:
        """Type what the customer gave, then Enter."""
        self.page.keyboard.press("F9")
        expect(self.page.locator("#given")).to_be_focused()
        self.page.keyboard.type(given, delay=FINGER_MS)
        self.page.keyboard.press("Enter")
        return self.receipt()

    def receipt(self) -> str:
        """The number beside the change."""
        change = self.page.locator("#panel").filter(has=self.page.locator("#change"))
        expect(change).to_be_visible()
        found = re.search(r"[\w-]+-\d+", change.inner_text())
        assert found, change.inner_text()
        return found.group()

    def part(self, key: str) -> Locator:
        """Printer, edge, office, internet or clock in the header; devices may stand between."""
        if key == "printer":
            return self.page.locator("#parts .part:first-child")
        last = ("clock", "internet", "office", "edge").index(key) + 1
        return self.page.locator(f"#parts .part:nth-last-child({last})")


class Phone(ShopDesk):
    """A manager's phone."""

    def __init__(self, browser: Browser, url: str, *, language: str) -> None:
        super().__init__(browser, url, language=language, size=PHONE)

    def fits(self) -> None:
        """Nothing stands out to the side."""
        self.page.wait_for_load_state()  # styles included
        wide = self.page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= PHONE[0], f"{self.page.url}: {wide} px, {self.page.evaluate(TOO_WIDE)}"

    def send(self, store: str, code: str, quantity: str) -> str:
        """Goods into the van; the note's QR, read from the screen, comes back."""
        page = self.page
        self.go("/transfers")
        follow(page.locator("main a[href$='/send']"))
        page.locator("#to_store").select_option(store)
        page.locator("#find").fill(code)
        page.locator("#find").press("Enter")
        line = page.locator("#lines > li")
        expect(line).to_have_count(1)
        line.locator("input").fill(quantity)
        line.locator("input").press("Tab")
        self.fits()
        shot(page, "phone-send")
        page.locator("#book").click()
        expect(page.locator(".qr-box")).to_be_visible()
        self.fits()
        shot(page, "phone-note")
        return read_qr(page.locator(".qr-box"))

    def book_arrival(self, quantity: str = "") -> None:
        """What came out of the van; "" says that everything came."""
        page = self.page
        line = page.locator("#lines > li")
        expect(line).to_have_count(1)
        if quantity:
            line.locator("input").first.fill(quantity)
            line.locator("input").first.press("Tab")
        else:
            page.locator("#all-came").click()
        self.fits()
        shot(page, "phone-receive")
        page.locator("#book").click()
        page.wait_for_url(re.compile(r"/transfers/[0-9a-f-]{36}(\?|$)"))


def read_qr(box: Locator) -> str:
    """What a phone's camera would read from the screen."""
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(box.screenshot())))
    assert [one.format for one in found] == [zxingcpp.BarcodeFormat.QRCode], found
    return found[0].text


class Office(Desk):
    """A browser at head office."""

    def sign_in(self, person: str, password: str) -> None:
        """Name and password."""
        self.go("/")
        self.page.locator("#f-person").fill(person)
        self.page.locator("#f-password").fill(password)
        self.page.locator("button.primary").click()
        expect(self.page.locator("#link-state")).to_have_attribute("data-state", "live")

    def menu(self, name: str) -> None:
        """A page of the menu at the side."""
        follow(self.page.locator("#side nav").get_by_role("link", name=name, exact=True))
        expect(self.page.locator("#side [aria-current=page]")).to_contain_text(name)

    def live(self, page: Page | None = None) -> None:
        """The page hears of changes."""
        expect((page or self.page).locator("#link-state")).to_have_attribute("data-state", "live")
