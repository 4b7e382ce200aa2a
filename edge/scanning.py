"""Serial scanners, each bound to a till; a code counts only while that till's page lives.

The page itself says that it lives, that it can be seen, and what it shows: a computer that lost its
power says nothing, and a stream to it would look open for minutes. The device goes on reading
without a page, for a code that is thrown away silently is a lost scan: here it is kept out of the
basket and shown, so that the cashier knows what to scan again.
"""

import queue
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import delete, func, insert, select

from devices.device import Condition, Data, Event, Refused, Status
from devices.scan import PayCode, mask
from devices.scanner import Scanner
from edge.node import ShopNode
from edge.recognising import Recogniser
from edge.selling import Selling
from edge.tables import missed_scan
from edge.words import Notice, notice, notice_of
from protocol.errors import TillmeshError

ALIVE_S: Final = 15.0
MISSED_MAX: Final = 50


class Screen(StrEnum):
    """What a till's page shows; it decides what a payment code is."""

    SALE = "sale"
    TENDER = "tender"  # money is being taken: payment codes count


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


class _Page(msgspec.Struct, frozen=True):
    seen: float = float("-inf")  # time.monotonic
    person: str = ""
    screen: Screen = Screen.SALE
    page: str = ""  # its own id: the last word of a page that was left must not silence the next


class Scanning:
    """Scans go to `selling.scan` in order; the page hears of the new version on the hub.

    A payment code on the tender screen goes to `on_pay_code(till, code, person)`, and nowhere else.
    Hub topics: "scanner/{till}" {"state"} on a change of the device; "scan/{till}" {"raw", "code",
    "en", "zh"} for a scan that is in no basket, with the reason; "paycode/{till}" {"code",
    "provider"}, for that till's page alone, while nobody set `on_pay_code`.
    """

    def __init__(self, node: ShopNode, selling: Selling, recogniser: Recogniser) -> None:
        self._node = node
        self._selling = selling
        self._recogniser = recogniser
        self.on_pay_code: Callable[[str, PayCode, str], None] = self._hand_to_page
        self._gate = threading.Lock()
        self._pages: dict[str, _Page] = {}
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

    def till_alive(
        self, till: str, person: str, screen: Screen = Screen.SALE, *, page: str = ""
    ) -> None:
        """The till's page can be seen and shows `screen`; it says so every 4 s and on a change."""
        with self._gate:
            self._pages[till] = _Page(time.monotonic(), person, screen, page)

    def till_gone(self, till: str, *, page: str = "") -> None:
        """The page went away or is hidden; scans are kept out from now on."""
        with self._gate:
            if self._pages.get(till, _Page()).page == page:
                self._pages.pop(till, None)

    def _page_at(self, till: str) -> _Page:
        """What the till's page said last; nobody's when no page lives."""
        with self._gate:
            page = self._pages.get(till, _Page())
        return page if time.monotonic() - page.seen < ALIVE_S else _Page()

    def scanners(self) -> list[ScannerView]:
        """All tills with their scanners' condition."""
        views = []
        for till in self._node.settings.tills:
            scanner = self._scanners.get(till.id)
            condition = scanner.state() if scanner else None
            views.append(ScannerView(till.id, condition, bool(self._page_at(till.id).person)))
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
        """One scan from the till's own scanner: what it is and what the page shows decide."""
        page = self._page_at(till)
        try:
            if not page.person:
                self._keep_out(till, raw)
                return
            if page.screen is Screen.TENDER:
                with self._node.books.database.reading() as connection:
                    scan = self._recogniser.meaning(connection, raw, tender=True)
                if isinstance(scan, PayCode):
                    self.on_pay_code(till, scan, page.person)
                    return
            self._selling.scan(till, raw, page.person)
        except TillmeshError as fault:
            self._tell(till, raw, notice_of(fault))
        except Exception as fault:  # noqa: BLE001 - one scan's bug must not end all scanning
            self._tell(till, raw, notice("INTERNAL", {"reference": repr(fault)[:60]}))

    def _hand_to_page(self, till: str, scan: PayCode, person: str) -> None:  # noqa: ARG002
        self._node.hub.publish(f"paycode/{till}", {"code": scan.code, "provider": scan.provider})

    def _keep_out(self, till: str, raw: str) -> None:
        with self._node.books.begin() as tx:
            row = {"till": till, "code": mask(raw)[:120], "at_ms": self._node.clock.read().at_ms}
            tx.execute(insert(missed_scan), row)
            newest = tx.execute(select(func.max(missed_scan.c.n))).scalar() or 0
            tx.execute(delete(missed_scan).where(missed_scan.c.n <= newest - MISSED_MAX))
        self._tell(till, raw, notice("SCANNER_OFF", {"device": f"scanner-{till}"}))

    def _tell(self, till: str, raw: str, why: Notice) -> None:
        fact = {"raw": mask(raw)[:120], "code": why.code, "en": why.en, "zh": why.zh}
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
