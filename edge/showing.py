"""What the customer sees: the goods, the total, the change; on a pole display and in a window.

A thread of its own hears of every basket and draws the newest one, so that no till ever waits for a
display. Nothing of the cashier is shown, and every display draws itself anew after it was away.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, Protocol

import msgspec

from devices import gbtext
from devices.device import Condition, Event, Status
from devices.display import COLUMNS, Display, DisplayKind
from edge.node import ShopNode
from edge.views import BasketView, LineView
from edge.weighing import WeighingView
from protocol.errors import TillmeshError
from protocol.events import SaleCompleted
from protocol.money import format_minor
from protocol.node.hub import Fact
from protocol.quantity import format_milli

PAID_S: Final = 60.0  # the change stands so long, or until the next goods
_HEARD: Final = frozenset({"basket", "weigh", "sale", "lost"})
_STOP: Final = Fact("stop", "{}")
_WORDS: Final = {  # en, zh
    "welcome": ("WELCOME", "欢迎光临"),
    "total": ("TOTAL", "合计"),
    "change": ("CHANGE", "找零"),
    "thanks": ("THANK YOU", "谢谢惠顾"),
}

Phase = Literal["welcome", "sale", "weigh", "paid"]


class CustomerLine(msgspec.Struct, frozen=True):
    """One row as the customer sees it."""

    line: int
    zh: str
    en: str
    qty_milli: int
    unit: str
    unit_price_minor: int
    gross_minor: int
    net_minor: int
    promotions_zh: tuple[str, ...]
    promotions_en: tuple[str, ...]


class CustomerWeighing(msgspec.Struct, frozen=True):
    """What lies on the scale; None while there is no weight to sell by."""

    zh: str
    en: str
    unit: str
    unit_price_minor: int
    tare_g: int
    net_g: int | None
    price_minor: int | None


class CustomerView(msgspec.Struct, frozen=True, kw_only=True):
    """One picture. `total_minor` and `change_minor` are of the sale that was paid in phase paid."""

    phase: Phase
    version: int
    lines: tuple[CustomerLine, ...] = ()
    items_milli: int = 0
    total_minor: int = 0
    saved_minor: int = 0
    given_minor: int = 0
    change_minor: int = 0
    weighing: CustomerWeighing | None = None


class DisplayView(msgspec.Struct, frozen=True):
    """One till's pole display; `condition` is None when the till has none."""

    till: str
    condition: Condition | None


class _Paid(msgspec.Struct, frozen=True):
    total_minor: int
    given_minor: int
    change_minor: int
    at: float  # time.monotonic


class Baskets(Protocol):
    """What `edge.selling` gives."""

    def view(self, till: str) -> BasketView:
        """The basket as it stands."""
        ...

    def sale(self, sale: str) -> SaleCompleted | None:
        """A recorded sale."""
        ...


