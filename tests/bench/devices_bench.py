"""Devices on the simulators, through the real drivers: one function per figure (see FIGURES)."""

import itertools
import queue
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import MetaData, create_engine, event

from devices import spool
from devices.device import DeviceState, Event, Status
from devices.printer import Printer
from devices.printworker import PrintWorker
from devices.receipt import Block, profile, render
from devices.receipt_layout import PromotionAmount, ReceiptData, ReceiptLine, Tender, sale_receipt
from devices.sim.vprinter import VirtualPrinter
from edge.settings import TillSettings
from edge.views import TenderIn
from tests.bench.figures import percentile, spread
from tests.edge import shop_builder as sb

Figure = tuple[str, str]
WIDE = profile("80mm-48col")
GIVE_UP_S = 30.0


def until(condition: Callable[[], object]) -> None:
    """Look as often as the machine lets us: the figure is the time."""
    deadline = time.monotonic() + GIVE_UP_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.0002)


def forty_lines() -> list[Block]:
    """A receipt of 40 printed lines, as it comes out of an ordinary sale."""
    names = ["豆沙包", "鲜牛奶 250ml", "全麦吐司", "葱油拌面", "散装饼干", "矿泉水 550ml"]
    lines = tuple(
        ReceiptLine(
            name=names[n % len(names)],
            qty=str(1 + n % 3),
            unit="件",
            unit_price_minor=350 + n,
            gross_minor=(350 + n) * (1 + n % 3),
            discount_minor=100 if n % 4 == 0 else 0,
            promotions=(PromotionAmount("第二件半价", 100),) if n % 4 == 0 else (),
        )
        for n in range(12)
    )
    data = ReceiptData(
        store_name="人民路店",
        till="1",
        cashier="王芳",
        receipt_number="1-1-000123",
        time="2026-05-01 10:32",
        lines=lines,
        total_minor=8000,
        discount_minor=300,
        tenders=(Tender("现金", 10000),),
        change_minor=2000,
        header=("人民路 88 号",),
        footer=("谢谢惠顾",),
    )
    return sale_receipt(data)


@contextmanager
def connected(*, serial: bool = False) -> Iterator[tuple[VirtualPrinter, Printer]]:
    """A virtual printer with the real driver on it, ready."""
    virtual = VirtualPrinter(serial=serial)
    virtual.start()
    events: queue.Queue[Event] = queue.Queue()
    printer = Printer("p", virtual.url, profile=WIDE, on_event=events.put)
    printer.start()
    try:
        until(lambda: printer.state().state is DeviceState.UP)
        yield virtual, printer
    finally:
        printer.stop()
        virtual.stop()
    if virtual.faults:
        raise AssertionError(virtual.faults)


def receipt_of_forty_lines() -> list[Figure]:
    """Its size, and from handing it to the driver to the answered fence."""
    blocks = forty_lines()
    data = render(blocks, WIDE)
    with connected() as (virtual, printer):
        spent = []
        for _ in range(300):
            start = time.perf_counter()
            printer.print(render(blocks, WIDE)).result(GIVE_UP_S)
            spent.append(time.perf_counter() - start)
        lines = len(virtual.receipts()[-1].splitlines())
    return [
        (f"receipt of {lines} printed lines", f"{len(data)} bytes   goal <= 2000"),
        ("the same: render, send, printed and confirmed", spread(spent, "p50 <= 10 ms")),
    ]


def job_through_the_spool() -> list[Figure]:
    """From the commit that puts it into SQLite to the row that says confirmed."""
    blocks = forty_lines()
    with tempfile.TemporaryDirectory() as folder, connected() as (_, printer):
        engine = create_engine(f"sqlite:///{folder}/spool.db")

        @event.listens_for(engine, "connect")
        def _durable(connection: object, _record: object) -> None:
            connection.isolation_level = None  # type: ignore[attr-defined]
            connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
            connection.execute("PRAGMA synchronous=FULL")  # type: ignore[attr-defined]

        @event.listens_for(engine, "begin")
        def _immediate(connection: object) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

        metadata = MetaData()
        spool.define_print_job(metadata)
        metadata.create_all(engine)
        done: queue.Queue[str] = queue.Queue()
        worker = PrintWorker(
            engine.begin,
            printer,
            now_ms=lambda: 1,
            on_job=lambda job: done.put(job.id) if job.state == "confirmed" else None,
        )
        worker.start()
        spent = []
        for n in range(200):
            start = time.perf_counter()
            with engine.begin() as tx:
                request = spool.PrintRequest(id=f"r{n}", device="p", blocks=blocks)
                spool.enqueue(tx, request, at_ms=1)
            worker.wake()
            done.get(timeout=GIVE_UP_S)
            spent.append(time.perf_counter() - start)
        worker.stop()
        engine.dispose()
    return [("the same through the durable spool, to the confirmed row", spread(spent))]


