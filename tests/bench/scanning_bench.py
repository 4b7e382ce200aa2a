"""Scanners, scales and displays on real ptys: from the wire to the row, and from loss to return."""

import itertools
import queue
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from devices import scan
from devices.device import Data, DeviceState, Event, Status
from devices.scale import Scale
from devices.scanner import Scanner
from devices.sim.vdisplay import VirtualDisplay
from devices.sim.vscale import VirtualScale
from devices.sim.vserial import VirtualLine, VirtualScanner
from edge.settings import TillSettings
from tests.bench.edge_bench import code, fill
from tests.bench.figures import percentile, spread
from tests.edge import shop_builder as sb

Figure = tuple[str, str]
GIVE_UP_S = 30.0
PRODUCTS = 5_000
LINES = 30


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.0005)


def wire_to_event() -> list[Figure]:
    """From the CR on the wire to the event with the code."""
    events: queue.Queue[Event] = queue.Queue()
    with VirtualScanner() as gun:
        scanner = Scanner("s", gun.path, on_event=events.put)
        scanner.start()
        scanner.enable()
        until(lambda: scanner.state().state is DeviceState.UP)
        spent = []
        for n in range(2000):
            start = time.perf_counter()
            gun.scan(f"690102{n:07d}")
            while not isinstance(events.get(timeout=GIVE_UP_S), Data):
                pass
            spent.append(time.perf_counter() - start)
        scanner.stop()
    return [("scanner: CR on the wire -> scan event", spread(spent, "p99 <= 5 ms"))]


def meaning() -> list[Figure]:
    """What a code is, biip inside."""
    prefixes = [scan.InStorePrefix("20", "weight")]
    found = []
    for name, raw in (
        ("EAN-13", "]E06901028075831"),
        ("scale label", "2012345005365"),
        ("GS1-128 with lot and expiry", "]C101069010280758311726123110LOT42\x1d21SER9"),
    ):
        spent = []
        for _ in range(2000):
            start = time.perf_counter()
            scan.read(raw, prefixes=prefixes)
            spent.append(time.perf_counter() - start)
        p50, p99 = percentile(spent, 0.5) * 1e6, percentile(spent, 0.99) * 1e6
        found.append((f"what a code is: {name}", f"p50 {p50:.0f} us, p99 {p99:.0f} us"))
    return found


def scan_to_row() -> list[Figure]:
    """From the CR on the wire to the row that is committed and told to the page's stream."""
    with tempfile.TemporaryDirectory() as folder, VirtualScanner() as gun, VirtualDisplay() as pole:
        pole.start()
        till = TillSettings(id="1", scanner=gun.path, display=pole.path)
        shop = sb.build(Path(folder), settings=sb.settings_for(Path(folder), tills=(till,)))
        fill(shop, PRODUCTS)
        sb.open_shift(shop)
        shop.scanning.start()
        shop.showing.start()
        until(lambda: shop.scanning._scanners["1"].state().state is DeviceState.UP)
        spent = []
        with shop.hub.subscribe() as facts:
            for n in range(600):
                shop.scanning.till_alive("1", "anna")
                if n % LINES == 0:
                    shop.selling.clear("1", person="anna")
                while not facts.empty():
                    facts.get_nowait()
                start = time.perf_counter()
                gun.scan(code(n % PRODUCTS))
                while facts.get(timeout=GIVE_UP_S).topic != "basket/1":
                    pass
                spent.append(time.perf_counter() - start)
        shop.showing.stop()
        shop.scanning.stop()
        shop.books.database.close()
    label = f"scan -> row committed and pushed, to {LINES} lines, a display on"
    return [(label, spread(spent[20:], "p99 <= 50 ms"))]


def _replugged(
    line: VirtualLine, events: "queue.Queue[Event]", ready: Callable[[], object]
) -> tuple[list[float], list[float]]:
    dice = random.Random(5)
    lost, back = [], []
    until(ready)
    for _ in range(40):
        time.sleep(dice.uniform(0.0, 0.2))
        while not events.empty():
            events.get_nowait()
        start = time.perf_counter()
        line.unplug()
        _told(events, DeviceState.DOWN)
        lost.append(time.perf_counter() - start)
        time.sleep(dice.uniform(0.0, 1.5))
        start = time.perf_counter()
        line.plug()
        until(ready)
        back.append(time.perf_counter() - start)
    return lost, back


def _told(events: "queue.Queue[Event]", wanted: DeviceState) -> None:
    while True:
        event = events.get(timeout=GIVE_UP_S)
        if isinstance(event, Status) and event.new.state is wanted:
            return


def _worst(seconds: list[float], goal: str) -> str:
    p95 = percentile(seconds, 0.95)
    return f"p95 {p95:.3f} s, max {max(seconds):.3f} s, n {len(seconds)}   goal {goal}"


def lost_and_back() -> list[Figure]:
    """The cable of a scanner and of a scale, pulled and put in again."""
    events: queue.Queue[Event] = queue.Queue()
    with VirtualScanner() as gun:
        scanner = Scanner("s", gun.path, on_event=events.put)
        scanner.start()
        up = lambda: scanner.state().state is DeviceState.UP  # noqa: E731
        gone, back = _replugged(gun, events, up)
        scanner.stop()
    with VirtualScale() as pan:
        pan.start()
        scale = Scale("w", pan.path, protocol="mettler", on_event=events.put)
        scale.start()
        weighs = lambda: scale.state().state is DeviceState.UP  # noqa: E731
        gone_too, back_too = _replugged(pan, events, weighs)
        scale.stop()
    return [
        ("scanner unplugged -> shown", _worst(gone, "<= 0.2 s")),
        ("scanner plugged in -> ready", _worst(back, "p95 <= 1.5 s")),
        ("scale unplugged -> shown", _worst(gone_too, "<= 0.2 s")),
        ("scale plugged in -> weighs", _worst(back_too, "p95 <= 1.5 s")),
    ]


def on_the_pan_to_offered() -> list[Figure]:
    """From goods on the pan to a weight that may be sold by: two agreeing answers, ten a second."""
    events: queue.Queue[Event] = queue.Queue()
    spent = []
    with VirtualScale() as pan:
        pan.start()
        scale = Scale("w", pan.path, protocol="mettler", on_event=events.put)
        scale.start()
        for n in range(40):
            pan.put(0)
            until(lambda: scale.live().why_not == "WEIGHT_NOTHING")
            start = time.perf_counter()
            pan.put(100 + n)
            until(lambda n=n: scale.live().item == 100 + n)  # type: ignore[misc]
            spent.append(time.perf_counter() - start)
        scale.stop()
    return [("goods on the scale -> weight to sell by", spread(spent))]


FIGURES: list[Callable[[], list[Figure]]] = [
    wire_to_event,
    meaning,
    scan_to_row,
    lost_and_back,
    on_the_pan_to_offered,
]


def run() -> list[Figure]:
    return list(itertools.chain.from_iterable(figure() for figure in FIGURES))
