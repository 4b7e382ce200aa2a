"""A bakery chain behind Flask's client and behind a real server; one per module, both quick."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from central.compose import HeadOffice
from central.web import create_app
from central.web.serving import Server
from tests.central.web import bakery
from tests.central.web.bakery import Shop

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}


@pytest.fixture(scope="session")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a chain with a short day behind it; made once, then copied."""
    folder = tmp_path_factory.mktemp("chain")
    office = bakery.open_office(folder)
    bakery.add_accounts(office)
    bakery.live_a_day(office, bakery.add_chain(office), sales=9)
    office.repricing.step(limit=1000)
    office.books.database.close()
    return folder


@pytest.fixture(scope="module")
def office(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeadOffice]:
    """A head office of the module's own."""
    folder = tmp_path_factory.mktemp("office")
    shutil.copytree(settled, folder, dirs_exist_ok=True)
    one = bakery.open_office(folder)
    yield one
    one.books.database.close()


@pytest.fixture(scope="module")
def shops(office: HeadOffice) -> dict[str, Shop]:
    """Its shops, to let things happen there."""
    return bakery.shops_of(office, count=1_000)


@pytest.fixture(scope="module")
def app(office: HeadOffice) -> Flask:
    """The pages."""
    return create_app(office)


class Person:
    """Somebody with a browser that has no scripts."""

    def __init__(self, app: Flask, name: str = "") -> None:
        self.client: FlaskClient = app.test_client()
        self.csrf = ""
        if name:
            answer = self.client.post(
                "/sign-in", data={"person": name, "password": bakery.PASSWORD}
            )
            assert answer.status_code == 302, answer.text
            page = self.client.get("/groups?lang=en").text
            self.csrf = page.split('name="csrf" content="')[1].split('"')[0]

    def get(self, path: str) -> str:
        """A page that must be there, in English."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, path: str, *, status: int = 302, **fields: object) -> str:
        """A form, with its token; follows a redirect and returns the page."""
        answer = self.client.post(path, data={"csrf": self.csrf, **fields})
        assert answer.status_code == status, answer.text
        return self.client.get(answer.location).text if status == 302 else answer.text


@pytest.fixture(scope="module")
def person(app: Flask) -> Callable[[str], Person]:
    """Sign somebody in, once per module."""
    known: dict[str, Person] = {}

    def one(name: str = "") -> Person:
        if name not in known:
            known[name] = Person(app, name)
        return known[name]

    return one


@pytest.fixture(scope="module")
def site(app: Flask, office: HeadOffice) -> Iterator[str]:
    """A real server of a head office whose broker is away; its address."""
    server = Server(app, "127.0.0.1", 0)
    office.syncing.start()
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()
    office.syncing.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    assert Path("/usr/bin/chromium").exists(), "apt-get install chromium"
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield one
        one.close()


def enter(context: BrowserContext, name: str, language: str) -> Page:
    """Type name and password."""
    page = context.new_page()
    page.goto(f"/sign-in?lang={language}")
    page.fill("#f-person", name)
    page.fill("#f-password", bakery.PASSWORD)
    page.click("button.primary")
    return page


@pytest.fixture
def sign_in(browser: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """Open a browser for somebody; fails the test on any fault in its console."""
    opened, faults = [], []

    def one(name: str = "zhao", *, language: str = "en", phone: bool = False) -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else DESK,
            locale="zh-CN" if language == "zh" else "en-GB",
            base_url=site,
        )
        opened.append(context)
        context.set_default_timeout(60_000)
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        context.on("console", lambda m: faults.append(m.text) if "Security" in m.text else None)
        page = enter(context, name, language)
        page.wait_for_selector("#link-state[data-state=live]")
        return page

    yield one
    for context in opened:
        context.close()
    assert faults == []
