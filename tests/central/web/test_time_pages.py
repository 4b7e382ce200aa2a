"""Head office's pages on time: what each clock stands on, what is wrong, and who settles it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from central import watching
from central.compose import HeadOffice
from protocol.clock import ClockState, Reading
from protocol.clockstatus import Basis, Note, Status
from protocol.wire import Clk, ClockFacts, Heartbeat, ScreenClock
from tests.central.web.test_browser import AXE

pytestmark = pytest.mark.slow


@pytest.fixture
def disputed(office: HeadOffice) -> Iterator[list[int]]:
    """Head office's clock is contested until somebody confirms it; a shop has its own troubles."""
    clock: Any = office.clock
    confirmed: list[int] = []

    def status() -> Status:
        state = ClockState.HOLDOVER
        note = Note("ntp.aliyun.com:123", used=False, code="NTP_OUTLIER", params={"by": "+24.0 h"})
        return Status(
            reading=Reading(clock.read().at_ms, 1_500, state),
            basis=Basis.MANAGER if confirmed else Basis.SOURCES,
            code="CLOCK_JUMP",
            params={"by": "+24.0 h"},
            contested=not confirmed,
            sources=(Note("ntp.tencent.com:123", used=True, off_ms=3, error_ms=12), note),
        )

    clock.status, clock.confirm = status, confirmed.append
    now = clock.read().at_ms
    store = office.stores.stores()[0].store
    facts = ClockFacts(
        basis="hardware",
        since_ms=now - 60_000,
        code="CLOCK_NO_SOURCE",
        used=0,
        asked=3,
        zone="Asia/Shanghai",
        tzdata="2026.2",
        screens=(ScreenClock(till="1", off_ms=-180_000, zone="Asia/Tokyo"),),
    )
    heart = Heartbeat(
        node=store,
        sess="s",
        now=now,
        head=1,
        acked=1,
        clk=Clk("holdover", 2_000, now + 9_000),
        version="0.1.0",
        clock=facts,
    )
    with office.books.database.begin() as tx:
        before = watching.reports(tx).get(store)
        watching.beat(tx, heart, now_ms=now)
    yield confirmed
    del clock.status, clock.confirm
    with office.books.database.begin() as tx:
        tx.execute(watching.shop_clock.delete())
        if before is not None:
            values = {"clock_state": before.clock_state, "clock_offset_ms": before.clock_offset_ms}
            tx.execute(
                watching.shop_report.update()
                .where(watching.shop_report.c.store == store)
                .values(**values, clock_u_ms=before.clock_u_ms, seen_ms=before.seen_ms)
            )


def sound(page: Page) -> None:
    found = Axe().run(page, options=AXE).response["violations"]
    assert not found, [(v["id"], [n["target"] for n in v["nodes"]]) for v in found]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize(
    ("language", "phone", "words"),
    [
        ("en", False, ("its hardware clock", "sources used: 0 of 3", "browser -3 min off")),
        ("zh", True, ("硬件时钟", "采用来源：0 / 3", "浏览器相差 -3 min")),
    ],
)
def test_health_says_on_what_each_clock_stands(
    sign_in: Callable[..., Page],
    disputed: list[int],
    language: str,
    words: tuple[str, ...],
    *,
    phone: bool,
) -> None:
    page = sign_in(language=language, phone=phone)
    page.goto("/health")
    for some in words:
        expect(page.locator("main")).to_contain_text(some)
    own = page.locator("[aria-labelledby=time-of-hq]")
    expect(own).to_contain_text("ntp.tencent.com:123")
    expect(own).to_contain_text("+24.0 h")
    sound(page)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_alarms_say_what_to_do(
    sign_in: Callable[..., Page], office: HeadOffice, disputed: list[int], language: str
) -> None:
    page = sign_in(language=language)
    page.goto("/alarms")
    told = page.locator("main")
    for alarm in office.alarms.alarms():
        if "CLOCK" in alarm.code:
            expect(told).to_contain_text(alarm.sentence(language))
            expect(told).to_contain_text(alarm.todo(language))
    codes = {a.code for a in office.alarms.alarms()}
    assert {"ALARM_OWN_CLOCK", "ALARM_SCREEN_CLOCK"} <= codes
    sound(page)


def test_an_administrator_confirms_the_time(
    sign_in: Callable[..., Page], office: HeadOffice, disputed: list[int]
) -> None:
    page = sign_in()
    page.goto("/health")
    form = page.locator("form[action$='/health/time']")
    form.locator("input[name=time]").fill("2026-11-27T13:05")
    form.locator("button").click()
    expect(form).to_have_count(0)
    assert disputed == [1_795_755_900_000]  # 13:05 in Shanghai
