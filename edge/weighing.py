"""Weighed goods at a till: what waits for its weight, what lies on the scale, and the row it makes.

A row is made from what the till's scale offers at that moment, never from what a page sends. By
hand a weight is taken only while the scale is down (or there is none), and the row says so.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as NoAnswer
from typing import Final, Literal

import msgspec

from devices.device import Condition, DeviceState, Event, Status
from devices.scale import Live, Offer, Scale
from devices.weighing import in_unit, net_of
from edge import till as pure
from edge.baskets import Baskets
from edge.node import ShopNode
from edge.people import People
from edge.till import BasketLine, BasketState, Weight
from edge.words import Notice, notice, notice_of
from protocol.errors import Refusal, TillmeshError, Unavailable, define
from protocol.money import half_up_ratio

ANSWER_S: Final = 2.0
TARE_MAX_G: Final = 5_000

define(
    {
        "WEIGH_ON_SCALE": (
            "The scale of this till works: put the goods on it. A weight is typed only while it is "
            "down; nothing was changed.",
            "本收银台电子秤工作正常，请放秤上称重。仅在电子秤故障时可手工输入；没有任何更改。",
        ),
        "WEIGH_BY_HAND": (
            "There is no scale at this till. Type the weight, or use a scale label.",
            "本收银台没有电子秤。请手工输入重量或使用秤签。",
        ),
    }
)


class ScaleView(msgspec.Struct, frozen=True):
    """One till's scale; `condition` is None when the till has none."""

    till: str
    condition: Condition | None


class WeighingView(msgspec.Struct, frozen=True, kw_only=True):
    """What the till's page shows while goods wait for their weight; nothing is computed there."""

    line: int
    sku: str
    zh: str
    en: str
    unit: str
    decimals: int
    unit_price_minor: int
    tare_g: int
    gross_g: int | None  # None: no weight to show
    net_g: int | None
    price_minor: int | None
    state: Literal["ready", "wait", "down"]  # down: the scale cannot be used
    why: Notice | None
    manual: bool  # a typed weight is taken
    more: int  # how many others wait behind this one