class Showing:
    """The customer's pictures of all tills. Hub topic: "display/{till}" {"state"}."""

    def __init__(
        self, node: ShopNode, selling: Baskets, weighing: Callable[[str], WeighingView | None]
    ) -> None:
        self._node = node
        self._selling = selling
        self._weighing = weighing
        self._gate = threading.Lock()
        self._paid: dict[str, _Paid] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._facts: queue.Queue[Fact] | None = None
        self._displays = {
            till.id: (
                Display(
                    f"display-{till.id}",
                    till.display,
                    on_event=self._heard(till.id),
                    kind=DisplayKind(dialect=till.display_kind, gb=till.display_gb),
                ),
                till.display_gb,
            )
            for till in node.settings.tills
            if till.display
        }

    def _heard(self, till: str) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            if isinstance(event, Status):
                self._node.hub.publish(f"display/{till}", {"state": event.new.state.value})

        return tell

    def displays(self) -> list[DisplayView]:
        """All tills with their displays' condition."""
        return [
            DisplayView(t.id, found[0].state() if (found := self._displays.get(t.id)) else None)
            for t in self._node.settings.tills
        ]

    def picture(self, till: str) -> CustomerView:
        """What the customer of this till sees now."""
        view = self._selling.view(till)
        if view.to_weigh and (now := self._weighing(till)) is not None:
            weighing = CustomerWeighing(
                now.zh, now.en, now.unit, now.unit_price_minor, now.tare_g, now.net_g,
                now.price_minor,
            )  # fmt: skip
            return msgspec.structs.replace(_of_sale(view, "weigh"), weighing=weighing)
        if any(x.kind == "product" for x in view.lines):
            return _of_sale(view, "sale")
        with self._gate:
            paid = self._paid.get(till)
        if paid is None or time.monotonic() - paid.at > PAID_S:
            return CustomerView(phase="welcome", version=view.version)
        return CustomerView(
            phase="paid",
            version=view.version,
            total_minor=paid.total_minor,
            given_minor=paid.given_minor,
            change_minor=paid.change_minor,
        )

    # -- the thread -----------------------------------------------------------------------------

    def _run(self, facts: "queue.Queue[Fact]") -> None:
        due = dict.fromkeys(self._displays, 0.0)  # when to draw a till anew, monotonic
        while not self._stopping.is_set():
            for till in [till for till, at in due.items() if time.monotonic() >= at]:
                due[till] = time.monotonic() + PAID_S  # an old change gives way to the welcome
                self._draw(till)
            for fact in _waiting(facts, min(due.values(), default=time.monotonic() + PAID_S)):
                topic, _slash, till = fact.topic.partition("/")
                if topic == "sale":
                    till = self._remember(fact)
                for one in due if topic == "lost" else {till} & due.keys():
                    due[one] = 0.0

    def _remember(self, fact: Fact) -> str:
        """Keep what was paid for the customer; the till it was at."""
        said = msgspec.json.decode(fact.data, type=dict[str, object])
        sale = self._selling.sale(str(said["sale"]))
        if sale is None or sale.till not in {till.id for till in self._node.settings.tills}:
            return ""
        given = sum(tender.given_minor for tender in sale.tenders)
        paid = _Paid(sale.total_minor, given, sale.change_minor, time.monotonic())
        with self._gate:
            self._paid[sale.till] = paid
        return sale.till

    def _draw(self, till: str) -> None:
        display, gb = self._displays[till]
        try:
            picture = self.picture(till)
        except TillmeshError:  # the database is away: the last picture stands
            return
        display.show(*two_lines(picture, chinese=gb, currency=self._node.settings.currency))

    def start(self) -> None:
        """Start the displays, and hear of baskets."""
        started = threading.Event()

        def run() -> None:
            with self._node.hub.subscribe() as facts:
                self._facts = facts
                started.set()
                self._run(facts)

        self._thread = threading.Thread(target=run, name="showing", daemon=True)
        self._thread.start()
        started.wait(5)
        for display, _ in self._displays.values():
            display.start()

    def stop(self) -> None:
        """End them."""
        self._stopping.set()
        if self._facts is not None:
            self._node.hub.publish("stop", {})
        if self._thread:
            self._thread.join(timeout=5)
        for display, _ in self._displays.values():
            display.stop()


def _waiting(facts: "queue.Queue[Fact]", until: float) -> list[Fact]:
    """What has come, at least one unless `until` passes: a burst is drawn once."""
    found = []
    try:
        found.append(facts.get(timeout=max(0.01, until - time.monotonic())))
        while True:
            found.append(facts.get_nowait())
    except queue.Empty:
        return [fact for fact in found if fact.topic.partition("/")[0] in _HEARD]


def _of_sale(view: BasketView, phase: Phase) -> CustomerView:
    return CustomerView(
        phase=phase,
        version=view.version,
        lines=tuple(_line(x) for x in view.lines if x.kind == "product"),
        items_milli=view.items_milli,
        total_minor=view.total_minor,
        saved_minor=view.discount_minor,
    )


def _line(line: LineView) -> CustomerLine:
    return CustomerLine(
        line.line, line.zh, line.en, line.qty_milli, line.unit, line.unit_price_minor,
        line.gross_minor, line.net_minor,
        tuple(one.zh for one in line.promotions), tuple(one.en for one in line.promotions),
    )  # fmt: skip


def two_lines(picture: CustomerView, *, chinese: bool, currency: str) -> tuple[str, str]:
    """A picture for twice twenty columns; without Chinese in the display's ROM, in English.

    >>> two_lines(CustomerView(phase="welcome", version=0), chinese=False, currency="CNY")
    ('WELCOME', '')
    """

    def word(key: str) -> str:
        return _WORDS[key][chinese]

    def money(minor: int) -> str:
        return format_minor(minor, currency).lstrip("¥")

    if picture.phase == "paid":
        thanks = row(word("total"), money(picture.total_minor))
        return thanks, row(word("change"), money(picture.change_minor))
    if picture.phase == "weigh" and picture.weighing is not None:
        goods = picture.weighing
        name = goods.zh if chinese else goods.en
        if goods.net_g is None or goods.price_minor is None:
            return row(name, f"{money(goods.unit_price_minor)}/{goods.unit}"), ""
        weight = f"{format_milli(goods.net_g)}kg"
        return row(name, weight), row("", money(goods.price_minor))
    if not picture.lines:
        return word("welcome"), ""
    last = picture.lines[-1]
    name = last.zh if chinese else last.en
    if last.qty_milli != 1000:
        name = f"{format_milli(last.qty_milli)} {name}"
    return row(name, money(last.net_minor)), row(word("total"), money(picture.total_minor))


def row(left: str, right: str) -> str:
    """Left and right in one line of the display; an amount is never cut, a name may be."""
    return gbtext.pad(left, COLUMNS - 1 - gbtext.columns(right)) + " " + right
