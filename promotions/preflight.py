"""Before publishing: whom will these rules reach, and which of them will never do anything?

Pure: rules, products, shops and sample baskets come in, a report goes out. Head office shows it and
decides; `missing_fields` names what a rule needs from the context that shops do not fill yet.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from promotions.basket import BasketLine, Context
from promotions.conditions import filtered
from promotions.engine import price
from promotions.lines import Line
from promotions.rule import Rule
from promotions.ruleset import Live, compile_rules
from promotions.scope import Selector

NAMED_MAX: Final = 200
PLACE_CODES: Final = ("DISABLED", "WRONG_ZONE", "WRONG_STORE", "WRONG_CURRENCY", "EXPIRED")


class Product(msgspec.Struct, frozen=True):
    """A product as head office knows it; `stores` None means sold everywhere."""

    sku: str
    group: str | None = None
    unit_price_minor: int = 0
    no_discount: bool = False
    stores: frozenset[str] | None = None


class Shop(msgspec.Struct, frozen=True):
    """A shop as far as rules look at it."""

    store: str
    store_tz: str = "UTC"
    price_zone: str | None = None
    currency: str = "CNY"


class Reach(msgspec.Struct, frozen=True):
    """One rule in one shop."""

    rule_id: str
    store: str
    code: str  # "" when it is live there, else why not
    reached: int  # products of the shop that it covers
    unknown_skus: list[str]  # named by the rule, not sold in the shop
    empty_groups: list[str]  # named by the rule, without a product in the shop
    barred_skus: list[str]  # covered by name, but barred from discounts


class Never(msgspec.Struct, frozen=True):
    """A rule that can never apply, and why."""

    rule_id: str
    code: str


class Loses(msgspec.Struct, frozen=True):
    """A rule that touched sample baskets and never applied; the most frequent winners first."""

    rule_id: str
    baskets: int
    codes: dict[str, int]
    winners: list[str]


class Report(msgspec.Struct, frozen=True):
    """What head office should know before it publishes."""

    reach: list[Reach]
    never: list[Never]
    always_lose: list[Loses]
    ungrouped: list[str]


def missing_fields(rule: Rule, filled: Sequence[str] = ("store", "price_zone")) -> list[str]:
    """Context fields and quotas that the rule needs and `filled` does not name."""
    when, limits = rule.when, rule.limits
    needed = {
        "member": when.members is not None,
        "tender": when.tender is not None,
        "coupons": when.coupon is not None,
        "price_zone": when.zones is not None,
        "store": when.stores is not None,
        "customer_left": limits.customer_left is not None,
        "budget_left_minor": limits.budget_left_minor is not None,
    }
    return [name for name, need in needed.items() if need and name not in filled]


def _sold(products: Sequence[Product], store: str) -> list[Product]:
    return [each for each in products if each.stores is None or store in each.stores]


def _reach(live: Live, shop: Shop, sold: Sequence[Product], at_ms: int | None) -> Reach:
    context = Context(
        currency=shop.currency,
        store_tz=shop.store_tz,
        store=shop.store,
        price_zone=shop.price_zone,
        time_ms=at_ms,
    )
    code = filtered(live, context)
    covered = [each for each in sold if any(s.covers(each.sku, each.group) for s in live.slots)]
    skus, groups = {each.sku for each in sold}, {each.group for each in sold}
    named = set().union(*(slot.skus for slot in live.slots))
    named_groups = set().union(*(slot.groups for slot in live.slots))
    return Reach(
        rule_id=live.id,
        store=shop.store,
        code=code if code in PLACE_CODES else "",
        reached=sum(not each.no_discount for each in covered),
        unknown_skus=sorted(named - skus)[:NAMED_MAX],
        empty_groups=sorted(named_groups - groups)[:NAMED_MAX],
        barred_skus=sorted(each.sku for each in covered if each.no_discount)[:NAMED_MAX],
    )


def _slot_empty(select: Selector, products: Sequence[Product]) -> bool:
    return not any(not p.no_discount and select.covers(p.sku, p.group) for p in products)


def _without_effect(live: Live, products: Sequence[Product]) -> bool:
    """A line rule that takes nothing off any product it covers, at list price."""
    if live.stage != "line":
        return False
    for at, each in enumerate(products):
        if each.no_discount or not live.slots[0].covers(each.sku, each.group):
            continue
        line = Line(at, BasketLine(each.sku, each.group, each.unit_price_minor, 1_000_000))
        if live.module.rate(live.terms, line)[0] > 0:
            return False
    return True


def _never(live: Live, reach: Sequence[Reach], products: Sequence[Product]) -> str:
    window = live.window
    if window is not None and window.start >= window.end:
        return "WINDOW_EMPTY"
    codes = {each.code for each in reach}
    if reach and "" not in codes:
        return min(codes)
    if any(_slot_empty(slot, products) for slot in live.slots):
        return "NO_ELIGIBLE_ITEM"
    limits = live.rule.limits
    if 0 in {limits.max_units, limits.max_applications, limits.max_discount_minor}:
        return "ZERO_EFFECT"
    return "ZERO_EFFECT" if _without_effect(live, products) else ""


def _losers(
    rules: Sequence[Rule], samples: Sequence[tuple[Sequence[BasketLine], Context]]
) -> list[Loses]:
    seen: dict[str, dict[str, int]] = {}
    winners: dict[str, dict[str, int]] = {}
    applied: set[str] = set()
    sets = {zone: compile_rules(rules, zone) for zone in {c.store_tz for _, c in samples}}
    for basket, context in samples:
        priced = price(basket, sets[context.store_tz], context)
        won = [each.rule_id for each in priced.applied]
        applied.update(won)
        for rule_id, outcome in priced.touching.items():
            if outcome.code in LOST_CODES:
                codes = seen.setdefault(rule_id, {})
                codes[outcome.code] = codes.get(outcome.code, 0) + 1
                tally = winners.setdefault(rule_id, {})
                for winner in won:
                    tally[winner] = tally.get(winner, 0) + 1
    found = []
    for rule_id in sorted(seen.keys() - applied):
        tally = winners[rule_id]
        ranked = sorted(tally, key=lambda winner: (-tally[winner], winner))
        found.append(Loses(rule_id, sum(seen[rule_id].values()), seen[rule_id], ranked[:5]))
    return found


LOST_CODES: Final = frozenset(
    {"LOST_TO_BETTER", "LOST_TO_PRIORITY", "GROUP_TAKEN", "EXCLUSIVE_OTHER", "NOTHING_LEFT"}
)


def preflight(
    rules: Sequence[Rule],
    products: Sequence[Product],
    shops: Sequence[Shop],
    sample_baskets: Sequence[tuple[Sequence[BasketLine], Context]] = (),
    at_ms: int | None = None,
) -> Report:
    """The report; `at_ms` (if given) is the instant at which expired rules are called so."""
    reach: list[Reach] = []
    never: list[Never] = []
    sold = {shop.store: _sold(products, shop.store) for shop in shops}
    by_zone = {zone: compile_rules(rules, zone) for zone in {shop.store_tz for shop in shops}}
    for rule in rules:
        own = [
            _reach(by_zone[shop.store_tz].live[rule.id], shop, sold[shop.store], at_ms)
            for shop in shops
        ]
        reach += own
        zone = shops[0].store_tz if shops else "UTC"
        live = (by_zone.get(zone) or compile_rules([rule], zone)).live[rule.id]
        code = _never(live, own, products)
        if code:
            never.append(Never(rule.id, code))
    ungrouped = sorted(each.sku for each in products if each.group is None)
    return Report(reach, never, _losers(rules, sample_baskets), ungrouped[:NAMED_MAX])
