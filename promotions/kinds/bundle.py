"""bundle {slots, effect, favor, allocation}: take these units together, and these get cheaper.

Buy 2 get 1 = one slot of 3, free, cheapest:1. Second at half price = slot of 2, percent 50,
cheapest:1. N for a price = slot of N, fixed_price, all. A meal deal has several slots.
"""

import msgspec

from promotions.figures import Ratio, scaled
from promotions.reading import Reader
from promotions.scope import EVERYTHING, Selector, read_selector

FREE: Ratio = (1, 1)


class Slot(msgspec.Struct, frozen=True, gc=False):
    """So many units of these goods."""

    select: Selector
    qty: int


class Bundle(msgspec.Struct, frozen=True, gc=False):
    """`how` is percent, amount or fixed_price (free is 100 percent); `on` with its number."""

    slots: tuple[Slot, ...]
    how: str
    ratio: Ratio
    figure: int
    on: str
    count: int
    retailer: bool
    spread: bool

    @property
    def size(self) -> int:
        """Units of one application."""
        return sum(slot.qty for slot in self.slots)

    def saving(self, rewarded: int, times: int = 1) -> int:
        """What rewarded units of this list price save, in `times` applications at once."""
        if self.how == "percent":
            return scaled(rewarded, self.ratio)
        if self.how == "amount":
            return min(rewarded, self.figure * times)
        return max(0, rewarded - self.figure * times)


def _read_on(effect: Reader, slots: int, size: int) -> tuple[str, int]:
    found = effect.get("on")
    if found is None or found == "all":
        return "all", 0
    word, _, number = str(found).partition(":")
    if word in {"slot", "cheapest", "dearest"} and number.isascii() and number.isdigit():
        value = int(number[:9])
        fits = value < slots if word == "slot" else 1 <= value <= size
        if fits:
            return word, value
    words = "all, slot:k (from 0), cheapest:n or dearest:n within the bundle"
    effect.fault("on", found, f"{words} | all、slot:k、cheapest:n 或 dearest:n")
    return "all", 0


def _read_effect(reader: Reader, slots: int, size: int) -> tuple[str, Ratio, int, str, int]:
    effect = reader.child("effect")
    if effect is None:
        if reader.document.get("effect") is None:
            reader.fault("effect", None, "an effect like {kind: free} | 优惠内容")
        return "percent", FREE, 0, "all", 0
    kind = effect.choice("kind", ("free", "percent", "amount", "fixed_price"), None)
    ratio, figure = FREE, 0
    if kind == "percent":
        ratio = effect.percent("percent")
    elif kind == "amount":
        figure = effect.figure("off_minor")
    elif kind == "fixed_price":
        figure = effect.figure("price_minor")
    on, count = _read_on(effect, slots, size)
    effect.finish()
    return ("percent" if kind == "free" else kind), ratio, figure, on, count


def read(reader: Reader) -> Bundle:
    """Take the kind's own fields."""
    slots = []
    for child in reader.children("slots"):
        select = read_selector(child) or EVERYTHING
        slots.append(Slot(select, child.figure("qty", 1, low=1)))
        child.finish()
    how, ratio, figure, on, count = _read_effect(reader, len(slots), sum(s.qty for s in slots))
    favor = reader.choice("favor", ("customer", "retailer"), "customer")
    allocation = reader.choice("allocation", ("reward", "spread"), "reward")
    if favor == "retailer" and (len(slots) != 1 or on != "cheapest"):
        reader.fault(
            "favor", favor, "customer, or one slot and on cheapest:n | 单槽位且 cheapest:n"
        )
    return Bundle(
        slots=tuple(slots),
        how=how,
        ratio=ratio,
        figure=figure,
        on=on,
        count=count,
        retailer=favor == "retailer",
        spread=allocation == "spread",
    )
