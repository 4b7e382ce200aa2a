"""What does this basket cost, and why. Pure.

>>> from promotions.basket import BasketLine, Context
>>> from promotions.rule import parse
>>> buy_2_get_1 = parse({
...     "id": "B2G1", "type": "bundle", "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],
...     "effect": {"kind": "free", "on": "cheapest:1"}})
>>> rules = compile([buy_2_get_1], "Asia/Shanghai")
>>> toast = BasketLine(sku="TOAST", group="bread", unit_price_minor=1200, qty_milli=3000)
>>> priced = price([toast], rules, Context())
>>> priced.total_discount_minor, priced.why_not("B2G1").code
(1200, 'APPLIED')
"""

from promotions.engine import PricedBasket, price
from promotions.refunds import refund
from promotions.ruleset import ENGINE_NUMBER, RuleSet, compile_rules
from promotions.wording import explain

compile = compile_rules  # noqa: A001  the name that the specification gives it

__all__ = [
    "ENGINE_NUMBER",
    "PricedBasket",
    "RuleSet",
    "compile",
    "compile_rules",
    "explain",
    "price",
    "refund",
]
