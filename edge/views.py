"""What the till's page draws: the basket priced and explained, as values."""

from typing import Literal

import msgspec

from edge.words import Notice


class PromotionView(msgspec.Struct, frozen=True):
    """A promotion that took something off a line (or granted a gift)."""

    rule: str
    version: int
    zh: str
    en: str
    amount_minor: int


class ReasonView(msgspec.Struct, frozen=True):
    """One rule's verdict on this basket; `applied` or the first reason why not."""

    rule: str
    version: int
    applied: bool
    name: Notice  # code = rule id
    why: Notice  # code = reason code


class WeightView(msgspec.Struct, frozen=True):
    """How a weighed row got its quantity."""

    by: Literal["waits", "scale", "label", "manual"]
    gross_g: int
    tare_g: int


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it is drawn. Name it by `line` in every verb."""

    line: int
    kind: Literal["product", "unknown"]
    code: str
    sku: str
    zh: str
    en: str
    qty_milli: int
    unit: str
    decimals: int
    weighed: bool
    unit_price_minor: int
    gross_minor: int
    discount_minor: int
    net_minor: int
    promotions: tuple[PromotionView, ...] = ()
    touching: tuple[ReasonView, ...] = ()  # every rule that touches this line
    oversold: bool = False
    on_hand_milli: int = 0
    weight: WeightView | None = None
    reason: Notice | None = None  # of an unknown row


class GiftView(msgspec.Struct, frozen=True):
    """Goods given free."""

    sku: str
    zh: str
    en: str
    qty_milli: int
    rule: str


class ToWeigh(msgspec.Struct, frozen=True):
    """Goods that are named and not weighed yet; name them by `line`."""

    line: int
    sku: str
    zh: str
    en: str


class BasketView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole till at one version. Pages take it as it is; nothing is computed in a browser."""

    till: str
    sale: str  # the id to pay with
    version: int
    lines: tuple[LineView, ...]
    to_weigh: tuple[ToWeigh, ...]  # payment waits for them too
    shown_line: int  # the row that changed last; 0 for none
    items_milli: int
    gross_minor: int
    discount_minor: int
    total_minor: int
    currency: str
    unknown: int  # red rows; payment waits for them
    payable: bool
    exact: bool
    upper_bound_minor: int | None
    gifts: tuple[GiftView, ...]
    oversold: tuple[str, ...]
    warnings: tuple[Notice, ...]
    held: int
    shift: str  # "" when none is open at this till
    rules_hash: str
    rules_changed_ms: int  # when the newest rule in force was published
    prices_changed_ms: int  # when head office last set a price here
    clock_state: str
    clock_u_ms: int
    at_ms: int


class HeldView(msgspec.Struct, frozen=True):
    """A sale put aside; any till may take it up."""

    held: str
    till: str
    person: str
    note: str
    held_ms: int
    lines: int
    items_milli: int
    first_zh: str
    first_en: str


class TenderIn(msgspec.Struct, frozen=True):
    """Money as it is handed over."""

    kind: str  # cash, scan, card
    given_minor: int
    reference: str = ""
    provider: str = ""
    attempt: str = ""


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """One try to collect money that is not cash, as the till shows it."""

    attempt: str
    sale: str
    till: str
    person: str
    kind: str  # scan, card
    provider: str
    amount_minor: int
    state: str  # devices.payment.PayState
    booked: bool
    waits: bool  # the till waits for it
    held: bool  # money that is here and not yet in a recorded sale
    says: Notice  # where it stands and what is being done
    code_end: str
    provider_id: str
    started_ms: int
    changed_ms: int
    left_minor: int  # of the sale, beside this and other held money
    paid: "PaidSale | None" = None  # the sale is recorded


class PaidSale(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a payment, the same for every repetition."""

    sale: str
    receipt_number: str
    till: str
    cashier: str
    total_minor: int
    discount_minor: int
    given_minor: int
    change_minor: int
    items_milli: int
    currency: str
    at_ms: int
    oversold: tuple[str, ...]
    again: bool  # this sale was already recorded; nothing happened now


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """An open shift."""

    shift: str
    till: str
    cashier: str
    float_minor: int
    opened_ms: int
    opened_seq: int


class TenderTotal(msgspec.Struct, frozen=True):
    """One tender kind: what the book expects (cash with the float), what was counted."""

    kind: str
    sales: int
    expected_minor: int
    counted_minor: int | None


class ShiftReport(msgspec.Struct, frozen=True, kw_only=True):
    """X (still open: `closed_ms` is None) or Z (closed)."""

    shift: str
    till: str
    cashier: str
    opened_ms: int
    closed_ms: int | None
    first_seq: int
    last_seq: int
    sales: int
    total_minor: int
    discount_minor: int
    float_minor: int
    totals: tuple[TenderTotal, ...]
    held: tuple[HeldView, ...]  # sales put aside that still wait
    currency: str
