"""A basket line made ready for arithmetic: n units of price p, or one lot (weighed goods).

`qty = n` units of price `p = unit price`; a weighed or fractional line is a lot: one piece whose
price is the gross, with amounts and prices per kilogram. Returned and barred lines, and lines that
cannot be read as a sale (negative figures), neither count for a rule nor receive from one.
"""

from collections.abc import Sequence

from promotions.basket import BasketLine
from promotions.figures import FIGURE_MAX
from protocol.money import half_up_ratio

MILLI = 1000
NOTHING = BasketLine(sku="", qty_milli=0)  # stands for a line that cannot be read


class Line:
    """One prepared line; `room` is what one unit can give before it reaches its floor."""

    __slots__ = (
        "barred",
        "floor_total",
        "gross",
        "group",
        "index",
        "lot",
        "n",
        "p",
        "qty_milli",
        "room",
        "sku",
    )

    def __init__(self, index: int, line: BasketLine) -> None:
        self.index = index
        self.sku = line.sku
        self.group = line.group
        self.barred = line.no_discount or line.is_return
        price, milli = line.unit_price_minor, line.qty_milli
        self.lot = line.weighed or milli % MILLI != 0
        self.qty_milli = milli
        if line.is_return or not 0 <= price <= FIGURE_MAX or not 0 < milli <= FIGURE_MAX:
            self.barred = True
            self.n = self.p = self.gross = self.qty_milli = self.floor_total = 0
            self.room: int | None = None
            return
        self.gross = price * milli // MILLI if not self.lot else half_up_ratio(price * milli, MILLI)
        self.n, self.p = (1, self.gross) if self.lot else (milli // MILLI, price)
        self.room = None
        self.floor_total = 0
        if line.floor_minor is not None and line.floor_minor > 0:
            self.floor_total = self.scaled(line.floor_minor)
            unit_floor = self.floor_total if self.lot else line.floor_minor
            self.room = max(0, self.p - unit_floor)

    def scaled(self, per_unit: int) -> int:
        """An amount per unit (lot: per kilogram) for the whole line."""
        return half_up_ratio(per_unit * self.qty_milli, MILLI) if self.lot else per_unit * self.n

    def each(self, per_unit: int) -> int:
        """An amount per unit for one piece: a lot is one piece of its whole weight."""
        return half_up_ratio(per_unit * self.qty_milli, MILLI) if self.lot else per_unit


def prepare(basket: Sequence[BasketLine]) -> list[Line]:
    """All lines, in basket order; one with figures of a wrong type counts for nothing."""
    lines = []
    for i, line in enumerate(basket):
        try:
            lines.append(Line(i, line))
        except (TypeError, ValueError, AttributeError, OverflowError):
            lines.append(Line(i, NOTHING))
    return lines
