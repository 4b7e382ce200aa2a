"""The sale in progress, pure: what lies on the counter and what one may do with it."""

from typing import Literal

import msgspec

LINES_MAX = 500


class BasketLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row. `line` never changes and is never used again in the same sale.

    An unknown code is a row too: it keeps the raw code and its reason, and blocks payment.
    """

    line: int
    kind: Literal["product", "unknown"] = "product"
    code: str = ""  # as scanned or typed; empty when picked from a list
    sku: str = ""
    name: dict[str, str] = {}
    group: str | None = None
    unit: str = "pc"
    decimals: int = 2
    qty_milli: int = 1000
    unit_price_minor: int = 0
    price_version: str = ""
    tax_rate_bp: int = 0
    weighed: bool = False
    no_discount: bool = False
    floor_minor: int | None = None
    reason: str = ""  # of an unknown row: stable code
    reason_params: dict[str, str] = {}


class BasketState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of it. `sale` is the id that the sale will have; `next_line` numbers the next row."""

    sale: str
    lines: tuple[BasketLine, ...] = ()
    next_line: int = 1
    shown_line: int = 0  # the row that changed last
