"""A whole shop of devices: per till a printer with its drawer and a scanner, and one page for all.

With `kit=Kit(full=True)` also per till a scale and a customer display, per shop a label printer and
a payment provider.

with VirtualShop(["t1", "t2"], name="Bakery A") as shop:
shop.printer_url("t1"), shop.scanner_url("t1"), shop.page_url
shop.scan("t1", "6901028075831")
shop.receipts("t1")[-1]
"""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cheroot import wsgi

from devices.sim.page import create_page
from devices.sim.vcard import VirtualTerminal
from devices.sim.vdisplay import VirtualDisplay
from devices.sim.vlabel import VirtualLabelPrinter
from devices.sim.vntp import VirtualNtp
from devices.sim.vpay import VirtualProvider
from devices.sim.vprinter import VirtualPrinter
from devices.sim.vscale import VirtualScale
from devices.sim.vserial import VirtualScanner

HOST: Final = "127.0.0.1"
THREADS: Final = 6


@dataclass(frozen=True)
class Kit:
    """What a virtual shop has.

    `columns` of the printers: 48 (576 dots) or 32 (384 dots). `full`: scales, displays, a label
    printer and payments too. `payments`: a provider of scan-pay, and a card terminal per till.
    `time_servers`: whoever made them ends them; the page can make them lie.
    """

    columns: int = 48
    full: bool = False
    payments: bool = False
    time_servers: tuple[VirtualNtp, ...] = ()


class VirtualTill:
    """What stands at one till."""

    printer: VirtualPrinter
    scanner: VirtualScanner
    scale: VirtualScale | None
    display: VirtualDisplay | None
    terminal: VirtualTerminal | None

    def __init__(self, name: str, folder: Path, kit: Kit) -> None:
        full = kit.full
        self.name = name
        self.printer = VirtualPrinter(columns=kit.columns, dots=kit.columns * 12)
        self.scanner = VirtualScanner(str(folder / f"scanner-{name}"))
        self.scale = VirtualScale(str(folder / f"scale-{name}")) if full else None
        self.display = VirtualDisplay(str(folder / f"display-{name}")) if full else None
        self.terminal = VirtualTerminal() if full or kit.payments else None

    def start(self) -> None:
        """Let everything answer."""
        for device in (self.printer, self.scale, self.display, self.terminal):
            if device is not None:
                device.start()

    def stop(self) -> None:
        """Switch everything off."""
        self.printer.stop()
        for line in (self.scanner, self.scale, self.display):
            if line is not None:
                line.close()
        if self.terminal is not None:
            self.terminal.stop()


class VirtualShop:
    """All devices of a shop on sockets and ptys, speaking bytes; strict about what they get."""

    def __init__(
        self,
        tills: Sequence[str],
        http_port: int = 0,
        *,
        name: str = "",
        folder: str = "",
        goods: Sequence[tuple[str, str]] = (),
        kit: Kit | None = None,
    ) -> None:
        """Build the devices; `start` lets them answer.

        Args:
            tills: their names, as the shop's settings know them.
            http_port: of the page on the loopback address; 0 takes a free one.
            name: of the shop, for the page.
            folder: where the scanners' paths live (stable names across runs); "" makes one.
            goods: (label, code) pairs that the page offers as scan buttons.
            kit: what stands there; a printer of 48 columns and a scanner when not given.
        """
        kit = kit or Kit()
        self.name = name or "Tillmesh"
        self.goods = list(goods)
        self._own_folder = not folder
        self._folder = Path(folder or tempfile.mkdtemp(prefix="tillmesh-shop-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self.tills = {till: VirtualTill(till, self._folder, kit) for till in tills}
        self.time_servers = kit.time_servers
        self.labels = VirtualLabelPrinter() if kit.full else None
        self.provider = VirtualProvider() if kit.full or kit.payments else None
        self._http_port = http_port
        self._server: wsgi.Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def page_url(self) -> str:
        """The address of the page; known after `start`."""
        return f"http://{HOST}:{self._http_port}/"

    def printer_url(self, till: str) -> str:
        """What the till's settings name as its printer."""
        return self.tills[till].printer.url

    def scanner_url(self, till: str) -> str:
        """What the till's settings name as its scanner."""
        return self.tills[till].scanner.path

    def scale_url(self, till: str) -> str:
        """What the till's settings name as its scale (Mettler); only in a full shop."""
        scale = self.tills[till].scale
        return scale.path if scale is not None else ""

    def display_url(self, till: str) -> str:
        """What the till's settings name as its display; only in a full shop."""
        display = self.tills[till].display
        return display.path if display is not None else ""

    def card_url(self, till: str) -> str:
        """What the till's settings name as its card terminal; only where payments are."""
        terminal = self.tills[till].terminal
        return terminal.url if terminal is not None else ""

    def scan(self, till: str, code: str) -> bool:
        """Pull the trigger; False when the scanner is unplugged."""
        return self.tills[till].scanner.scan(code)

    def receipts(self, till: str) -> list[str]:
        """The text grids of all papers of this till, torn ones included."""
        return self.tills[till].printer.receipts()

    def faults(self) -> dict[str, list[str]]:
        """Per device what it, being strict, did not understand; empty when all is well."""
        found = {name: till.printer.faults for name, till in self.tills.items()}
        for name, till in self.tills.items():
            found[f"scale-{name}"] = till.scale.faults if till.scale is not None else []
            found[f"display-{name}"] = (
                till.display.screen.faults if till.display is not None else []
            )
            found[f"card-{name}"] = till.terminal.faults if till.terminal is not None else []
        found["labels"] = self.labels.reader.faults if self.labels is not None else []
        return {name: faults for name, faults in found.items() if faults}

    def start(self) -> None:
        """Let printers answer and the page be seen; OSError when the page's port is in use."""
        for part in (*self.tills.values(), self.labels, self.provider):
            if part is not None:
                part.start()
        server = wsgi.Server((HOST, self._http_port), create_page(self), numthreads=THREADS)
        server.prepare()
        self._http_port = server.bind_addr[1]
        self._server = server
        self._thread = threading.Thread(target=server.serve, name="virtual-shop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Switch everything off and give all back."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._thread is not None:
            self._thread.join(5)
        for part in (*self.tills.values(), self.labels, self.provider):
            if part is not None:
                part.stop()
        if self._own_folder:
            shutil.rmtree(self._folder, ignore_errors=True)
