"""Printers of the tills: paper is decided in the sale's transaction and printed after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from devices import spool
from devices.device import Condition, DeviceState, Event, Status
from devices.printer import Printer
from devices.printworker import PrintWorker
from devices.receipt import Block, profile
from devices.spool import PrintJob, PrintRequest, kick_request
from edge.node import ShopNode
from edge.settings import TillSettings
from protocol.errors import Refusal, Unavailable, define

KICK_MS: Final = 10_000  # a drawer that opens later than this is a theft

define(
    {
        "NO_PRINTER": (
            "Till {till} has no printer in the settings. The sale is kept.",
            "收银台 {till} 没有设置打印机。销售已保存。",
        ),
        "NO_DRAWER": (
            "Till {till} has no drawer in the settings.",
            "收银台 {till} 没有设置钱箱。",
        ),
    }
)


class PrinterView(msgspec.Struct, frozen=True):
    """One till's printer; `condition` is None when the till has none."""

    till: str
    condition: Condition | None
    waiting: int


class Printing:
    """One worker per printer. It is called "printer-{till}" after the first till that names it.

    Tills may share one: a device has one owner, and each till may have its own drawer on it.
    """

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        self._drawers = {
            till.id: till.drawer_pin for till in node.settings.tills if till.drawer and till.printer
        }
        self._owners: dict[str, str] = {}  # address -> the till that its printer is called after
        self._printers: dict[str, Printer] = {}  # till -> its printer, shared or not
        self._workers: dict[str, PrintWorker] = {}
        for till in node.settings.tills:
            if till.printer:
                owner = self._owners.setdefault(till.printer, till.id)
                if owner == till.id:
                    self._add(till)
                else:
                    self._printers[till.id] = self._printers[owner]
                    self._workers[till.id] = self._workers[owner]

    def _add(self, till: TillSettings) -> None:
        printer = Printer(
            f"printer-{till.id}",
            till.printer,
            profile=profile(till.profile),
            on_event=lambda event: self._heard(till.printer, event),
        )
        self._printers[till.id] = printer
        self._workers[till.id] = PrintWorker(
            self._begin,
            printer,
            now_ms=lambda: self._node.clock.read().at_ms,
            on_job=lambda job: self._moved(till.printer, job),
        )

    def _tills_at(self, address: str) -> list[str]:
        return [till.id for till in self._node.settings.tills if till.printer == address]

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        """A write transaction whose faults the worker knows."""
        try:
            with self._node.books.database.begin() as tx:
                yield tx
        except Unavailable as fault:
            if isinstance(fault.__cause__, SQLAlchemyError):
                raise fault.__cause__ from fault
            raise

    def _heard(self, address: str, event: Event) -> None:
        if isinstance(event, Status):
            for till in self._tills_at(address):
                self._node.hub.publish(f"printer/{till}", {"state": event.new.state.value})
            if event.new.state is not DeviceState.DOWN:
                self.wake(self._owners[address])

    def _moved(self, address: str, job: PrintJob) -> None:
        fact = {"job": job.id, "state": job.state.value, "error": job.error}
        for till in self._tills_at(address):
            self._node.hub.publish(f"printer/{till}", fact)

    def has_printer(self, till: str) -> bool:
        """Is a printer set for this till?"""
        return till in self._printers

    def ready(self, till: str) -> bool:
        """Has this till's worker settled what an earlier run left?"""
        worker = self._workers.get(till)
        return worker is not None and worker.ready.is_set()

    def enqueue(
        self, tx: Connection, till: str, job: str, blocks: Sequence[Block], *, copy_no: int = 0
    ) -> bool:
        """Put paper into the spool, inside the caller's transaction; False without a printer."""
        printer = self._printers.get(till)
        if printer is None:
            return False
        request = PrintRequest(id=job, device=printer.name, blocks=blocks, copy_no=copy_no)
        return spool.enqueue(tx, request, at_ms=self._node.clock.read().at_ms)

    def kick(self, tx: Connection, till: str, job: str) -> bool:
        """Put a drawer's pulse into the spool; False when the till has no drawer."""
        pin = self._drawers.get(till)
        if pin is None:
            return False
        now = self._node.clock.read().at_ms
        request = msgspec.structs.replace(
            kick_request(job, self._printers[till].name, pin=pin), expires_ms=now + KICK_MS
        )
        return spool.enqueue(tx, request, at_ms=now)

    def open_drawer(self, till: str) -> None:
        """Open the drawer now; NO_DRAWER when the till has none."""
        with self._node.books.begin() as tx:
            if not self.kick(tx, till, f"kick-{self._node.new_id()}"):
                raise Refusal("NO_DRAWER", till=till)
        self.wake(till)

    def demand_printer(self, till: str) -> None:
        """Raise NO_PRINTER when the till has none."""
        if till not in self._printers:
            raise Refusal("NO_PRINTER", till=till)

    def wake(self, till: str) -> None:
        """After the commit: there is work."""
        worker = self._workers.get(till)
        if worker is not None:
            worker.wake()

    def printers(self) -> list[PrinterView]:
        """All tills with their printers' condition."""
        views = []
        with self._node.books.database.reading() as connection:
            for till in self._node.settings.tills:
                printer = self._printers.get(till.id)
                waiting = spool.waiting(connection, printer.name) if printer else 0
                views.append(PrinterView(till.id, printer.state() if printer else None, waiting))
        return views

    def jobs(self, till: str = "", *, limit: int = 30) -> list[PrintJob]:
        """The newest jobs; `error` and `error_params` say what holds one up."""
        with self._node.books.database.reading() as connection:
            printer = self._printers.get(till)
            device = (printer.name if printer else f"printer-{till}") if till else None
            return spool.jobs(connection, device=device, limit=limit)

    def print_again(self, job: str) -> bool:
        """A person looked: print it (again), marked when it may be a copy."""
        with self._node.books.begin() as tx:
            done = spool.reprint(tx, job, at_ms=self._node.clock.read().at_ms)
        for till in self._owners.values():
            self.wake(till)
        return done

    def drop(self, job: str) -> bool:
        """A person looked: no paper wanted."""
        with self._node.books.begin() as tx:
            return spool.drop(tx, job, at_ms=self._node.clock.read().at_ms)

    def start(self) -> None:
        """Start devices and workers; jobs of a printer that another till owns by now move over."""
        with self._node.books.begin() as tx:
            for till, printer in self._printers.items():
                spool.hand_over(tx, f"printer-{till}", printer.name)
        for till in self._owners.values():
            self._printers[till].start()
            self._workers[till].start()

    def stop(self) -> None:
        """End them; what waits is printed after the next start."""
        for till in self._owners.values():
            self._workers[till].stop()
        for till in self._owners.values():
            self._printers[till].stop()
