"""tier_qty {tiers}: the more units the rule covers in the basket, the better for all of them.

The last tier whose `min_qty` the covered quantity reaches is given on **all** covered units, by
the formulas of percent_off, amount_off and fixed_price. A lot adds its weight.
"""

from collections.abc import Callable

import msgspec

from promotions.figures import Ratio, scaled
from promotions.kinds import amount_off, fixed_price, percent_off
from promotions.lines import Line
from promotions.reading import Reader

Given = percent_off.Percent | amount_off.Amount | fixed_price.Price
WAYS: dict[str, Callable[[Reader], Given]] = {
    "percent": percent_off.read,
    "off_minor": amount_off.read,
    "price_minor": fixed_price.read,
}


class Step(msgspec.Struct, frozen=True, gc=False):
    """From this covered quantity on, this is given."""

    min_milli: int
    given: Given


class Tiers(msgspec.Struct, frozen=True, gc=False):
    """The steps, rising."""

    steps: tuple[Step, ...]

    def reached(self, milli: int) -> int:
        """The number of steps that a covered quantity reaches."""
        count = 0
        for step in self.steps:
            if step.min_milli > milli:
                break
            count += 1
        return count


def read(reader: Reader) -> Tiers:
    """Take the kind's own fields."""
    steps: list[Step] = []
    for child in reader.children("tiers"):
        least = child.milli("min_qty")
        if steps and least <= steps[-1].min_milli:
            child.fault(
                "min_qty", child.get("min_qty"), "more than in the tier before | 递增的数量"
            )
        ways = [way for way in WAYS if child.get(way) is not None]
        if len(ways) != 1:
            child.fault("", ways, "one of percent, off_minor, price_minor | 三种优惠之一")
        else:
            steps.append(Step(least, WAYS[ways[0]](child)))
        child.finish()
    return Tiers(tuple(steps))


def rate(given: Given, line: Line) -> Ratio:
    """What one unit (or the lot) gives under one step."""
    if isinstance(given, percent_off.Percent):
        return percent_off.rate(given, line)
    if isinstance(given, amount_off.Amount):
        return amount_off.rate(given, line)
    return fixed_price.rate(given, line)


def compound(given: Given, line: Line, net: int) -> int:
    """What the whole line gives of its running net, on `hu(net / n)` per unit, at most the net."""
    unit = (2 * net + line.n) // (2 * line.n)
    if isinstance(given, percent_off.Percent):
        return min(net, scaled(unit * line.n, given.ratio))
    if isinstance(given, amount_off.Amount):
        return min(net, min(unit, line.each(given.off_minor)) * line.n)
    return min(net, max(0, unit - line.each(given.price_minor)) * line.n)
