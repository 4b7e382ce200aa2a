"""Money: whole minor units (fen, cents) with a currency. Never floats.

>>> half_up(Fraction(25, 2))
13
>>> share_out(100, [1, 1, 1])
[34, 33, 33]
>>> format_minor(1250, "CNY")
'¥12.50'
"""

from collections.abc import Sequence
from fractions import Fraction

from protocol.errors import Refusal

MINOR_MAX = 10**12  # 10 thousand million yuan: any larger figure is a typing error
SYMBOL = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}


def half_up(value: Fraction) -> int:
    """Round to a whole unit, a half away from zero; exact, no floats."""
    doubled = abs(value) * 2 + 1
    whole = doubled.numerator // (doubled.denominator * 2)
    return whole if value >= 0 else -whole


def half_up_ratio(numerator: int, denominator: int) -> int:
    """`half_up(numerator / denominator)` for non-negative integers, without a Fraction."""
    return (2 * numerator + denominator) // (2 * denominator)


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` by largest remainder; equal remainders go to the earlier place.

    The parts sum to `total`; weights that are all zero give zeros (promotions.md, section 2).
    """
    weight_sum = sum(weights)
    if weight_sum == 0:
        return [0] * len(weights)
    parts = [total * w // weight_sum for w in weights]
    left = total - sum(parts)
    if left:
        order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % weight_sum), i))
        for i in order[:left]:
            parts[i] += 1
    return parts


def parse_minor(text: str, *, digits: int = 2) -> int:
    """Read "12.5" as 1250 minor units; refuse signs, more digits than the currency has, huge."""
    whole, _, part = text.strip().partition(".")
    if not (whole + part).isascii() or not (whole + part).isdigit() or len(part) > digits:
        raise Refusal("MONEY_UNREADABLE", text=text[:40])
    figure = ((whole or "0") + part.ljust(digits, "0")).lstrip("0") or "0"
    if len(figure) > len(str(MINOR_MAX)) or int(figure) > MINOR_MAX:
        raise Refusal("MONEY_TOO_LARGE", text=text[:40])
    return int(figure)


def format_minor(value: int, currency: str = "CNY", *, digits: int = 2) -> str:
    """`1250` as `¥12.50`; the sign stands first."""
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value), 10**digits)
    point = f".{part:0{digits}d}" if digits else ""
    return f"{sign}{SYMBOL.get(currency, currency + ' ')}{whole}{point}"
