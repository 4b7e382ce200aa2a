"""Exact figures read from JSON: whole minor units, thousandths, and percentages as ratios.

A percentage is a ratio `(numerator, denominator)` with the division by 100 already inside, so that
`scaled(amount, ratio)` is the half-up discount. A JSON number such as 12.5 is taken by the digits
that were written, never by its binary value.

>>> ratio_of_percent(12.5)
(1, 8)
>>> scaled(5, (1, 2))
3
"""

from decimal import Decimal, InvalidOperation
from fractions import Fraction

FIGURE_MAX = 10**12
DIGITS_MAX = 9

Ratio = tuple[int, int]


def scaled(amount: int, ratio: Ratio) -> int:
    """`hu(amount * ratio)` for a non-negative amount."""
    num, den = ratio
    return (2 * amount * num + den) // (2 * den)


def exact(found: object) -> Decimal | None:
    """The decimal that was written, or None when it is no finite decimal number."""
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    text = found.strip() if isinstance(found, str) else repr(found)
    if len(text) > 40 or not text.isascii() or "_" in text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value.adjusted()) > 18:
        return None
    return value


def whole(found: object) -> int | None:
    """An integer of any JSON spelling (3, 3.0, "3"), or None."""
    value = exact(found)
    if value is None or value != value.to_integral_value():
        return None
    return int(value)


def milli(found: object) -> int | None:
    """Thousandths of a quantity with at most three decimals, or None."""
    value = exact(found)
    if value is None or value * 1000 != (value * 1000).to_integral_value():
        return None
    return int(value * 1000)


def ratio_of_percent(found: object) -> Ratio | None:
    """0 to 100 with at most nine decimals as a reduced ratio, or None."""
    value = exact(found)
    if value is None or not 0 <= value <= 100:
        return None
    if -int(value.as_tuple().exponent) > DIGITS_MAX:
        return None
    part = Fraction(value) / 100
    return (part.numerator, part.denominator)


def percent_text(ratio: Ratio) -> str:
    """The ratio as people write it: "12.5"."""
    value = Decimal(ratio[0] * 100) / Decimal(ratio[1])
    return f"{value.normalize():f}"
