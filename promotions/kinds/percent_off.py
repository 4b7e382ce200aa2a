"""percent_off {percent}: a share of the price of every covered unit."""

import msgspec

from promotions.figures import Ratio, scaled
from promotions.lines import Line
from promotions.reading import Reader


class Percent(msgspec.Struct, frozen=True, gc=False):
    """The percentage as a ratio."""

    ratio: Ratio


def read(reader: Reader) -> Percent:
    """Take the kind's own fields."""
    return Percent(reader.percent("percent"))


def rate(terms: Percent, line: Line) -> Ratio:
    """What one unit (or the lot) gives; k units give `hu(k * rate)`."""
    return (line.p * terms.ratio[0], terms.ratio[1])


def compound(terms: Percent, line: Line, net: int) -> int:
    """What the whole line gives of its running net."""
    del line
    return scaled(net, terms.ratio)
