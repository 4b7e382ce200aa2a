"""A whole shop of devices: per till a printer with its drawer and a scanner, and one page for all.

with VirtualShop(["t1", "t2"], name="Bakery A") as shop:
shop.printer_url("t1"), shop.scanner_url("t1"), shop.page_url
shop.scan("t1", "6901028075831")
shop.receipts("t1")[-1]
"""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cheroot import wsgi

from devices.sim.page import create_page
from devices.sim.vprinter import VirtualPrinter
from devices.sim.vserial import VirtualScanner

HOST: Final = "127.0.0.1"
THREADS: Final = 6


class VirtualTill:
    """What stands at one till."""

    def __init__(self, name: str, *, scanner_path: str, columns: int, dots: int) -> None:
        self.name = name
        self.printer = VirtualPrinter(columns=columns, dots=dots)
        self.scanner = VirtualScanner(scanner_path)


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
        columns: int = 48,
    ) -> None:
        """Build the devices; `start` lets them answer.

        Args:
            tills: their names, as the shop's settings know them.
            http_port: of the page on the loopback address; 0 takes a free one.
            name: of the shop, for the page.
            folder: where the scanners' paths live (stable names across runs); "" makes one.
            goods: (label, code) pairs that the page offers as scan buttons.
            columns: of the printers, 48 (576 dots) or 32 (384 dots).
        """
        self.name = name or "Tillmesh"
        self.goods = list(goods)
        self._own_folder = not folder
        self._folder = Path(folder or tempfile.mkdtemp(prefix="tillmesh-shop-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self.tills = {
            till: VirtualTill(
                till,
                scanner_path=str(self._folder / f"scanner-{till}"),
                columns=columns,
                dots=columns * 12,
            )
            for till in tills
        }
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

    def scan(self, till: str, code: str) -> bool:
        """Pull the trigger; False when the scanner is unplugged."""
        return self.tills[till].scanner.scan(code)

    def receipts(self, till: str) -> list[str]:
        """The text grids of all papers of this till, torn ones included."""
        return self.tills[till].printer.receipts()

    def faults(self) -> dict[str, list[str]]:
        """Per till what its strict printer did not understand; empty when all is well."""
        found = {name: till.printer.faults for name, till in self.tills.items()}
        return {name: faults for name, faults in found.items() if faults}

    def start(self) -> None:
        """Let printers answer and the page be seen; OSError when the page's port is in use."""
        for till in self.tills.values():
            till.printer.start()
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
        for till in self.tills.values():
            till.printer.stop()
            till.scanner.close()
        if self._own_folder:
            shutil.rmtree(self._folder, ignore_errors=True)
