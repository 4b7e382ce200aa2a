"""The customer's displays on real ptys: the newest basket, the change; no till waits for one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gbtext
from devices.sim.vdisplay import VirtualDisplay
from devices.sim.vserial import VirtualLine
from edge.compose import Shop
from edge.settings import TillSettings
from edge.showing import row
from edge.views import TenderIn
from protocol.ids import ALL
from tests.edge.shop_builder import (
    BUN,
    MILK,
    build,
    head_office,
    open_shift,
    settings_for,
    three_for_two,
)
from tests.edge.test_weighing import HAM, until


@pytest.fixture(params=["escpos", "cd5220"])
def pole(request: pytest.FixtureRequest) -> Iterator[VirtualDisplay]:
    with VirtualDisplay() as made:
        made.start()
        made.dialect = request.param  # type: ignore[attr-defined]
        yield made
    assert made.screen.faults == []


def shop_with(folder: Path, till: TillSettings) -> Shop:
    made = build(folder, settings=settings_for(folder, tills=(till, TillSettings(id="2"))))
    made.showing.start()
    open_shift(made)
    return made


@pytest.fixture
def shop(tmp_path: Path, pole: VirtualDisplay) -> Iterator[Shop]:
    kind = pole.dialect  # type: ignore[attr-defined]
    made = shop_with(tmp_path, TillSettings(id="1", display=pole.path, display_kind=kind))
    yield made
    made.showing.stop()
    made.books.database.close()


def shows(pole: VirtualDisplay, top: str, bottom: str) -> None:
    until(lambda: pole.screen.lines() == (top.ljust(20), bottom.rjust(20)))


def test_from_welcome_over_goods_to_the_change(shop: Shop, pole: VirtualDisplay) -> None:
    shows(pole, "WELCOME", "")
    shop.selling.scan("1", BUN, "anna")
    shows(pole, "Bean bun        3.50", "TOTAL           3.50")
    shop.selling.scan("1", BUN, "anna")
    view = shop.selling.scan("1", MILK, "anna")
    shows(pole, "Fresh milk      8.80", "TOTAL          15.80")
    shop.selling.pay("1", view.sale, [TenderIn("cash", 2000)], person="anna")
    shows(pole, "TOTAL          15.80", "CHANGE          4.20")
    assert shop.showing.picture("1").phase == "paid"
    shop.selling.scan("1", MILK, "anna")
    shows(pole, "Fresh milk      8.80", "TOTAL           8.80")
    pole.unplug()
    until(lambda: (c := shop.showing.displays()[0].condition) and c.state.value == "down")
    shop.selling.scan("1", MILK, "anna")
    pole.plug()
    shows(pole, "2 Fresh milk   17.60", "TOTAL          17.60")
    verdict = next(v for v in shop.health.verdicts() if v.part == "display/1")
    assert verdict.state == "ok"


def test_the_change_gives_way_to_the_welcome(
    shop: Shop, pole: VirtualDisplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.showing.PAID_S", 0.5)
    view = shop.selling.scan("1", BUN, "anna")
    shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
    shows(pole, "WELCOME", "")


def test_chinese_where_the_rom_has_it(tmp_path: Path) -> None:
    with VirtualDisplay() as pole:
        pole.start()
        made = shop_with(
            tmp_path,
            TillSettings(id="1", display=pole.path, display_kind="cd5220", display_gb=True),
        )
        made.selling.scan("1", BUN, "anna")
        until(lambda: pole.screen.lines()[0].startswith("豆沙包"))
        until(lambda: pole.screen.lines()[1].startswith("合计"))
        made.showing.stop()
        made.books.database.close()
        assert pole.screen.faults == []


def test_a_display_that_takes_no_bytes_delays_nobody(tmp_path: Path) -> None:
    with VirtualLine() as stalled:  # nobody reads: its buffer fills up
        made = shop_with(tmp_path, TillSettings(id="1", display=stalled.path))
        until(lambda: (c := made.showing.displays()[0].condition) and c.state.value == "up")
        os.set_blocking(stalled._master, True)
        for _ in range(150):
            made.selling.scan("1", MILK, "anna")
        assert made.selling.view("1").lines[0].qty_milli == 150_000
        made.showing.stop()
        made.books.database.close()


def test_the_picture_has_rows_savings_and_no_cashier(shop: Shop) -> None:
    head_office(shop, ALL, three_for_two())
    shop.rules.refresh()
    for _ in range(3):
        shop.selling.scan("1", BUN, "anna")
    picture = shop.showing.picture("1")
    assert (picture.phase, picture.total_minor, picture.saved_minor) == ("sale", 700, 350)
    assert picture.lines[0].promotions_zh == ("买二送一",)
    assert "anna" not in repr(picture).lower()
    shop.selling.scan("1", HAM, "anna")
    weighing = shop.showing.picture("1").weighing
    assert weighing is not None
    assert (weighing.en, weighing.net_g, weighing.unit_price_minor) == ("Ham", None, 8800)
    shop.selling.clear("1", person="anna")
    shop.selling.scan("1", "4012345678901", "anna")  # an unknown code is the cashier's business
    assert shop.showing.picture("1").phase == "welcome"


@given(st.text(max_size=40), st.integers(0, 10**9))
def test_an_amount_is_never_cut(name: str, minor: int) -> None:
    amount = f"{minor // 100}.{minor % 100:02d}"
    line = row(name, amount)
    assert gbtext.columns(line) == 20
    assert line.endswith(" " + amount)
