"""A basket priced: promotions over its lines, tax inside the total, views for the page."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from edge.till import BasketLine, BasketState, products
from promotions import basket as shape
from promotions.engine import PricedBasket, price
from promotions.ruleset import RuleSet
from protocol.clock import MINUTE_MS, Reading, calendar
from protocol.events import TaxPart
from protocol.money import half_up, share_out

FOLD_MINUTES_MAX: Final = 180


class Priced(msgspec.Struct, frozen=True):
    """What the engine said about the product rows of a basket, in their order."""

    lines: tuple[BasketLine, ...]
    result: PricedBasket
    rule_set: RuleSet
    context: shape.Context
    gross: tuple[int, ...]

    @property
    def gross_minor(self) -> int:
        """At list price."""
        return sum(self.gross)

    @property
    def total_minor(self) -> int:
        """To pay."""
        return self.gross_minor - self.result.total_discount_minor

    def net(self, at: int) -> int:
        """What the row at this place costs."""
        return self.gross[at] - self.result.per_line[at]


def gross_of(line: BasketLine) -> int:
    """Unit price times quantity, a half away from zero."""
    return half_up(Fraction(line.unit_price_minor * line.qty_milli, 1000))


def context_of(reading: Reading, *, store: str, zone: str, tz: str, currency: str) -> shape.Context:
    """Where and when this basket is priced; stored with the sale, so that it can be done again."""
    return shape.Context(
        currency=currency,
        store_tz=tz,
        channel="pos",
        time_ms=reading.at_ms,
        clock_state=reading.state.value,
        uncertainty_ms=reading.u_ms,
        store=store,
        price_zone=zone,
    )


def price_basket(state: BasketState, rule_set: RuleSet, context: shape.Context) -> Priced:
    """Price the product rows; red rows wait outside."""
    lines = products(state)
    basket = [
        shape.BasketLine(
            sku=x.sku,
            group=x.group,
            unit_price_minor=x.unit_price_minor,
            qty_milli=x.qty_milli,
            weighed=x.weighed,
            no_discount=x.no_discount,
            floor_minor=x.floor_minor,
        )
        for x in lines
    ]
    result = price(basket, rule_set, context)
    return Priced(lines, result, rule_set, context, tuple(gross_of(x) for x in lines))


def taxes(
    nets: Sequence[int], rates_bp: Sequence[int]
) -> tuple[tuple[int, ...], tuple[TaxPart, ...]]:
    """The tax inside each line, and per rate; prices include tax.

    Rounded once per rate, then split over its lines, so that lines and rates sum to the same fen.
    """
    per_line = [0] * len(nets)
    parts = []
    for rate in sorted(set(rates_bp)):
        places = [i for i, r in enumerate(rates_bp) if r == rate]
        gross = sum(nets[i] for i in places)
        tax = half_up(Fraction(gross * rate, 10_000 + rate))
        for i, share in zip(places, share_out(tax, [nets[i] for i in places]), strict=True):
            per_line[i] = share
        parts.append(TaxPart(rate_bp=rate, gross_minor=gross, tax_minor=tax))
    return tuple(per_line), tuple(parts)


def local_time(at_ms: int, tz: str) -> datetime:
    """An instant on the shop's wall."""
    return calendar(at_ms).astimezone(ZoneInfo(tz))


def business_date(at_ms: int, tz: str, day_starts: str) -> str:
    """The trading day: before `day_starts` it is still the day before.

    A day that has begun does not end again when the clocks go back over its start.
    """
    hours, minutes = day_starts.split(":")
    cut = timedelta(hours=int(hours), minutes=int(minutes))
    at = local_time(at_ms, tz)
    day = (at - cut).date()
    if at.fold:  # this hour comes for the second time: what did the first pass reach?
        passed = (local_time(at_ms - k * MINUTE_MS, tz) for k in range(1, FOLD_MINUTES_MAX + 1))
        day = max(day, *((then - cut).date() for then in passed))
    return day.isoformat()


def day_start_ms(at_ms: int, tz: str, day_starts: str) -> int:
    """When the trading day of this instant began, UTC milliseconds."""
    day = date.fromisoformat(business_date(at_ms, tz, day_starts))
    began = datetime.combine(day, time.fromisoformat(day_starts), ZoneInfo(tz))
    return round(began.timestamp() * 1000)
