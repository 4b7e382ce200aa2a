"""order_percent {percent, min_minor}: a share of what the selected lines cost by then."""

import msgspec

from promotions.figures import Ratio, scaled
from promotions.reading import Reader


class OrderPercent(msgspec.Struct, frozen=True, gc=False):
    """The percentage as a ratio, from a spend on."""

    ratio: Ratio
    min_minor: int
    before: bool

    @property
    def least(self) -> int:
        """The smallest spend that gives anything."""
        return self.min_minor


def read(reader: Reader) -> OrderPercent:
    """Take the kind's own fields."""
    before = reader.choice("basis", ("after", "before"), "after") == "before"
    return OrderPercent(reader.percent("percent"), reader.figure("min_minor", 0), before)


def offer(terms: OrderPercent, base: int, run: int) -> int:
    """The amount before any cut."""
    return scaled(run, terms.ratio) if base >= terms.min_minor else 0


def thresholds(terms: OrderPercent, base_max: int) -> list[int]:
    """The spends at which the offer changes, up to `base_max`."""
    return [terms.min_minor] if terms.min_minor <= base_max else []
