"""What happens at a till. Amounts in minor units, quantities in thousandths, instants in UTC ms."""

from typing import Any

from protocol.events.registry import Event


class SaleWeight(Event, frozen=True, kw_only=True):
    """How a weighed line got its quantity: gross less tare, in grams; the price is per `unit`."""

    by: str  # scale, label, manual: typed by a person while the scale was down
    gross_g: int
    tare_g: int = 0
    unit: str = "kg"


class SaleLine(Event, frozen=True, kw_only=True):
    """One line as it was sold: the list price, where it came from, and what was taken off."""

    sku: str
    code: str  # what was scanned or typed; empty when picked from a list
    name: dict[str, str]  # language -> name, as printed
    group: str | None
    qty_milli: int
    unit_price_minor: int
    price_version: str  # "{stream}@{seq}" of the PriceSet that gave the list price
    gross_minor: int
    discount_minor: int = 0
    tax_rate_bp: int = 0  # basis points; prices include tax
    tax_minor: int = 0
    weighed: bool = False
    weight: SaleWeight | None = None
    no_discount: bool = False
    is_return: bool = False
    override_by: str | None = None  # who allowed a price that is not the list price
    floor_minor: int | None = None


class AppliedRule(Event, frozen=True, kw_only=True):
    """A promotion that gave something, and how it fell on the lines."""

    rule: str
    version: int
    discount_minor: int
    name: dict[str, str] = {}
    per_line: tuple[tuple[int, int], ...] = ()  # (line index, minor)


class Gift(Event, frozen=True, kw_only=True):
    """Goods given free by a rule."""

    sku: str
    qty_milli: int
    rule: str


class Tender(Event, frozen=True, kw_only=True):
    """Money taken: `amount_minor` is what covers the sale, `given_minor` what was handed over."""

    kind: str  # cash, scan, card
    amount_minor: int
    given_minor: int
    reference: str = ""  # the provider's number of it, or what the cashier typed
    provider: str = ""  # who collected it; empty for cash
    attempt: str = ""  # the till's own number of it: out_trade_no


class TaxPart(Event, frozen=True, kw_only=True):
    """The tax inside the total, per rate."""

    rate_bp: int
    gross_minor: int  # paid at this rate, tax included
    tax_minor: int


class SaleCompleted(Event, frozen=True, kw_only=True):
    """Goods over the counter, paid. Carries all that is needed to price it again years later."""

    sale: str
    receipt_number: str  # till, generation, counter
    till: str
    shift: str
    cashier: str
    business_date: str  # YYYY-MM-DD in the shop's zone
    currency: str
    lines: tuple[SaleLine, ...]
    tenders: tuple[Tender, ...]
    total_minor: int  # paid
    discount_minor: int
    change_minor: int
    tax: tuple[TaxPart, ...]
    rules_hash: str
    engine: int
    context: dict[str, Any]  # promotions.basket.Context as priced with
    applied: tuple[AppliedRule, ...] = ()
    gifts: tuple[Gift, ...] = ()
    exact: bool = True
    upper_bound_minor: int | None = None
    oversold: tuple[str, ...] = ()  # SKUs that the book did not have


class PaymentReversed(Event, frozen=True, kw_only=True):
    """Money that was asked for and not kept: the provider gave it back or never took it."""

    attempt: str  # out_trade_no
    sale: str
    till: str
    kind: str  # scan, card
    provider: str
    amount_minor: int
    cashier: str
    provider_id: str = ""
    started_ms: int = 0


class ReceiptReprinted(Event, frozen=True, kw_only=True):
    """A copy was asked for."""

    sale: str
    receipt_number: str
    copy_no: int


class ShiftOpened(Event, frozen=True, kw_only=True):
    """A drawer and a cashier start."""

    shift: str
    till: str
    cashier: str
    float_minor: int


class ShiftTotal(Event, frozen=True, kw_only=True):
    """One tender kind of a shift: what the book expects, what was counted."""

    kind: str
    expected_minor: int
    counted_minor: int


class ShiftClosed(Event, frozen=True, kw_only=True):
    """A shift is the range of sequence numbers from its opening to this event."""

    shift: str
    till: str
    cashier: str
    first_seq: int
    last_seq: int  # the last event before this one
    sales: int
    total_minor: int
    discount_minor: int
    float_minor: int
    totals: tuple[ShiftTotal, ...]


class CashMoved(Event, frozen=True, kw_only=True):
    """Cash into (positive) or out of a drawer, with a reason."""

    shift: str
    till: str
    amount_minor: int
    reason: str


class RefusedRule(Event, frozen=True, kw_only=True):
    """A rule that this shop cannot use, and why."""

    rule: str
    version: int
    reason: str  # stable code
    detail: dict[str, str] = {}  # language -> sentence


class RulesInForce(Event, frozen=True, kw_only=True):
    """The shop answers: these rules price from now on. Precedes the first sale that uses them."""

    rules_hash: str
    rules: tuple[str, ...]  # "id@version"
    refused: tuple[RefusedRule, ...] = ()
    engine: int = 0
    tzdata: str = ""
    upto: dict[str, int] = {}  # stream -> seq this rule set was compiled from
    answers: tuple[str, ...] = ()  # requests of RulesRefreshRequested that this answers
    tills: tuple[str, ...] = ()  # tills whose page lived when it was answered
