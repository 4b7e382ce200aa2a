"""Serial scanners, each bound to a till; a code counts only while that till's page lives.

The device goes on reading without a page, for a code that is thrown away silently is a lost scan:
here it is kept out of the basket and shown, so that the cashier knows what to scan again.
"""

import queue
import threading
import time
from typing import Final

import msgspec
from sqlalchemy import delete, func, insert, select

from devices.device import Condition, Data, Event, Refused, Status
from devices.scanner import Scanner
from edge.node import ShopNode
from edge.selling import Selling
from edge.tables import missed_scan
from edge.words import Notice, notice, notice_of
from protocol.errors import TillmeshError

ALIVE_S: Final = 15.0
MISSED_MAX: Final = 50


class ScannerView(msgspec.Struct, frozen=True):
    """One till's scanner; `condition` is None when the till has none."""

    till: str
    condition: Condition | None
    enabled: bool


class MissedScan(msgspec.Struct, frozen=True):
    """Scanned while no page lived: not in any basket."""

    n: int
    till: str
    code: str
    at_ms: int


class Scanning:
    """Scans go to `selling.scan` in order; the page hears of the new version on the hub.

    Hub topics: "scanner/{till}" {"state"} on a change of the device; "scan/{till}" {"raw", "code",
    "en", "zh"} for a scan that is in no basket, with the reason.
    """

    def __init__(self, node: ShopNode, selling: Selling) -> None:
        self._node = node
        self._selling = selling
        self._gate = threading.Lock()
        self._pages: dict[str, tuple[float, str]] = {}
        self._events: queue.Queue[tuple[str, Event] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._scanners = {
            till.id: Scanner(
                f"scanner-{till.id}",
                till.scanner,
                on_event=lambda event, till=till.id: self._events.put((till, event)),  # type: ignore[misc]
            )
            for till in node.settings.tills
            if till.scanner
        }

    def till_alive(self, till: str, person: str) -> None:
        """The till's page lives (call every 5 s, or while its event stream is open)."""
        with self._gate:
            self._pages[till] = (time.monotonic(), person)

    def till_gone(self, till: str) -> None:
        """The page went away; scans are kept out from now on."""
        with self._gate:
            self._pages.pop(till, None)

    def _person_at(self, till: str) -> str:
        """Who is at the till's page; "" when no page lives."""
        with self._gate:
            seen, person = self._pages.get(till, (float("-inf"), ""))
        return person if time.monotonic() - seen < ALIVE_S else ""

    def scanners(self) -> list[ScannerView]:
        """All tills with their scanners' condition."""
        views = []
        for till in self._node.settings.tills:
            scanner = self._scanners.get(till.id)
            condition = scanner.state() if scanner else None
            views.append(ScannerView(till.id, condition, bool(self._person_at(till.id))))
        return views

    def _run(self) -> None:
        while (item := self._events.get()) is not None:
            till, event = item
            if isinstance(event, Data):
                self.take(till, event.value)
            elif isinstance(event, Status):
                self._node.hub.publish(f"scanner/{till}", {"state": event.new.state.value})
            elif isinstance(event, Refused):
                self._tell(till, "", notice(event.code, event.params))

    def take(self, till: str, raw: str) -> None:
        """One scan from the till's own scanner."""
        person = self._person_at(till)
        try:
            if person:
                self._selling.scan(till, raw, person)
            else:
                self._keep_out(till, raw)
        except TillmeshError as fault:
            self._tell(till, raw, notice_of(fault))

    def _keep_out(self, till: str, raw: str) -> None:
        with self._node.books.begin() as tx:
            row = {"till": till, "code": raw[:120], "at_ms": self._node.clock.read().at_ms}
            tx.execute(insert(missed_scan), row)
            newest = tx.execute(select(func.max(missed_scan.c.n))).scalar() or 0
            tx.execute(delete(missed_scan).where(missed_scan.c.n <= newest - MISSED_MAX))
        self._tell(till, raw, notice("SCANNER_OFF", {"device": f"scanner-{till}"}))

    def _tell(self, till: str, raw: str, why: Notice) -> None:
        fact = {"raw": raw[:120], "code": why.code, "en": why.en, "zh": why.zh}
        self._node.hub.publish(f"scan/{till}", fact)

    def missed(self, till: str) -> list[MissedScan]:
        """Scans that were kept out, newest first."""
        with self._node.books.database.reading() as connection:
            rows = connection.execute(
                select(missed_scan)
                .where(missed_scan.c.till == till)
                .order_by(missed_scan.c.n.desc())
            )
            return [MissedScan(r.n, r.till, r.code, r.at_ms) for r in rows]

    def dismiss_missed(self, till: str) -> None:
        """The cashier has seen them."""
        with self._node.books.begin() as tx:
            tx.execute(delete(missed_scan).where(missed_scan.c.till == till))

    def start(self) -> None:
        """Start the devices."""
        self._thread = threading.Thread(target=self._run, name="scanning", daemon=True)
        self._thread.start()
        for scanner in self._scanners.values():
            scanner.enable()
            scanner.start()

    def stop(self) -> None:
        """End them."""
        for scanner in self._scanners.values():
            scanner.stop()
        self._events.put(None)
        if self._thread:
            self._thread.join(timeout=5)
