"""Quantity: exact, kept as an integer in thousandths ("milli") on every database.

A product has a precision of 0 to 3 decimals (2 unless it says otherwise); more digits are refused,
never cut, so 0.99 can never become 0 (requirement R08).

>>> parse_milli("0.99", decimals=2), format_milli(990)
(990, '0.99')
"""

from protocol.errors import Refusal

MILLI = 1000
MILLI_MAX = 10**12
DECIMALS_MAX = 3
DECIMALS_DEFAULT = 2


def parse_milli(text: str, *, decimals: int = DECIMALS_MAX) -> int:
    """Read a non-negative decimal as thousandths; raise QUANTITY_* with the text that was typed."""
    whole, dot, part = text.strip().partition(".")
    if not (whole or part) or not (whole + part).isascii() or not (whole + part).isdigit():
        raise Refusal("QUANTITY_UNREADABLE", text=text[:40])
    if dot and len(part.rstrip("0")) > decimals:
        raise Refusal("QUANTITY_TOO_FINE", text=text[:40], decimals=decimals)
    figure = ((whole or "0") + part[:DECIMALS_MAX].ljust(DECIMALS_MAX, "0")).lstrip("0") or "0"
    if len(figure) > len(str(MILLI_MAX)) or int(figure) > MILLI_MAX:
        raise Refusal("QUANTITY_TOO_LARGE", text=text[:40])
    return int(figure)


def check_precision(milli: int, *, decimals: int) -> int:
    """Return `milli` if the product's precision can hold it, else raise QUANTITY_TOO_FINE."""
    if milli % 10 ** (DECIMALS_MAX - decimals):
        raise Refusal("QUANTITY_TOO_FINE", text=format_milli(milli), decimals=decimals)
    return milli


def format_milli(milli: int) -> str:
    """`1250` as `1.25`, `2000` as `2`."""
    sign = "-" if milli < 0 else ""
    whole, part = divmod(abs(milli), MILLI)
    return f"{sign}{whole}" + (f".{part:03d}".rstrip("0") if part else "")
