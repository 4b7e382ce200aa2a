"""The time on pages, one tap away; a browser's own clock is compared and never used."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect

from devices.sim.vntp import VirtualNtp
from edge.web.clocks import uncertainty
from protocol.clock import Reading
from protocol.clockstatus import Status
from protocol.node.ntpclock import NtpClock
from tests.edge.web.conftest import Site, Visit
from tests.edge.web.test_pages import PHONE, clean, fits
from tests.protocol.test_ntpclock import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def explained(site: Site) -> Iterator[list[VirtualNtp]]:
    """The shop's clock says on what it stands: real servers, one of which is an hour ahead."""
    servers = [VirtualNtp(), VirtualNtp(), VirtualNtp(offset_s=3_600), VirtualNtp(kiss="RATE")]
    real = NtpClock([one.address for one in servers])
    real.ask_all()
    fixed: Any = site.shop.clock

    def status() -> Status:
        found = real.status()
        return Status(
            reading=Reading(fixed.at_ms, found.reading.u_ms, found.reading.state),
            basis=found.basis,
            sources=found.sources,
            code=found.code,
            params=found.params,
            contested=found.contested,
        )

    fixed.status, fixed.ask = status, real.ask_all
    yield servers
    del fixed.status, fixed.ask
    for one in servers:
        one.stop()


WORDS = {
    "en": ("used, +0.0 s", "The majority contradicts it", "It sent us away (RATE)"),
    "zh": ("已采用，+0.0 s", "与多数来源不符", "服务器拒绝服务（RATE）"),
}


@pytest.mark.parametrize("language", WORDS)
def test_the_header_says_one_tap_away_on_what_the_time_stands(
    site: Site, visit: Visit, explained: list[VirtualNtp], language: str
) -> None:
    site.empty_till()
    used, outlier, kiss = WORDS[language]
    page = visit("anna", "/till", language=language)
    page.locator("#links summary").click()
    sheet = page.locator("#sheet")
    for server, words in zip(explained, (used, used, outlier, kiss), strict=True):
        line = sheet.locator("dd.more", has_text=server.address)
        expect(line).to_contain_text(words)
    clean(page)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_dispute_asks_the_manager_on_the_health_page(
    site: Site, visit: Visit, explained: list[VirtualNtp], language: str
) -> None:
    for one in explained:
        one.become("day-ahead")
    site.shop.clock.ask()  # type: ignore[attr-defined]
    page = visit("mei", "/health", language=language, size=PHONE)
    expect(page.locator("form[action$='/health/time']")).to_contain_text("+24.0 h")
    expect(page.locator("#clock")).to_be_visible()
    expect(
        page.get_by_text("tzdata" if language == "zz" else "Asia/Shanghai").first
    ).to_be_visible()
    clean(page)
    fits(page)


def own_page(site: Site, browser: Browser, zone: str, off_ms: int) -> Iterator[Page]:
    """A till's page in a browser whose machine is in this zone and this much ahead of the shop."""
    site.empty_till()
    context = browser.new_context(locale="en-US", timezone_id=zone)
    cookies = site.cookies("anna", "1")
    context.add_cookies([{"name": n, "value": v, "url": site.base} for n, v in cookies.items()])
    page = context.new_page()
    at_ms = site.shop.clock.read().at_ms + off_ms
    page.add_init_script(f"Date.now = () => {at_ms};")
    page.goto(f"{site.base}/till")
    yield page
    context.close()


@pytest.mark.parametrize(
    ("zone", "off_ms", "words"),
    [
        ("Asia/Shanghai", 180_000, "+3 min off"),
        ("Asia/Tokyo", 0, "another time zone (Asia/Tokyo"),
        ("Asia/Shanghai", 0, ""),
    ],
)
def test_a_page_tells_its_own_clock(
    site: Site, browser: Browser, zone: str, off_ms: int, words: str
) -> None:
    site.shop.screens._seen.clear()
    for page in own_page(site, browser, zone, off_ms):
        wait_for(lambda: bool(site.shop.screens.screens()), 120)
        page.locator("#links summary").click()
        if words:
            expect(page.locator("#sheet")).to_contain_text(words, timeout=60_000)
        (screen,) = site.shop.screens.screens()
        assert screen.zone == zone
        assert screen.wrong == bool(words)
        assert abs(screen.off_ms - off_ms) < 2_000  # half of the longest way that counts


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        '{"off_ms": "1", "zone": "UTC"}',
        '{"off_ms": true, "zone": "UTC"}',
        '{"off_ms": 1.5, "zone": "UTC"}',
        '{"off_ms": 1}',
        '{"off_ms": 1, "zone": 7}',
        '{"off_ms": 1, "zone": "' + "x" * 600 + '"}',
        '{"off_ms": 9999999999999999, "zone": "UTC"}',
    ],
)
def test_nonsense_about_a_clock_is_refused_in_words(
    client_of: Callable[..., FlaskClient], body: str
) -> None:
    answer = client_of("anna").post("/live/clock", data=body, content_type="application/json")
    assert answer.status_code == 409
    assert answer.get_json()["code"] == "SCREEN_CLOCK_WRONG"


def test_a_stranger_reports_nothing(client_of: Callable[..., FlaskClient]) -> None:
    answer = client_of().post("/live/clock", json={"off_ms": 1, "zone": "UTC"})
    assert answer.status_code in {401, 403, 409}
    assert answer.get_json()["code"] == "PAIR_FIRST"


@pytest.mark.parametrize(
    ("u_ms", "text"),
    [(12, "± 0.01 s"), (1_250, "± 1.2 s"), (60_000, "± 60 s"), (180_000, "± 3 min")],
)
def test_uncertainty_is_written_as_people_read_it(u_ms: int, text: str) -> None:
    assert uncertainty(u_ms) == text
