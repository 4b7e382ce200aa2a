"""fixed_price {price_minor}: every covered unit at one price (per kilogram for a lot)."""

import msgspec

from promotions.figures import Ratio
from promotions.lines import Line
from promotions.reading import Reader


class Price(msgspec.Struct, frozen=True, gc=False):
    """The price per unit."""

    price_minor: int


def read(reader: Reader) -> Price:
    """Take the kind's own fields."""
    return Price(reader.figure("price_minor"))


def rate(terms: Price, line: Line) -> Ratio:
    """What one unit (or the lot) gives."""
    return (max(0, line.p - line.each(terms.price_minor)), 1)


def compound(terms: Price, line: Line, net: int) -> int:
    """What the whole line gives of its running net."""
    return max(0, net - line.scaled(terms.price_minor))
