"""One real chain for the journeys in a browser: broker, head office, two shops, own processes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from deploy import bakery
from deploy.chain import Chain
from deploy.walks import PINS, Eyes, until
from hatch_build import compile_translations
from tests.journeys.screens import Office, Phone, Till
from tests.servers import find_program, missing

ROOT = Path(__file__).parents[2]
CASHIER_PIN = "2580"
LANGUAGES = {"S1": "zh", "S2": "en"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Everything that runs in the house and in two shops, on free ports; people are known there."""
    assert find_program("mosquitto"), missing("mosquitto")
    compile_translations(ROOT)
    made = Chain(tmp_path_factory.mktemp("chain") / "chain", fixed_ports=False)
    try:
        made.create()
        made.start()
        for shop in made.shops.values():
            eyes = Eyes(f"sqlite:///{shop.database}")
            until(f"{shop.store} has prices", lambda e=eyes: e.one("select count(*) from price"))
            until(f"{shop.store} has people", lambda e=eyes: e.one("select count(*) from person"))
            eyes.close()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def counters(chain: Chain, browser: Browser) -> Iterator[dict[str, Till]]:
    """The first morning: each manager pairs the till by the printed code and counts."""
    desks: dict[str, Till] = {}
    for store, shop in chain.shops.items():
        desk = desks[store] = Till(browser, shop.url, language=LANGUAGES[store])
        log = shop.process.log
        code = until("a pairing code", lambda log=log: re.findall(r"\b\d{6}\b", log.read_text()))
        desk.pair(code[0])
        desk.sign_in(PINS[store])
        desk.book_opening(bakery.opening_stock(store))
    yield desks
    for desk in desks.values():
        desk.close()


@pytest.fixture(scope="module")
def till(counters: dict[str, Till], sender: Phone) -> Till:
    """The cashier's screen at A, in Chinese, after the manager has paired his phone there."""
    desk = counters["S1"]
    desk.sign_out()
    desk.sign_in(CASHIER_PIN)
    desk.open_shift("200.00")
    return desk


def _phone(browser: Browser, counter: Till, store: str) -> Phone:
    code = counter.code_for_phone()
    desk = Phone(browser, counter.url, language=LANGUAGES[store])
    desk.pair(code)
    desk.sign_in(PINS[store])
    return desk


@pytest.fixture(scope="module")
def sender(counters: dict[str, Till], browser: Browser) -> Iterator[Phone]:
    """The phone of A's manager, in Chinese."""
    desk = _phone(browser, counters["S1"], "S1")
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def receiver(counters: dict[str, Till], browser: Browser) -> Iterator[Phone]:
    """The phone of B's manager, in English."""
    desk = _phone(browser, counters["S2"], "S2")
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def office(chain: Chain, browser: Browser) -> Iterator[Office]:
    """Head office, in English."""
    desk = Office(browser, chain.central_url, language="en")
    desk.sign_in(*bakery.HQ_ACCOUNTS[0][::3])
    yield desk
    desk.close()