class Weighing:
    """The scales of the tills, and the verbs that need them.

    Hub topics: "scale/{till}" {"state"} on a change of the device; "weigh/{till}" is a WeighingView
    whenever the pan changes while goods wait.
    """

    def __init__(self, node: ShopNode, baskets: Baskets, people: People) -> None:
        self._node = node
        self._baskets = baskets
        self._people = people
        self._events: queue.Queue[tuple[str, Event | Live] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._scales = {
            till.id: Scale(
                f"scale-{till.id}",
                till.scale,
                protocol=till.scale_kind,
                on_event=self._heard(till.id),
                on_live=self._heard(till.id),
            )
            for till in node.settings.tills
            if till.scale
        }

    def _heard(self, till: str) -> Callable[[Event | Live], None]:
        return lambda event: self._events.put((till, event))

    def scales(self) -> list[ScaleView]:
        """All tills with their scales' condition."""
        return [
            ScaleView(till.id, scale.state() if (scale := self._scales.get(till.id)) else None)
            for till in self._node.settings.tills
        ]

    def by_hand_allowed(self, till: str) -> bool:
        """May a weight be typed: the till has no scale, or it cannot be used now."""
        scale = self._scales.get(till)
        return scale is None or scale.state().state is not DeviceState.UP

    def demand_by_hand(self, till: str) -> None:
        """Raise WEIGH_ON_SCALE while the till's scale works."""
        if not self.by_hand_allowed(till):
            raise Refusal("WEIGH_ON_SCALE")

    # -- look -----------------------------------------------------------------------------------

    def now(self, till: str) -> WeighingView | None:
        """The first goods that wait, and what lies on the pan; None when nothing waits."""
        with self._node.books.database.reading() as connection:
            state = self._baskets.load(connection, till).state
        if not state.to_weigh:
            return None
        line, scale = state.to_weigh[0], self._scales.get(till)
        condition = scale.state() if scale else None
        if condition is None:
            return self._view(state, line, "down", why=notice("WEIGH_BY_HAND"))
        if condition.state is DeviceState.DOWN or scale is None:
            why = Notice(condition.code, condition.sentence("en"), condition.sentence("zh"))
            return self._view(state, line, "down", why=why)
        return self._on_pan(till, state, line, scale.live())

    def _on_pan(self, till: str, state: BasketState, line: BasketLine, live: Live) -> WeighingView:
        manual = self.by_hand_allowed(till)
        if live.item is None:
            return self._view(state, line, "wait", why=notice(live.why_not), manual=manual)
        try:
            net_g = net_of(live.item, _tare(line))
            price = half_up_ratio(line.unit_price_minor * in_unit(net_g, line.unit), 1000)
        except TillmeshError as fault:
            view = self._view(state, line, "wait", why=notice_of(fault), manual=manual)
            return msgspec.structs.replace(view, gross_g=live.item)
        view = self._view(state, line, "ready", why=None, manual=manual)
        return msgspec.structs.replace(view, gross_g=live.item, net_g=net_g, price_minor=price)

    @staticmethod
    def _view(
        state: BasketState,
        line: BasketLine,
        is_now: Literal["ready", "wait", "down"],
        *,
        why: Notice | None,
        manual: bool = True,
    ) -> WeighingView:
        return WeighingView(
            line=line.line,
            sku=line.sku,
            zh=line.name.get("zh", line.sku),
            en=line.name.get("en", line.sku),
            unit=line.unit,
            decimals=line.decimals,
            unit_price_minor=line.unit_price_minor,
            tare_g=_tare(line),
            gross_g=None,
            net_g=None,
            price_minor=None,
            state=is_now,
            why=why,
            manual=manual,
            more=len(state.to_weigh) - 1,
        )

    # -- do -------------------------------------------------------------------------------------

    def set_tare(self, till: str, line: int, tare_g: int, *, person: str) -> None:
        """The bag or the bowl weighs so much."""
        self._people.demand(person, "sell")
        if not 0 <= tare_g <= TARE_MAX_G:
            raise Refusal("WEIGHT_TARE", tare=tare_g, gross=TARE_MAX_G)
        self._baskets.change(till, lambda state: pure.set_tare(state, line, tare_g))
        self._tell(till)

    def weigh(self, till: str, line: int, *, person: str) -> None:
        """Make the row from what lies on the pan now; WEIGHT_* or the scale's own trouble."""
        self._people.demand(person, "sell")
        scale = self._scales.get(till)
        if scale is None:
            raise Refusal("WEIGH_BY_HAND")
        with self._baskets.lock(till):
            offer = self._offer(scale)

            def step(state: BasketState) -> BasketState:
                tare_g = _tare(pure.waiting(state, line))
                return pure.weighed(state, line, Weight("scale", offer.grams, tare_g))

            self._baskets.change(till, step)
            scale.sold(offer)

    @staticmethod
    def _offer(scale: Scale) -> Offer:
        try:
            return scale.offer().result(timeout=ANSWER_S)
        except NoAnswer:
            raise Unavailable("SCALE_SILENT", device=scale.name) from None

    def weigh_by_hand(self, till: str, line: int, qty_milli: int, *, person: str) -> None:
        """Make the row from a typed net weight; WEIGH_ON_SCALE while the scale works."""
        self._people.demand(person, "sell")
        self.demand_by_hand(till)
        self._baskets.change(till, lambda state: pure.weighed_by_hand(state, line, qty_milli))

    def put_aside(self, till: str, line: int, *, person: str) -> None:
        """These goods are not sold."""
        self._people.demand(person, "sell")
        self._baskets.change(till, lambda state: pure.not_weighed(state, line))

    # -- the pan --------------------------------------------------------------------------------

    def _tell(self, till: str) -> None:
        view = self.now(till)
        if view is not None:
            self._node.hub.publish(f"weigh/{till}", view)

    def _run(self) -> None:
        while (item := self._events.get()) is not None:
            till, event = item
            if isinstance(event, Status):
                self._node.hub.publish(f"scale/{till}", {"state": event.new.state.value})
            try:
                self._tell(till)
            except TillmeshError:  # the database is away: the page asks again by itself
                continue

    def start(self) -> None:
        """Start the scales."""
        self._thread = threading.Thread(target=self._run, name="weighing", daemon=True)
        self._thread.start()
        for scale in self._scales.values():
            scale.start()

    def stop(self) -> None:
        """End them."""
        for scale in self._scales.values():
            scale.stop()
        self._events.put(None)
        if self._thread:
            self._thread.join(timeout=5)


def _tare(line: BasketLine) -> int:
    return line.weight.tare_g if line.weight is not None else 0
