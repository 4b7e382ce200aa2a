"""Refunds of promoted baskets, piece by piece, by two policies.

`allocated`: every piece gives back its share of what the line cost; all pieces together give back
exactly what was paid. `reprice`: what was paid so far minus the price of the goods that are kept.
"""

from collections.abc import Sequence

import msgspec

from promotions.basket import BasketLine, Context
from promotions.engine import PricedBasket, price
from promotions.figures import milli
from promotions.lines import prepare
from promotions.ruleset import RuleSet
from protocol.errors import Refusal, define
from protocol.money import half_up_ratio

define(
    {
        "RETURN_UNKNOWN": (
            "“{sku}” is not on this receipt, so it cannot be returned against it.",
            "小票上没有“{sku}”，无法按此小票退货。",
        ),
        "RETURN_TOO_MANY": (
            "Only {left} of “{sku}” can still be returned; {asked} were asked for.",
            "“{sku}”最多还能退 {left}，本次要求退 {asked}。",
        ),
        "RETURN_UNREADABLE": (
            "The returns cannot be read: {what}.",
            "无法读取退货内容：{what}。",
        ),
    }
)


class Return(msgspec.Struct, frozen=True):
    """So much of the first basket line with this SKU comes back."""

    sku: str
    qty_milli: int


def read_returns(document: object) -> list[list[Return]]:
    """The steps of a refund request."""
    if not isinstance(document, list) or not all(isinstance(step, list) for step in document):
        raise Refusal("RETURN_UNREADABLE", what="a list of steps is needed")
    steps = []
    for step in document:
        entries = []
        for entry in step:
            sku = entry.get("sku") if isinstance(entry, dict) else None
            qty = milli(entry.get("qty", 1)) if isinstance(entry, dict) else None
            if not isinstance(sku, str) or qty is None or qty <= 0:
                raise Refusal("RETURN_UNREADABLE", what=repr(entry)[:60])
            entries.append(Return(sku, qty))
        steps.append(entries)
    return steps


class _Kept:
    """What is still kept of every line."""

    def __init__(self, basket: Sequence[BasketLine]) -> None:
        self.basket = basket
        self.done = [0] * len(basket)
        self.first: dict[str, int] = {}
        for i, line in enumerate(basket):
            if not line.is_return:
                self.first.setdefault(line.sku, i)

    def take(self, entry: Return) -> tuple[int, int]:
        """The line of an entry and what had come back before; refuses more than there is."""
        at = self.first.get(entry.sku)
        if at is None:
            raise Refusal("RETURN_UNKNOWN", sku=entry.sku[:40])
        before = self.done[at]
        left = self.basket[at].qty_milli - before
        if entry.qty_milli > left:
            raise Refusal(
                "RETURN_TOO_MANY",
                sku=entry.sku[:40],
                left=f"{left / 1000:g}",
                asked=f"{entry.qty_milli / 1000:g}",
            )
        self.done[at] = before + entry.qty_milli
        return at, before

    def lines(self) -> list[BasketLine]:
        """The basket without what came back."""
        kept = []
        for line, done in zip(self.basket, self.done, strict=True):
            if line.is_return or done < line.qty_milli:
                kept.append(msgspec.structs.replace(line, qty_milli=line.qty_milli - done))
        return kept


def refund(
    basket: Sequence[BasketLine],
    rule_set: RuleSet,
    context: Context,
    returns: Sequence[Sequence[Return]],
    policy: str = "allocated",
) -> tuple[PricedBasket, list[int]]:
    """The original sale as priced, and one amount per step."""
    original = price(basket, rule_set, context)
    nets = [
        line.gross - part for line, part in zip(prepare(basket), original.per_line, strict=True)
    ]
    kept = _Kept(basket)
    amounts = []
    if policy == "reprice":
        paid = sum(nets)
        for step in returns:
            for entry in step:
                kept.take(entry)
            again = price(kept.lines(), rule_set, context)
            amount = max(0, paid - (again.gross_minor - again.total_discount_minor))
            paid -= amount
            amounts.append(amount)
        return original, amounts
    if policy != "allocated":
        raise Refusal("RETURN_UNREADABLE", what=f"refund_policy {policy[:40]}")
    for step in returns:
        amount = 0
        for entry in step:
            at, before = kept.take(entry)
            whole = basket[at].qty_milli
            after = before + entry.qty_milli
            amount += half_up_ratio(nets[at] * after, whole)
            amount -= half_up_ratio(nets[at] * before, whole)
        amounts.append(amount)
    return original, amounts
