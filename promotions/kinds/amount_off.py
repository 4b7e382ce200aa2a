"""amount_off {off_minor}: an amount off every covered unit (per kilogram for a lot)."""

import msgspec

from promotions.figures import Ratio
from promotions.lines import Line
from promotions.reading import Reader


class Amount(msgspec.Struct, frozen=True, gc=False):
    """The amount per unit."""

    off_minor: int


def read(reader: Reader) -> Amount:
    """Take the kind's own fields."""
    return Amount(reader.figure("off_minor"))


def rate(terms: Amount, line: Line) -> Ratio:
    """What one unit (or the lot) gives."""
    return (min(line.p, line.each(terms.off_minor)), 1)


def compound(terms: Amount, line: Line, net: int) -> int:
    """What the whole line gives of its running net."""
    return min(net, line.scaled(terms.off_minor))
