"""A recorded sale priced again: every difference, named.

A sale carries its basket, its pricing context, the hash of its rule set, the engine number and the
applied rules with their allocation. Priced again under the same rules, nothing may differ; another
hash or engine number is a difference of its own kind, shown first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from promotions.basket import BasketLine, Context
from promotions.engine import PricedBasket, price
from promotions.ruleset import ENGINE_NUMBER, RuleSet
from promotions.trace import Applied


@dataclass(frozen=True)
class Recorded:
    """What a sale event holds, with the rule set that its hash names (or the nearest one held)."""

    basket: Sequence[BasketLine]
    context: Context
    rule_set: RuleSet
    per_line: Sequence[int]
    applied: Sequence[Applied]
    rules_hash: str
    engine: int = ENGINE_NUMBER
    gifts: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Difference:
    """One thing that is not as recorded."""

    what: str  # engine, rules, total, line, rule or gift
    which: str
    recorded: Any
    now: Any


@dataclass(frozen=True)
class Differences:
    """All of them, and the sale as it is priced now."""

    found: tuple[Difference, ...]
    priced: PricedBasket = field(repr=False)

    @property
    def same(self) -> bool:
        """Nothing differs."""
        return not self.found

    @property
    def comparable(self) -> bool:
        """The same engine and the same rules: then any other difference is a fault."""
        return not any(each.what in {"engine", "rules"} for each in self.found)


def record(
    basket: Sequence[BasketLine], rule_set: RuleSet, context: Context, priced: PricedBasket
) -> Recorded:
    """What a sale has to keep of a price."""
    return Recorded(
        basket=basket,
        context=context,
        rule_set=rule_set,
        per_line=list(priced.per_line),
        applied=list(priced.applied),
        rules_hash=rule_set.hash,
        gifts=list(priced.gifts),
    )


def _by_rule(applied: Sequence[Applied]) -> dict[str, tuple[int, list[tuple[int, int]]]]:
    return {
        each.rule_id: (each.discount_minor, [(index, part) for index, part in each.per_line])
        for each in applied
    }


def reprice(recorded: Recorded) -> Differences:
    """Price a recorded sale again and compare."""
    priced = price(recorded.basket, recorded.rule_set, recorded.context)
    found = []
    if recorded.engine != ENGINE_NUMBER:
        found.append(Difference("engine", "", recorded.engine, ENGINE_NUMBER))
    if recorded.rules_hash != recorded.rule_set.hash:
        found.append(Difference("rules", "", recorded.rules_hash, recorded.rule_set.hash))
    total = sum(recorded.per_line)
    if total != priced.total_discount_minor:
        found.append(Difference("total", "", total, priced.total_discount_minor))
    was, now = list(recorded.per_line), priced.per_line
    for index in range(max(len(was), len(now))):
        old = was[index] if index < len(was) else None
        new = now[index] if index < len(now) else None
        if old != new:
            found.append(Difference("line", str(index), old, new))
    before, after = _by_rule(recorded.applied), _by_rule(priced.applied)
    found += [
        Difference("rule", rule_id, before.get(rule_id), after.get(rule_id))
        for rule_id in sorted(before.keys() | after.keys())
        if before.get(rule_id) != after.get(rule_id)
    ]
    gifts = [(sku, qty) for sku, qty in recorded.gifts]
    if sorted(gifts) != sorted(priced.gifts):
        found.append(Difference("gift", "", gifts, priced.gifts))
    return Differences(tuple(found), priced)
