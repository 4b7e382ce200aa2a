"""Receipts on a virtual printer over a socket, scans over a pty: the real drivers, no mocks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from devices import spool
from devices.receipt import Cut
from devices.sim.vprinter import VirtualPrinter
from devices.sim.vserial import VirtualScanner
from edge.compose import Shop
from edge.receipt_settings import ReceiptText
from edge.settings import TillSettings
from edge.stockroom import Piece
from edge.views import TenderIn
from protocol.errors import Refusal
from protocol.events import ReceiptReprinted
from protocol.ids import ALL
from protocol.node.tables import journal
from tests.edge.shop_builder import (
    BREAD,
    BUN,
    MILK,
    build,
    head_office,
    open_shift,
    ring_up,
    sell,
    settings_for,
    three_for_two,
)


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def printer() -> Iterator[VirtualPrinter]:
    made = VirtualPrinter()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def scanner() -> Iterator[VirtualScanner]:
    with VirtualScanner() as made:
        yield made


@pytest.fixture
def equipped(tmp_path: Path, printer: VirtualPrinter, scanner: VirtualScanner) -> Iterator[Shop]:
    till = TillSettings(id="1", printer=printer.url, scanner=scanner.path, drawer=True)
    shop = build(tmp_path, settings=settings_for(tmp_path, tills=(till, TillSettings(id="2"))))
    shop.printing.start()
    shop.scanning.start()
    open_shift(shop)
    yield shop
    shop.scanning.stop()
    shop.printing.stop()
    shop.books.database.close()


def test_a_sale_prints_in_chinese_and_opens_the_drawer(
    equipped: Shop, printer: VirtualPrinter
) -> None:
    head_office(equipped, ALL, three_for_two())
    equipped.rules.refresh()
    view = ring_up(equipped, [BUN, BUN, BREAD])
    paid = equipped.selling.pay("1", view.sale, [TenderIn("cash", 2000)], person="anna")
    until(printer.receipts)
    text = printer.receipts()[-1]
    for words in (
        "一店",
        "豆沙包",
        "买二送一",
        "应付",
        "¥15.50",
        "找零",
        "谢谢惠顾",
        paid.receipt_number,
    ):
        assert words.replace("¥", "￥") in text or words in text, words
    assert printer.papers()[-1].codes() == [f"TMR:{paid.receipt_number}"]
    until(lambda: printer.kicks == 1)
    assert printer.faults == []
    until(lambda: all(j.state.value == "confirmed" for j in equipped.printing.jobs()))
    assert equipped.printing.printers()[0].waiting == 0
    assert equipped.printing.printers()[1].condition is None


def test_card_sales_leave_the_drawer_shut_and_a_key_opens_it(
    equipped: Shop, printer: VirtualPrinter
) -> None:
    view = ring_up(equipped, [BUN])
    equipped.selling.pay("1", view.sale, [TenderIn("card", 350)], person="anna")
    until(printer.receipts)
    assert printer.kicks == 0
    equipped.selling.open_drawer("1", person="anna")
    until(lambda: printer.kicks == 1)
    with pytest.raises(Refusal, match="NO_DRAWER"):
        equipped.selling.open_drawer("2", person="anna")


def test_no_paper_never_blocks_a_sale(equipped: Shop, printer: VirtualPrinter) -> None:
    printer.set(paper=0)
    until(
        lambda: (c := equipped.printing.printers()[0].condition) and c.code == "PRINTER_PAPER_OUT"
    )
    sell(equipped, [BUN])
    verdict = next(v for v in equipped.health.verdicts() if v.part == "printer/1")
    assert (verdict.state, verdict.code) == ("warn", "PRINTER_PAPER_OUT")
    assert verdict.can_still_en
    assert equipped.printing.printers()[0].waiting >= 1
    printer.set(paper=2)
    until(lambda: len(printer.receipts()) == 1)
    assert "REPRINT" not in printer.receipts()[0]


def test_a_reprint_is_marked_numbered_and_recorded(equipped: Shop, printer: VirtualPrinter) -> None:
    paid = sell(equipped, [BUN])
    assert equipped.selling.reprint(paid.sale, till="1", person="anna") == 1
    assert equipped.selling.reprint(paid.sale, till="1", person="anna") == 2
    until(lambda: len(printer.receipts()) == 3)
    texts = printer.receipts()
    assert "REPRINT" not in texts[0]
    assert "补打 第1次 REPRINT 1" in texts[1]
    assert "补打 第2次 REPRINT 2" in texts[2]
    with equipped.books.database.reading() as connection:
        kinds = select(func.count()).where(journal.c.type == ReceiptReprinted.__name__)
        assert connection.execute(kinds).scalar_one() == 2
    with pytest.raises(Refusal, match="SALE_UNKNOWN"):
        equipped.selling.reprint("nothing", till="1", person="anna")
    with pytest.raises(Refusal, match="NO_PRINTER"):
        equipped.selling.reprint(paid.sale, till="2", person="anna")


def test_a_transfer_note_carries_its_code(equipped: Shop, printer: VirtualPrinter) -> None:
    equipped.stockroom.receive("in", "mill", [Piece("bun", 9_000)], person="mei")
    equipped.transfers.dispatch("tr-1", "s2", [Piece("bun", 4_000)], person="mei", till="1")
    until(printer.receipts)
    assert "二店" in printer.receipts()[0]
    equipped.transfers.print_note("tr-1", till="1", person="mei")
    until(lambda: len(printer.receipts()) == 2)
    assert "REPRINT" in printer.receipts()[1]


def test_z_is_printed(equipped: Shop, printer: VirtualPrinter) -> None:
    sell(equipped, [BUN])
    shift = equipped.shifts.demand("1").shift
    equipped.shifts.close("1", person="anna", counted={"cash": 20_000}, shift=shift)
    until(lambda: len(printer.receipts()) == 2)
    assert "交班报表" in printer.receipts()[1]
    assert "-￥3.50" in printer.receipts()[1].replace("¥", "￥")


def test_a_serial_scan_lands_in_the_basket_of_its_till(
    equipped: Shop, scanner: VirtualScanner
) -> None:
    with equipped.hub.subscribe() as facts:
        equipped.scanning.till_alive("1", "anna")
        until(lambda: (c := equipped.scanning.scanners()[0].condition) and c.state.value == "up")
        codes = [BUN, MILK, "6999999999997", BREAD] * 5
        for code in codes:
            assert scanner.scan(code)
        until(lambda: equipped.selling.view("1").version == 20)
        view = equipped.selling.view("1")
        assert [x.code for x in view.lines] == codes
        assert view.unknown == 5
        told = [facts.get(timeout=60) for _ in range(20)]
    versions = [msgspec.json.decode(f.data)["version"] for f in told if f.topic == "basket/1"]
    assert versions == sorted(versions)
    assert len(versions) >= 18  # the others tell of the device


def test_a_scan_without_a_page_is_kept_out_and_shown(
    equipped: Shop, scanner: VirtualScanner
) -> None:
    until(lambda: (c := equipped.scanning.scanners()[0].condition) and c.state.value == "up")
    equipped.scanning.till_alive("1", "anna")
    equipped.scanning.till_gone("1")
    scanner.scan(BUN)
    until(lambda: equipped.scanning.missed("1"))
    assert [m.code for m in equipped.scanning.missed("1")] == [BUN]
    assert equipped.selling.view("1").lines == ()
    assert equipped.scanning.scanners()[0].enabled is False
    equipped.scanning.dismiss_missed("1")
    assert equipped.scanning.missed("1") == []
    equipped.scanning.till_alive("1", "anna")
    scanner.scan(MILK)
    until(lambda: equipped.selling.view("1").lines)
    assert [x.sku for x in equipped.selling.view("1").lines] == ["milk"]


def test_health_names_every_part(equipped: Shop, printer: VirtualPrinter) -> None:
    until(lambda: equipped.health.verdicts()[0].state == "ok")
    parts = [v.part for v in equipped.health.verdicts()]
    assert parts == [
        "printer/1",
        "scanner/1",
        "disk",
        "database",
        "broker",
        "central",
        "queue",
        "clock",
        "rules",
        "prices",
        "parked",
        "payments",
    ]
    printer.power_off()
    until(lambda: equipped.health.verdicts()[0].state == "bad")
    verdict = equipped.health.verdicts()[0]
    assert verdict.sentence("zh-CN")
    assert verdict.can_still("en") == "Selling goes on; receipts wait."
    told = {one.part: one.complaint() for one in equipped.health.complaints()}["printer/1"]
    assert (told.state, told.name("en"), told.name("zh-CN")) == ("bad", "Printer 1", "打印机 1")
    assert told.sentence("zh-CN") == verdict.sentence("zh-CN")
    assert equipped.health.unsynced() > 0


def test_two_tills_share_one_printer_and_have_a_drawer_each(
    tmp_path: Path, printer: VirtualPrinter
) -> None:
    tills = (
        TillSettings(id="1", printer=printer.url, drawer=True),
        TillSettings(id="2", printer=printer.url, drawer=True, drawer_pin=5),
    )
    shop = build(tmp_path, settings=settings_for(tmp_path, tills=tills))
    try:
        before = spool.PrintRequest(id="from-before", device="printer-2", blocks=[Cut()])
        with shop.books.begin() as tx:  # till 2 had a printer of its own, and this was left
            spool.enqueue(tx, before, at_ms=shop.clock.read().at_ms)
        shop.printing.start()
        open_shift(shop, "1")
        open_shift(shop, "2", person="mei")
        sell(shop, [BUN], "1")
        sell(shop, [MILK], "2", person="mei")
        until(lambda: len(printer.receipts()) == 3)
        until(lambda: printer.kicks == 2)
        assert [pin for pin, _, _ in printer.brain.kicks] == [2, 5]
        first, second = shop.printing.printers()
        assert first.condition == second.condition
        assert first.condition is not None
        until(lambda: all(j.state.value == "confirmed" for j in shop.printing.jobs()))
        assert {j.device for j in shop.printing.jobs()} == {"printer-1"}
        assert shop.printing.jobs("2") == shop.printing.jobs("1")
        assert printer.faults == []
    finally:
        shop.printing.stop()
        shop.books.database.close()


def test_a_receipt_looks_as_the_shop_wants_it(tmp_path: Path, printer: VirtualPrinter) -> None:
    text = ReceiptText(
        header=("人民路 88 号",),
        footer=("为您节省 {saved}",),
        sections=("store", "header", "number", "goods", "totals", "footer", "code"),
        promotions="summary",
        code="qr",
    )
    till = TillSettings(id="1", printer=printer.url)
    settings = settings_for(tmp_path, tills=(till,), receipt={"zh-CN": text})
    shop = build(tmp_path, settings=settings)
    try:
        shop.printing.start()
        open_shift(shop)
        head_office(shop, ALL, three_for_two())
        shop.rules.refresh()
        sell(shop, [BUN, BUN, BUN])
        until(printer.receipts)
        paper = printer.receipts()[0]
        assert "人民路 88 号" in paper
        assert "为您节省 ￥3.50" in paper
        assert "[QR: TMR:" in paper
        assert "找零" not in paper
        assert paper.count("买二送一") == 1
        assert paper.index("买二送一") < paper.index("应付")
    finally:
        shop.printing.stop()
        shop.books.database.close()
