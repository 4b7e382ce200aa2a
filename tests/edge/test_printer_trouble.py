"""Whatever a printer does: the sale goes through, the words fit, the paper comes in the end."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices.sim.vprinter import VirtualPrinter
from edge.compose import Shop
from edge.settings import TillSettings
from tests.devices.waiting import wait_for
from tests.edge.shop_builder import BUN, build, open_shift, sell, settings_for

Turn = Callable[[VirtualPrinter], object]
TROUBLES: dict[str, tuple[Turn, Turn, set[str]]] = {  # what happens, what mends it, what is told
    "paper out": (lambda p: p.set(paper=0), lambda p: p.set(paper=2), {"PRINTER_PAPER_OUT"}),
    "near end": (lambda p: p.set(paper=1), lambda p: p.set(paper=2), {"PRINTER_PAPER_LOW"}),
    "cover": (
        lambda p: p.set(cover_open=True),
        lambda p: p.set(cover_open=False),
        {"PRINTER_COVER_OPEN"},
    ),
    "cutter": (
        lambda p: p.set(cutter_jam=True),
        lambda p: p.set(cutter_jam=False),
        {"PRINTER_FAULT"},
    ),
    "mute": (lambda p: p.trouble(mute=True), lambda p: p.trouble(mute=False), {"PRINTER_SILENT"}),
    "garbage": (
        lambda p: p.trouble(garbage=True),
        lambda p: p.trouble(garbage=False),
        {"PRINTER_GARBLED"},
    ),
    "stalled": (
        lambda p: p.trouble(stalled=True),
        lambda p: p.trouble(stalled=False),
        {"PRINTER_SILENT", "DEVICE_STALLED"},
    ),
    "power": (
        VirtualPrinter.power_off,
        VirtualPrinter.power_on,
        {"DEVICE_LOST", "DEVICE_REFUSED"},
    ),
    "cable": (VirtualPrinter.unplug, VirtualPrinter.plug, {"DEVICE_LOST", "DEVICE_REFUSED"}),
}


@pytest.fixture
def printer() -> Iterator[VirtualPrinter]:
    made = VirtualPrinter()
    made.start()
    yield made
    made.stop()
    assert made.faults == []


@pytest.fixture
def shop(tmp_path: Path, printer: VirtualPrinter) -> Iterator[Shop]:
    before = threading.active_count()
    till = TillSettings(id="1", printer=printer.url, drawer=True)
    made = build(tmp_path, settings=settings_for(tmp_path, tills=(till,)))
    made.printing.start()
    open_shift(made)
    yield made
    made.printing.stop()
    made.books.database.close()
    wait_for(lambda: threading.active_count() <= before, within_s=60)


def _code(shop: Shop) -> str:
    condition = shop.printing.printers()[0].condition
    return condition.code if condition else "none"


@pytest.mark.parametrize("name", TROUBLES)
def test_the_sale_goes_through_and_the_paper_comes_in_the_end(
    shop: Shop, printer: VirtualPrinter, name: str
) -> None:
    happen, mend, told = TROUBLES[name]
    wait_for(lambda: _code(shop) == "")
    happen(printer)
    wait_for(lambda: _code(shop) in told)
    condition = shop.printing.printers()[0].condition
    assert condition is not None
    assert condition.sentence("en") != condition.sentence("zh-CN")
    paid = sell(shop, [BUN])
    assert paid.receipt_number
    if name != "near end":
        assert printer.receipts() == []
        assert shop.printing.printers()[0].waiting >= 1
    mend(printer)
    wait_for(printer.receipts)
    wait_for(lambda: shop.printing.printers()[0].waiting == 0)
    assert ["REPRINT" in text for text in printer.receipts()] == [False]
    assert printer.kicks <= 1
    wait_for(lambda: _code(shop) == "")


@pytest.mark.parametrize("silent", [True, False])
def test_a_printer_that_stalls_in_mid_receipt(
    shop: Shop, printer: VirtualPrinter, *, silent: bool
) -> None:
    """It read some of it and no more: the copy is marked, the next sale waits for nothing."""
    wait_for(lambda: _code(shop) == "")
    seen = 0

    def stall(data: bytes) -> None:
        nonlocal seen
        seen += len(data)
        if b"\x1bd\x06" in data:  # the receipt's end: read, but its fence is not answered
            printer.tap = lambda _data: None
            printer.trouble(stalled=True, mute=silent)

    printer.tap = stall
    sell(shop, [BUN])
    wait_for(lambda: _code(shop) in {"PRINTER_SILENT", "DEVICE_STALLED", "PRINT_UNCONFIRMED"})
    sell(shop, [BUN])
    assert seen
    printer.trouble(stalled=False, mute=False)
    wait_for(lambda: shop.printing.printers()[0].waiting == 0)
    marks = ["REPRINT" in text for text in printer.receipts()]
    assert marks.count(False) <= 2
    assert len(marks) - marks.count(True) == 2 or marks.count(True) == 0
    assert printer.kicks <= 2