def pay_to_first_byte() -> list[Figure]:
    """From the call of `pay` (durable commit included) to the drawer's pulse at the printer."""
    virtual = VirtualPrinter()
    virtual.start()
    pulses: list[float] = []

    def tap(data: bytes) -> None:
        if b"\x1bp" in data:  # the first bytes of the sale: status questions belong to no job
            pulses.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        till = TillSettings(id="1", printer=virtual.url, drawer=True)
        shop = sb.build(Path(folder), settings=sb.settings_for(Path(folder), tills=(till,)))
        shop.printing.start()
        virtual.tap = tap
        sb.open_shift(shop)
        spent, paid = [], []
        for n in range(220):
            view = sb.ring_up(shop, [sb.BUN, sb.MILK, sb.BREAD] * 3)
            until(lambda: shop.printing.printers()[0].waiting == 0)
            start = time.perf_counter()
            shop.selling.pay("1", view.sale, [TenderIn("cash", view.total_minor)], person="anna")
            paid.append(time.perf_counter() - start)
            until(lambda n=n: len(pulses) == n + 1)  # type: ignore[misc]
            spent.append(pulses[-1] - start)
        shop.printing.stop()
        shop.books.database.close()
    virtual.stop()
    return [
        ("pay, committed and answered", spread(paid[20:])),
        (
            "pay -> first bytes at the printer: the drawer's pulse",
            spread(spent[20:], "p99 <= 20 ms"),
        ),
    ]


def _told(events: "queue.Queue[Event]", *, up: bool) -> None:
    """Wait until the driver's events say so."""
    while True:
        told = events.get(timeout=GIVE_UP_S)
        if isinstance(told, Status) and (told.new.state is DeviceState.UP) is up:
            return


def _losses(*, serial: bool, rounds: int, lose: str) -> tuple[list[float], list[float]]:
    """(from the loss to the event that tells, from the return to UP), in seconds."""
    dice = random.Random(4)
    virtual = VirtualPrinter(serial=serial)
    virtual.start()
    events: queue.Queue[Event] = queue.Queue()
    printer = Printer("p", virtual.url, profile=WIDE, on_event=events.put)
    printer.start()
    lost, back = [], []
    for _ in range(rounds):
        _told(events, up=True)
        time.sleep(dice.uniform(0.0, 1.0))  # somewhere between two heartbeats
        start = time.perf_counter()
        if lose == "silence":
            virtual.trouble(mute=True, stalled=True)
        else:
            virtual.unplug()
        _told(events, up=False)
        lost.append(time.perf_counter() - start)
        time.sleep(dice.uniform(0.0, 2.0))
        while not events.empty():
            events.get_nowait()
        start = time.perf_counter()
        if lose == "silence":
            virtual.trouble(mute=False, stalled=False)
        else:
            virtual.plug()
        _told(events, up=True)
        back.append(time.perf_counter() - start)
        events.put(Status("p", printer.state(), printer.state()))
    printer.stop()
    virtual.stop()
    return lost, back


def _worst(seconds: list[float], goal: str) -> str:
    p95 = percentile(seconds, 0.95)
    return f"p95 {p95:.3f} s, max {max(seconds):.3f} s, n {len(seconds)}   goal {goal}"


def lost_and_back_on_a_serial_line() -> list[Figure]:
    """The cable of a USB-serial printer, pulled and put in again."""
    lost, back = _losses(serial=True, rounds=30, lose="cable")
    return [
        ("serial printer unplugged -> shown", _worst(lost, "<= 0.2 s")),
        ("serial printer plugged in -> ready", _worst(back, "p95 <= 1.5 s")),
    ]


def lost_and_back_on_a_network() -> list[Figure]:
    """A connection that breaks, and a printer from which nothing comes any more."""
    broken, back = _losses(serial=False, rounds=20, lose="cable")
    silent, again = _losses(serial=False, rounds=12, lose="silence")
    return [
        ("network printer's connection broken -> shown", _worst(broken, "<= 3 s")),
        ("network printer silent -> shown", _worst(silent, "<= 3 s")),
        ("network printer back -> ready", _worst(back + again, "p95 <= 1.5 s")),
    ]


def picture_of_a_receipt() -> list[Figure]:
    """What the virtual shop's page draws."""
    with connected() as (virtual, printer):
        printer.print(render(forty_lines(), WIDE)).result(GIVE_UP_S)
        until(virtual.papers)
        paper = virtual.papers()[-1]
        paper.png()
        spent = []
        for _ in range(20):
            start = time.perf_counter()
            paper.png()
            spent.append(time.perf_counter() - start)
    return [("picture of it, warm", spread(spent, "<= 100 ms"))]


FIGURES: list[Callable[[], list[Figure]]] = [
    receipt_of_forty_lines,
    job_through_the_spool,
    pay_to_first_byte,
    lost_and_back_on_a_serial_line,
    lost_and_back_on_a_network,
    picture_of_a_receipt,
]


def run() -> list[Figure]:
    return list(itertools.chain.from_iterable(figure() for figure in FIGURES))
