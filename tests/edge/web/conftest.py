"""A real shop behind a real server, and a real browser that visits it; one of each per module."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from edge.compose import Shop
from edge.settings import Settings
from edge.web import create_app
from edge.web.serving import Server
from edge.web.visitor import BROWSER_COOKIE, CSRF_COOKIE, SESSION_COOKIE, csrf_token
from hatch_build import compile_translations
from protocol.events import Moved, TransferForwarded
from protocol.ids import ALL, to_stream
from tests.edge import shop_builder as house

ROOT = Path(__file__).parents[3]
SECRET = "a-secret-of-this-browser-0123456789"
VISIT = {"zh": "zh-CN", "en": "en-US"}


@pytest.fixture(scope="session", autouse=True)
def _translations() -> None:
    compile_translations(ROOT)


def free_port() -> int:
    """A fixed one, so that the server can come back at the same address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stalling:
    """The server in front of the shop: it can be told to hesitate."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.stall_s = 0.0

    def __call__(self, environ: Any, start: Any) -> Any:
        if self.stall_s and environ["PATH_INFO"].startswith("/api/"):
            time.sleep(self.stall_s)
        return self.app(environ, start)


class Site:
    """A shop, its server and the ways into it."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.shop: Shop = house.build(folder, settings=settings)
        house.head_office(self.shop, ALL, house.three_for_two())
        self.shop.rules.refresh()
        self.app = create_app(self.shop)
        self.front: Any = Stalling(self.app.wsgi_app)
        self.app.wsgi_app = self.front  # type: ignore[method-assign]
        self.port = free_port()
        self.server: Server | None = None
        self.start()

    def start(self) -> None:
        self.app.extensions["tillmesh_streams"].__init__()
        self.server = Server(self.app, "127.0.0.1", self.port)
        self.port = self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cookies(self, person: str, till: str = "1") -> dict[str, str]:
        """Paired and signed in, without clicking through it each time."""
        browser = self.shop.pairing.pair(self.shop.pairing.make_code(till), name="test")
        key = self.shop.pairing.browser(browser)
        assert key is not None
        pin = house.PINS[person]
        signed = self.shop.people.sign_in(pin, person=person, browser=key.key, till=till)
        return {BROWSER_COOKIE: browser, SESSION_COOKIE: signed.token, CSRF_COOKIE: SECRET}

    def empty_till(self, till: str = "1") -> None:
        """A fresh sale, a shift that is open."""
        self.front.stall_s = 0.0
        if self.shop.shifts.current(till) is None:
            house.open_shift(self.shop, till)
        self.shop.selling.clear(till, person="anna")

    def codes(self, till: str = "1") -> list[str]:
        """What lies in the basket, one entry per scan, in order."""
        rows = self.shop.selling.view(till).lines
        return [row.code for row in rows for _ in range(row.qty_milli // 1000 or 1)]

    def coming(self) -> str:
        """A transfer from the other shop that is on its way here."""
        transfer = self.shop.node.new_id()
        news = TransferForwarded(
            transfer=transfer,
            from_store="s2",
            to_store="s1",
            dispatched_ms=house.NOON_MS - 60_000,
            person="lee",
            lines=(Moved(sku="bun", qty_milli=10_000),),
        )
        house.head_office(self.shop, to_stream("s1"), news)
        return transfer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("shop"))
    yield made
    made.stop()
    made.shop.books.database.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield started
        started.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Visit]:
    """Open a page as somebody: visit("anna", "/till", language="zh")."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def go(
        person: str,
        path: str,
        *,
        till: str = "1",
        language: str = "en",
        size: tuple[int, int] = (1280, 800),
    ) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, locale=VISIT[language]
        )
        contexts.append(context)
        cookies = site.cookies(person, till)
        context.add_cookies([{"name": n, "value": v, "url": site.base} for n, v in cookies.items()])
        page = context.new_page()
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.goto(site.base + path)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.fixture
def client_of(site: Site) -> Callable[..., FlaskClient]:
    """A client without a browser: client_of("anna"), client_of() for a stranger."""

    def make(person: str = "", *, till: str = "1") -> FlaskClient:
        client = site.app.test_client()
        client.set_cookie(CSRF_COOKIE, SECRET)
        for name, value in (site.cookies(person, till) if person else {}).items():
            client.set_cookie(name, value)
        client.environ_base["HTTP_X_CSRF"] = csrf_token(SECRET)
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
        return client

    return make


def digits(text: str) -> str:
    return "".join(re.findall(r"\d", text))
